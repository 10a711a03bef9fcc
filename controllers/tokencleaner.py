"""Deletes bootstrap tokens that have expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from apimachinery import bootstraptokens, meta
from apimachinery.errors import ApiError
from client.resources import SECRETS
from controllers.base import EVENTS_RULE, Controller, Result, Rule


class TokenCleanerController(Controller):
    name = "token-cleaner-controller"
    aliases = ("tokencleaner",)
    source = "token-cleaner"
    rules: ClassVar[Sequence[Rule]] = (Rule(("",), ("secrets",), ("get", "list", "watch", "delete")), EVENTS_RULE)

    def setup(self) -> None:
        self._secrets = self.watch(
            SECRETS,
            namespace=bootstraptokens.SECRET_NAMESPACE,
            field_selector=f"type={bootstraptokens.SECRET_TYPE}",
            added=self.enqueue_object,
            updated=lambda old, new: self.enqueue_object(new),
        )

    async def reconcile(self, key: str) -> Result | None:
        secret = self._secrets.get(key)
        if secret is None:
            return None
        end = bootstraptokens.expires_at(bootstraptokens.texts(secret))
        if end is None:
            return None
        left = end - self.clock.time()
        if left > 0:
            return Result(after=left)
        namespace, name = meta.split_key(key)
        try:
            await self.client.delete(SECRETS, name, namespace, uid=meta.uid(secret))
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):  # gone, or another token by that name by now
                raise
        return None
