"""From a stored object and the body of a JSON, merge or strategic merge patch to the object to store.

Called by handlers/patch for every attempt. `current` is the stored object in the request's version, with kind, apiVersion
and managedFields; it may be changed. The result is decoded, not yet defaulted. Apply patches are managed.FieldManager's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import orjson

from apimachinery import errors, field
from apimachinery.errors import ApiError, Unconvertible
from apiserver.patch import gotext, json_patch, merge_patch, strategic
from openapi import codec, explain
from openapi.schemas import TypeInfo
from openapi.structural import CustomType

Obj = dict[str, Any]
Touched = dict[int, bool]
Validation = Literal["Ignore", "Warn", "Strict"]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch(
    media_type: str,
    current: Obj,
    raw: bytes,
    info: TypeInfo,
    validation: Validation = "Warn",
    *,
    wrong_type: Callable[[Any, Callable[[], str]], str] | None = None,
    seen: Callable[[Any], None] | None = None,
    settle: Callable[[Obj], None] | None = None,
) -> tuple[Obj, list[str]]:
    """(the patched object, warnings). Raises the ApiError that the original answers with.

    wrong_type: what is wrong with the kind and apiVersion of a document that a JSON or merge patch made, "" if nothing;
    it is also given what draws the document.
    seen: is shown the patched document, which it may keep, before it is decoded. settle: completes the decoded object in
    place; may raise Unconvertible, which the kinds of patches tell differently.
    """
    strict = validation != "Ignore"
    try:
        body = codec.parse_json(raw)
    except codec.ParseError as error:
        prefix = "error decoding patch: " if strict and media_type != STRATEGIC_PATCH else ""
        raise errors.bad_request(f"{prefix}{error}") from None
    if media_type == STRATEGIC_PATCH:
        obj, warnings = _strategic(current, body, info, validation, seen)
        try:
            if settle is not None:
                settle(obj)
        except Unconvertible as error:
            raise ApiError(500, "", error.detail) from None
        return obj, warnings
    module = json_patch if media_type == JSON_PATCH else merge_patch
    problems = module.check(body) if strict else []
    touched: Touched = {}
    patched = module.apply(current, body, touched)
    if seen is not None:
        seen(patched)
    if wrong_type is not None and (text := wrong_type(patched, lambda: _json(patched, info, touched))):
        raise _invalid(_json(patched, info, touched), text)
    try:
        obj, unknown = _decoded(patched, info, touched)
        if settle is not None:
            settle(obj)
    except Unconvertible as error:
        raise _invalid(_json(patched, info, touched), error.detail) from None
    except codec.DecodeError as error:
        raise _invalid(_json(patched, info, touched), str(error)) from None
    return obj, _judge(problems + unknown, validation, lambda: _json(patched, info, touched))


def _decoded(patched: Any, info: TypeInfo, touched: Touched) -> tuple[Obj, list[str]]:
    """What is wrong is told in the order in which the original writes the document before it reads it again."""
    try:
        obj, unknown = info.decode(patched)
    except codec.DecodeError:
        return info.decode(_ordered(patched, info, touched))
    return (obj, unknown) if len(unknown) < 2 else (obj, info.decode(_ordered(patched, info, touched))[1])


def _strategic(
    current: Obj,
    body: codec.Parsed,
    info: TypeInfo,
    validation: Validation,
    seen: Callable[[Any], None] | None,
) -> tuple[Obj, list[str]]:
    patch_map = body.obj if body.obj is not None else {}
    if not isinstance(patch_map, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(patch_map), "number")
        raise errors.bad_request(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    duplicates = merge_patch.duplicate_fields(codec.pairs(body)) if validation != "Ignore" and body.duplicates else []
    patched = strategic.apply(current, patch_map, info)
    if seen is not None:
        seen(patched)
    try:
        obj, unknown = info.decode(patched)
    except codec.DecodeError:
        try:
            obj, unknown = explain.decode_unstructured(info, patched)
        except codec.DecodeError as error:
            raise _invalid(gotext.value(patch_map), str(error)) from None
    return obj, _judge(duplicates + sorted(unknown), validation, lambda: gotext.value(patch_map))


def _judge(problems: list[str], validation: Validation, drawn: Any) -> list[str]:
    """Unknown and duplicate fields: forgotten, warned about or refused."""
    if not problems or validation == "Ignore":
        return []
    if validation == "Strict":
        raise _invalid(drawn(), codec.strict_text(problems))
    return problems


def _json(patched: Any, info: TypeInfo, touched: Touched) -> str:
    """The patched document as texts show it: what the patch opened has sorted keys, what a JSON patch brought
    along those that it had, the rest those of the Go types.
    """
    return orjson.dumps(_ordered(patched, info, touched)).decode()


def _ordered(value: Any, info: TypeInfo | None, touched: Touched) -> Any:
    if isinstance(value, list):
        return [_ordered(item, info.elem if info is not None else None, touched) for item in value]
    if not isinstance(value, dict):
        return value
    opened = touched.get(id(value))
    keys = list(value) if opened is False else sorted(value)
    if isinstance(info, CustomType):
        info = None  # to the original a map, and all in it
    if info is not None and info.kind == "struct" and opened is None:
        known = [name for name in info.fields if name in value]
        keys = known + [name for name in keys if name not in info.fields]
    below = info if info is not None and info.kind in ("struct", "map") else None
    return {key: _ordered(value[key], below.field(key) if below is not None else None, touched) for key in keys}


def _invalid(value: str, detail: str) -> ApiError:
    """422 for the field `patch` of no kind at all."""
    error = field.invalid("patch", value, detail)
    return ApiError(422, "Invalid", f' "" is invalid: {error}', details={"causes": [error.cause()]})
