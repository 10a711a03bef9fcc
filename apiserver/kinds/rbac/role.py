"""Role of rbac.authorization.k8s.io/v1: permissions in a namespace."""

from __future__ import annotations

from apimachinery.field import FieldError
from apiserver.kinds.rbac import rules
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import names


class Role(Kind):
    group = "rbac.authorization.k8s.io"
    kind = "Role"
    plural = "roles"
    revalidates_metadata = 1
    create_on_update = True

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await ctx.services["rbac-role-check"](ctx, self.kind, obj, None)

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        await ctx.services["rbac-role-check"](ctx, self.kind, obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return rules.validate_rules(obj.get("rules"), namespaced=True)
