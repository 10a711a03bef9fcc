"""Administrative access to devices that others use: only in namespaces whose label says so."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import errors, field
from apimachinery.field import FieldError
from apiserver.registry.kind import Ctx, Kind, Obj

_LABEL = "resource.kubernetes.io/admin-access"


async def check_requests(ctx: Ctx, kind: Kind, obj: Obj, spec: Obj) -> None:
    """Of a new claim or template; spec: the claim's. ApiError Invalid, with the object's other faults, if not allowed."""
    requests = (spec.get("devices") or {}).get("requests") or ()
    position = _first([request.get("exactly") or {} for request in requests])
    if position is not None and (error := await _refusal(ctx, f"spec.devices.requests[{position}].adminAccess")):
        found = [error, *kind.validate(ctx, obj)]
        raise errors.invalid(kind.group, kind.kind, obj["metadata"].get("name") or "", found)


async def check_allocation(ctx: Ctx, kind: Kind, obj: Obj, old: Obj) -> None:
    """Of a new status, unless the old one had it. ApiError Invalid if not allowed."""
    new, before = _results(obj), _results(old)
    position = None if _first(before) is not None else _first(new)
    if position is None:
        return
    if error := await _refusal(ctx, f"status.allocation.devices.results[{position}].adminAccess"):
        found = [error, *kind.validate_update(ctx, obj, old)]
        raise errors.invalid(kind.group, kind.kind, obj["metadata"]["name"], found)


def _results(claim: Obj) -> Sequence[Obj]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results: Sequence[Obj] = (allocation.get("devices") or {}).get("results") or ()
    return results


def _first(parts: Sequence[Obj]) -> int | None:
    return next((position for position, part in enumerate(parts) if part.get("adminAccess")), None)


async def _refusal(ctx: Ctx, path: str) -> FieldError | None:
    name = ctx.namespace or ""
    namespace = await ctx.reader.get("", "namespaces", None, name)
    if namespace is None:
        text = f'could not retrieve namespace to verify admin access: namespaces "{name}" not found'
        return field.internal(path, text)
    if (namespace["metadata"].get("labels") or {}).get(_LABEL) == "true":
        return None
    text = f"admin access to devices requires the `{_LABEL}: true` label on the containing namespace"
    return field.forbidden(path, text)
