"""Old requests are removed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

from apimachinery import meta, times
from apimachinery.errors import ApiError
from client.resources import CERTIFICATE_SIGNING_REQUESTS
from controllers.base import Controller, Rule, gather_all, ignoring_absence
from controllers.certificates.requests import ACCOUNT, RULES, Obj

log = logging.getLogger(__name__)

_POLL = 3600.0
_KEPT = {"Approved": 3600.0, "Denied": 3600.0, "Failed": 3600.0}  # seconds after the decision
_PENDING_KEPT = 24 * 3600.0


def is_outdated(request: Obj, now: float) -> bool:
    """Whether a request may be removed: decided an hour ago, or left undecided for a day."""
    conditions = meta.conditions(request)
    for entry in conditions:
        kept = _KEPT.get(entry["type"])
        moment = entry.get("lastUpdateTime") or entry.get("lastTransitionTime")
        if kept is not None and moment and now - times.parse_time(moment) > kept:
            return True
    return not conditions and now - meta.created(request) > _PENDING_KEPT


class CleaningController(Controller):
    name = "certificatesigningrequest-cleaner-controller"
    aliases = ("csrcleaner",)
    source = "csrcleaner"
    account = ACCOUNT
    rules: ClassVar[Sequence[Rule]] = RULES
    workers = 0

    def setup(self) -> None:
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS)

    async def background(self) -> None:
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("cleaning certificate signing requests: %s", error)
            await self.clock.sleep(_POLL)

    async def sweep(self) -> None:
        """Remove what is outdated."""
        now = self.clock.time()
        await gather_all(
            ignoring_absence(self.client.delete(CERTIFICATE_SIGNING_REQUESTS, meta.name(request)))
            for request in self._requests.list()
            if is_outdated(request, now)
        )
