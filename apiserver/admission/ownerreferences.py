"""OwnerReferencesPermissionEnforcement: owners are set by those who may delete, and deletion is blocked by those who may
finalise the owner."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.field import go_quote
from apimachinery.gvk import split_api_version
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authz.base import Attributes as Question
from apiserver.registry.kind import Kind, Obj


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
        if a.operation != "CREATE":  # who makes something could as well not have made it
            text = "cannot set an ownerRef on a resource you can't delete"
            name = a.name
            await self._require(
                a,
                text,
                Question(a.user, "delete", a.group, a.version, a.plural, a.subresource, a.namespace or "", name),
            )
        blocking = list(_newly_blocking(new, old))
        if not blocking:
            return
        anything = Question(a.user, "update", "*", "*", "*", "finalizers", "", "*")
        if (await self._authorizer.authorize(anything)).allowed:
            return
        for owner in blocking:
            await self._check_blocking(a, owner)

    async def _check_blocking(self, a: Attributes, owner: Obj) -> None:
        stated, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        group, version = split_api_version(stated)
        found = _resource(a, group, version, kind)
        if found is None:
            text = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f"{stated} Kind {kind}: no matches for kind {go_quote(kind)} in version {go_quote(stated)}"
            )
            raise forbidden(a, text)
        text = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
        namespace = (a.namespace or "") if found.namespaced else ""
        name = owner.get("name") or ""
        await self._require(
            a, text, Question(a.user, "update", group, version, found.plural, "finalizers", namespace, name)
        )

    async def _require(self, a: Attributes, text: str, question: Question) -> None:
        decision = await self._authorizer.authorize(question)
        if not decision.allowed:
            raise forbidden(a, f"{text}: {decision.reason}, {decision.error or '<nil>'}")


def _owners(obj: Obj | None) -> list[Obj]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or []


def _newly_blocking(new: list[Obj], old: list[Obj]) -> Iterator[Obj]:
    before = {owner.get("uid"): owner.get("blockOwnerDeletion") for owner in old}
    return (o for o in new if o.get("blockOwnerDeletion") and not before.get(o.get("uid")))


def _resource(a: Attributes, group: str, version: str, kind: str) -> Kind | None:
    """The server registers "resource-of-kind": (group, kind) -> Kind or None."""
    lookup = a.services.get("resource-of-kind")
    found: Kind | None = lookup(group, kind) if lookup is not None else None
    return found if found is not None and version in found.versions else None
