"""Nobody grants what they do not hold: checks on writes of roles and bindings.

Called by the store for the four RBAC kinds before an object is written. system:masters may do anything; otherwise the
writer needs the verb escalate (roles) or bind (bindings), or every right that the role gives.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Authorizer
from apiserver.authz.policy import GROUP, aggregate
from apiserver.authz.rbac import RBACAuthorizer
from apiserver.authz.rules import describe, missing, quote_list
from apiserver.registry.kind import Obj

MASTERS = "system:masters"
_PLURALS = {
    "Role": "roles",
    "ClusterRole": "clusterroles",
    "RoleBinding": "rolebindings",
    "ClusterRoleBinding": "clusterrolebindings",
}
_EVERYTHING = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_GC_FIELDS = ("ownerReferences", "finalizers", "resourceVersion", "managedFields", "generation")


class EscalationCheck:
    def __init__(self, authorizer: Authorizer, rbac: RBACAuthorizer) -> None:
        self._authorizer = authorizer
        self._rbac = rbac

    async def role(self, user: User, kind: str, namespace: str, obj: Obj, old: Obj | None) -> None:
        """Raises ApiError 403 when the write of a Role or ClusterRole would escalate."""
        if MASTERS in user.groups or (old is not None and _same_but_for_gc(obj, old)):
            return
        plural, name = _PLURALS[kind], obj["metadata"].get("name") or ""
        asked = Attributes(user, "escalate", GROUP, "*", plural, namespace=namespace, name=name)
        if (await self._authorizer.authorize(asked)).allowed:
            return
        aggregates = kind == "ClusterRole" and (_aggregates(obj) or (old is not None and _aggregates(old)))
        if aggregates and await self._escalation(user, "", _EVERYTHING):
            text = "must have cluster-admin privileges to use the aggregationRule"
            raise errors.forbidden(GROUP, plural, name, text)
        await self._confirm(user, namespace, plural, name, obj.get("rules") or ())

    async def binding(self, user: User, kind: str, namespace: str, obj: Obj, old: Obj | None) -> None:
        """Raises ApiError 403 when the write of a RoleBinding or ClusterRoleBinding would escalate, 404 for a missing role."""
        if MASTERS in user.groups or (old is not None and _same_but_for_gc(obj, old)):
            return
        ref = obj.get("roleRef") or {}
        role_kind, role_name = ref.get("kind") or "", ref.get("name") or ""
        if role_kind in ("Role", "ClusterRole"):
            role_plural = _PLURALS[role_kind]
            asked = Attributes(user, "bind", GROUP, "*", role_plural, namespace=namespace, name=role_name)
            if (await self._authorizer.authorize(asked)).allowed:
                return
        if not self._rbac.policy.current:
            await self._rbac.policy.refresh()
        rules = self._rbac.policy.role_rules(role_kind, role_name, namespace)
        if isinstance(rules, str):
            raise _no_role(role_kind, role_name, rules, _PLURALS[kind])
        name = obj["metadata"].get("name") or ""
        await self._confirm(user, namespace, _PLURALS[kind], name, [rule.raw for rule in rules])

    async def _confirm(self, user: User, namespace: str, plural: str, name: str, wanted: Any) -> None:
        problem = await self._escalation(user, namespace, wanted)
        if problem:
            raise errors.forbidden(GROUP, plural, name, problem)

    async def _escalation(self, user: User, namespace: str, wanted: Any) -> str:
        """What is wrong with granting these rules; "" when the user holds them all."""
        mine, problems = await self._rbac.rules_for(user, namespace)
        atoms = missing(mine, wanted)
        if not atoms:
            return ""
        lines = "\n".join(describe(atoms))
        text = (
            f"user {go_quote(user.name)} (groups={quote_list(user.groups)}) is attempting to grant RBAC permissions "
            f"not currently held:\n{lines}"
        )
        return f"{text}; resolution errors: [{aggregate(problems)}]" if problems else text


def _no_role(kind: str, name: str, text: str, asked: str) -> ApiError:
    """asked: the resource of the request, which the original's answer names instead of the role's."""
    if kind in ("Role", "ClusterRole"):
        return errors.not_found(GROUP, asked, name)
    return ApiError(500, "", text)


def _aggregates(role: Obj) -> bool:
    rule = role.get("aggregationRule")
    return bool(rule and rule.get("clusterRoleSelectors"))


def _same_but_for_gc(obj: Obj, old: Obj) -> bool:
    """Whether nothing differs but what the garbage collector writes."""

    def rest(o: Obj) -> Obj:
        meta = {k: v for k, v in (o.get("metadata") or {}).items() if k not in _GC_FIELDS}
        return {**{k: v for k, v in o.items() if k not in ("apiVersion", "kind")}, "metadata": meta}

    return rest(obj) == rest(old)
