"""The default ServiceAccount of every namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import ApiError
from client.resources import NAMESPACES, SERVICE_ACCOUNTS
from controllers.base import EVENTS_RULE, Controller, Result, Rule, namespace_terminating

Obj = dict[str, Any]
NAMES = ("default",)


class ServiceAccountController(Controller):
    name = "serviceaccount-controller"
    aliases = ("serviceaccount",)
    source = "service-account-controller"
    rules: ClassVar[Sequence[Rule]] = (Rule(("",), ("serviceaccounts",), ("create",)), EVENTS_RULE)

    def setup(self) -> None:
        self._namespaces = self.watch(
            NAMESPACES, added=self.enqueue_object, updated=lambda old, new: self.enqueue_object(new)
        )
        self._accounts = self.watch(SERVICE_ACCOUNTS, deleted=self._deleted)

    def _deleted(self, account: Obj) -> None:
        self.enqueue(meta.namespace(account))

    async def reconcile(self, key: str) -> Result | None:
        namespace = self._namespaces.get(key)
        if namespace is None or (namespace.get("status") or {}).get("phase") == "Terminating":
            return None
        for name in NAMES:
            if self._accounts.find(key, name) is not None:
                continue
            try:
                await self.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": name, "namespace": key}})
            except ApiError as error:
                if error.reason != "AlreadyExists" and not namespace_terminating(error):
                    raise
        return None
