"""NamespaceLifecycle: nothing new in a namespace that is missing or going away; three namespaces never go."""

from __future__ import annotations

from apimachinery import errors
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.lookup import Lookup

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if not group and plural == "namespaces":
            return operation == "DELETE"
        # An access review tells nothing of whether the namespace exists.
        return operation in ("CREATE", "UPDATE") and (group, plural) != (
            "authorization.k8s.io",
            "localsubjectaccessreviews",
        )

    async def admit(self, a: Attributes) -> None:
        if not a.group and a.plural == "namespaces":
            if a.name in IMMORTAL:
                raise errors.forbidden("", "namespaces", a.name, "this namespace may not be deleted")
            return
        if not a.namespace:
            return
        namespace = await self._namespaces.get(None, a.namespace)
        if namespace is None:
            raise errors.not_found("", "namespaces", a.namespace)
        if a.operation == "CREATE" and (namespace.get("status") or {}).get("phase") == "Terminating":
            name = a.namespace
            error = forbidden(a, f"unable to create new content in namespace {name} because it is being terminated")
            assert error.details is not None
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {name} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error
