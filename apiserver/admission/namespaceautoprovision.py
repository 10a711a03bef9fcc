"""NamespaceAutoProvision: whoever creates something in a namespace that does not exist creates the namespace too."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.lookup import Lookup


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")
        self._writer = env.writer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, plural) != ("", "namespaces")

    async def admit(self, a: Attributes) -> None:
        if a.dry_run or not a.namespace or await self._namespaces.get(None, a.namespace) is not None:
            return
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": a.namespace}}
        try:
            await self._writer.create("", "namespaces", namespace)
        except ApiError as error:
            if not errors.is_reason(error, "AlreadyExists"):
                raise
