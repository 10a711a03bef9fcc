"""OwnerReferencesPermissionEnforcement: owners are set by those who may delete, and deletion is blocked by those who may
finalise the owner."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.gvk import split_api_version
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authz.base import Attributes as Question
from apiserver.registry.kind import Obj


class Plugin:
    def __init__(self, env: Env) -> None:
        self._authorizer = env.authorizer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        # Old node agents corrupt owners in pods/status, which cannot change them anyway.
        return operation in ("CREATE", "UPDATE") and (group, plural, subresource) != ("", "pods", "status")

    async def validate(self, a: Attributes) -> None:
        new, old = _owners(a.obj), _owners(a.old)
        if new == old:
            return
        question = Question(a.user, "delete", a.group, a.version, a.plural, a.subresource, a.namespace or "", a.name)
        decision = await self._authorizer.authorize(question)
        if not decision.allowed:
            raise forbidden(a, f"cannot set an ownerRef on a resource you can't delete: {decision.reason}, <nil>")
        for owner in _newly_blocking(new, old):
            await self._check_blocking(a, owner)

    async def _check_blocking(self, a: Attributes, owner: Obj) -> None:
        group, version = split_api_version(owner.get("apiVersion") or "")
        resource = _resource(a, group, owner.get("kind") or "")
        if resource is None:
            text = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f"{owner.get('apiVersion', '')} Kind {owner.get('kind', '')}"
            )
            raise forbidden(a, text)
        plural, namespaced = resource
        question = Question(
            a.user,
            "update",
            group,
            version,
            plural,
            "finalizers",
            (a.namespace or "") if namespaced else "",
            owner.get("name") or "",
        )
        decision = await self._authorizer.authorize(question)
        if not decision.allowed:
            text = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
            text = f"{text}: {decision.reason}, <nil>"
            raise forbidden(a, text)


def _owners(obj: Obj | None) -> list[Obj]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or []


def _newly_blocking(new: list[Obj], old: list[Obj]) -> Iterator[Obj]:
    before = {owner.get("uid"): owner.get("blockOwnerDeletion") for owner in old}
    return (o for o in new if o.get("blockOwnerDeletion") and not before.get(o.get("uid")))


def _resource(a: Attributes, group: str, kind: str) -> tuple[str, bool] | None:
    """(plural, namespaced) of a kind; the server registers "resource-of-kind": (group, kind) -> Kind or None."""
    lookup = a.services.get("resource-of-kind")
    found = lookup(group, kind) if lookup is not None else None
    return (found.plural, found.namespaced) if found is not None else None
