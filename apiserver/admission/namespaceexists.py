"""NamespaceExists: refuses everything in namespaces that do not exist (NamespaceLifecycle does that and more)."""

from __future__ import annotations

from apimachinery import errors
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.registry.lookup import Lookup


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE", "DELETE") and (group, plural) != ("", "namespaces")

    async def validate(self, a: Attributes) -> None:
        if a.namespace and await self._namespaces.get(None, a.namespace) is None:
            raise errors.not_found("", "namespaces", a.namespace)
