"""RoleBinding of rbac.authorization.k8s.io/v1: who has a role in a namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.rbac import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta, names


def binding_columns(word: str, role: str) -> Sequence[Column]:
    """The columns of both kinds of bindings; word: how descriptions call the kind, role: what its roleRef may be."""
    role = f"RoleRef can {role}. If the RoleRef cannot be resolved, the Authorizer must return an error."
    return (
        NAME_COLUMN,
        Column("Role", description=role),
        AGE_COLUMN,
        Column("Users", description=f"Users in the {word}", priority=1),
        Column("Groups", description=f"Groups in the {word}", priority=1),
        Column("ServiceAccounts", description=f"ServiceAccounts in the {word}", priority=1),
    )


class RoleBinding(Kind):
    group = "rbac.authorization.k8s.io"
    kind = "RoleBinding"
    plural = "rolebindings"
    revalidates_metadata = 1
    create_on_update = True
    columns = binding_columns(
        "roleBinding", "reference a Role in the current namespace or a ClusterRole in the global namespace"
    )
    role_kinds: Sequence[str] = ("Role", "ClusterRole")

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await ctx.services["rbac-binding-check"](ctx, self.kind, obj, None)

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        await ctx.services["rbac-binding-check"](ctx, self.kind, obj, old)

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        role = obj.get("roleRef") or {}
        subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
        for subject in obj.get("subjects") or ():
            name = subject.get("name", "")
            if subject.get("kind") == "ServiceAccount":
                name = f"{subject.get('namespace', '')}/{name}"
            if subject.get("kind") in subjects:
                subjects[subject["kind"]].append(name)
        return [
            obj["metadata"]["name"],
            f"{role.get('kind', '')}/{role.get('name', '')}",
            cells.age(obj, clock),
            *(", ".join(group) for group in subjects.values()),
        ]

    def default(self, obj: Obj, version: str) -> None:
        rules.default_binding(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = rules.validate_role_ref(obj.get("roleRef") or {}, self.role_kinds)
        return errors + rules.validate_subjects(obj.get("subjects"), self.namespaced)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = self.validate(ctx, obj)
        new_ref, old_ref = obj.get("roleRef") or {}, old.get("roleRef") or {}
        if not meta.same(new_ref, old_ref):
            value = {name[0].upper() + name[1:]: new_ref.get(name, "") for name in ("apiGroup", "kind", "name")}
            value = {"APIGroup": value.pop("ApiGroup"), **value}
            errors.append(field.invalid("roleRef", value, "cannot change roleRef"))
        return errors
