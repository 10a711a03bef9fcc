"""LimitRange: bounds and defaults for what pods, containers and claims in a namespace may ask for."""

from __future__ import annotations

import uuid

from apimachinery.field import FieldError
from apiserver.kinds.core.podtemplate_defaults import default_resource_list
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import quotas

_AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeKind(Kind):
    kind = "LimitRange"
    plural = "limitranges"
    short_names = ("limits",)
    create_on_update = True
    revalidates_metadata = 1
    checks_metadata_change = False

    def default(self, obj: Obj, version: str) -> None:
        for item in (obj.get("spec") or {}).get("limits") or ():
            for amounts in _AMOUNTS:
                default_resource_list(item.get(amounts))
            if item.get("type") == "Container":
                _default_container(item)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        """One without a name gets one that nobody has."""
        if not obj["metadata"].get("name"):
            obj["metadata"]["name"] = str(uuid.uuid4())

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return quotas.validate_limits((obj.get("spec") or {}).get("limits") or ())


def _default_container(item: Obj) -> None:
    """The default limit is the maximum; the default request is the default limit, or else the minimum."""
    limit = {**(item.get("max") or {}), **(item.get("default") or {})}
    request = {**(item.get("min") or {}), **limit, **(item.get("defaultRequest") or {})}
    for name, amounts in (("default", limit), ("defaultRequest", request)):
        if amounts:
            item[name] = dict(sorted(amounts.items()))


LIMIT_RANGE = LimitRangeKind()
