"""What a mutating policy makes of an object: its Object{...} merged in as by server-side apply, or its JSON patch."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.cel import values
from apimachinery.cel.mutation import Made
from apimachinery.errors import ApiError
from apimachinery.gvk import split_api_version
from apiserver.admission.policies.evaluation import BUDGET, Evaluation, OutOfBudget
from apiserver.registry.kind import Obj
from apiserver.validation.expressions import Expression
from openapi.schemas import TypeInfo


class PatchFailed(Exception):
    """The object cannot be changed so; the text is the original's."""


async def evaluate(expression: Expression, evaluation: Evaluation) -> Any:
    try:
        results, _ = await evaluation.run([expression], BUDGET)
    except OutOfBudget as error:
        raise PatchFailed(str(error)) from None
    if results[0].error:
        raise PatchFailed(results[0].error)
    return results[0].value


# -- ApplyConfiguration


def merged(made: Made, live: Obj, info: TypeInfo | None) -> Obj:
    """The object with the made one laid over it. info: None where no resource of its version has its type."""
    from apiserver.patch import typed

    _check_names(made)
    if info is None:
        group, version = split_api_version(live.get("apiVersion") or "")
        kind = f"{group}/{version}, Kind={live.get('kind')}"
        text = f"failed to convert patch object to typed object: no corresponding type for {kind}"
        raise PatchFailed(f"error applying patch: {text}")
    patch = {**made.raw(), **{key: live[key] for key in ("apiVersion", "kind") if key in live}}
    try:
        typed.validate(info, patch)
    except typed.TypedError as error:
        raise PatchFailed(f"error applying patch: failed to convert patch object to typed object: {error}") from None
    atomics = _atomics(info, patch, "")
    if atomics:
        raise PatchFailed(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            + ", ".join(atomics)
        )
    try:
        typed.validate(info, live, allow_duplicates=True)
    except typed.TypedError as error:
        raise PatchFailed(f"error applying patch: failed to convert original object to typed object: {error}") from None
    try:
        out: Obj = typed.merge(info, live, patch)
    except typed.TypedError as error:
        raise PatchFailed(f"error applying patch: failed to merge patch: {error}") from None
    return out


def _check_names(made: Made) -> None:
    wrong = made.misnamed()
    if wrong:
        raise PatchFailed("type mismatch: " + "\n".join(wrong))


def _atomics(info: TypeInfo, value: Any, path: str) -> list[str]:
    """Where the value has lists and maps that are replaced as a whole: what it leaves out would be gone."""
    found = []
    if isinstance(value, dict) and info.kind in ("struct", "map"):
        if info.atomic:
            found.append(path)
        for key, item in value.items():
            field = info.fields.get(key) if info.kind == "struct" else None
            if field is not None:
                found += _atomics(field.type, item, f"{path}.{key}")
    elif isinstance(value, list) and info.kind == "list":
        if info.atomic:
            found.append(path)
        for position, item in enumerate(value):
            if info.elem is not None:
                found += _atomics(info.elem, item, f"{path}[{position}]")
    return found


# -- JSONPatch


def patched(operations: list[Made], live: Obj) -> Obj:
    """The object with the operations applied; the object itself when a test among them fails."""
    from apiserver.patch import json_patch

    wanted = [_operation(made) for made in operations]
    try:
        out: Obj = json_patch.applied(orjson.loads(orjson.dumps(live)), wanted)
    except json_patch.OperationFailed as error:
        if error.tested:
            return live
        raise PatchFailed(f"JSON Patch: {error}") from None
    except ApiError as error:
        raise PatchFailed(f"JSON Patch: {error.message}") from None
    return out


def _operation(made: Made) -> Obj:
    fields = made.fields
    out = {"op": fields.get("op", ""), "path": fields.get("path", "")}
    if fields.get("from"):
        out["from"] = fields["from"]
    if "value" in fields:
        value = fields["value"]
        if isinstance(value, Made):
            _check_names(value)
        out["value"] = values.to_json(value)
    return out
