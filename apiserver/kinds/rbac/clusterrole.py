"""ClusterRole of rbac.authorization.k8s.io/v1: permissions in all namespaces, on cluster objects and on paths."""

from __future__ import annotations

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.rbac import rules
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import labels, names


class ClusterRole(Kind):
    group = "rbac.authorization.k8s.io"
    kind = "ClusterRole"
    plural = "clusterroles"
    revalidates_metadata = 1
    namespaced = False
    create_on_update = True

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        await ctx.services["rbac-role-check"](ctx, self.kind, obj, None)

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        await ctx.services["rbac-role-check"](ctx, self.kind, obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        return _validate(obj, old)


def _validate(obj: Obj, old: Obj | None) -> list[FieldError]:
    errors = rules.validate_rules(obj.get("rules"), namespaced=False)
    if (aggregation := obj.get("aggregationRule")) is None:
        return errors
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(field.required(path, text))
    stored = ((old.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()) if old is not None else ()
    allow = any(labels.has_invalid_values(selector) for selector in stored)
    for position, selector in enumerate(selectors):
        where = f"{path}[{position}]"
        errors += labels.validate_label_selector(selector, where, allow_invalid_values=allow)
        if labels.validate_label_selector(selector, where):
            errors.append(field.invalid(where, None, "invalid label selector."))
    return errors
