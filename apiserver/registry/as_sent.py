"""Empty lists and maps as a client sent them: decoding drops those that Go leaves out, but the original still has them.

They mean nothing, yet they show: in the values that error messages draw ([] or null), and in the few comparisons that tell
them from none. registry/store.py asks once validation has failed, kinds where such a comparison decides. Nothing here is
stored or answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apiserver.registry.kind import Ctx, Kind, Obj
from openapi.schemas import TypeInfo


def restored(kind: Kind, ctx: Ctx, obj: Obj) -> Obj | None:
    """A copy of the object with the empty lists and maps of the body that it came from; None if there were none.

    Only where the body has the stored shape: JSON or patched, and in the version that is stored.
    """
    if kind.custom or kind.shares or ctx.version != kind.storage_version:
        return None
    sent = ctx.patched.document if ctx.patched is not None else _read(ctx.sent)
    full: Obj = _filled(kind.type_info(ctx.version), obj, sent)
    if full is obj:
        return None
    kind.default_empty(full)
    return full


def mentions(ctx: Ctx, words: Sequence[bytes]) -> bool:
    """Whether the body has one of these words in it, and something empty: a fast look before restored()."""
    if not words:
        return False
    body = ctx.patched.body if ctx.patched is not None else ctx.sent
    return (b"[]" in body or b"{}" in body) and any(word in body for word in words)


def _read(body: bytes) -> Any:
    if not (b"[]" in body or b"{}" in body):
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None  # readable to a more patient decoder, perhaps


def _filled(info: TypeInfo, value: Any, sent: Any) -> Any:
    """The value itself where nothing is missing in it."""
    if info.kind == "struct" and isinstance(value, dict) and isinstance(sent, dict):
        return _filled_struct(info, value, sent)
    if info.elem is None or not value:
        return value
    if info.kind == "list" and isinstance(value, list) and isinstance(sent, list):
        if len(value) != len(sent):
            sent = _by_name(value, sent)
        items = [_filled(info.elem, item, given) for item, given in zip(value, sent, strict=True)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if info.kind == "map" and isinstance(value, dict) and isinstance(sent, dict):
        members = {key: _filled(info.elem, item, sent.get(key)) for key, item in value.items()}
        return members if any(members[key] is not item for key, item in value.items()) else value
    return value


def _by_name(value: list[Any], sent: list[Any]) -> list[Any]:
    """What was sent for each of the items, some of which admission has added (a pod's volumes)."""
    named = {item.get("name"): item for item in sent if isinstance(item, dict) and isinstance(item.get("name"), str)}
    return [named.get(item.get("name")) if isinstance(item, dict) else None for item in value]


def _filled_struct(info: TypeInfo, value: Obj, sent: Obj) -> Obj:
    out = value
    for name, given in sent.items():
        field = info.fields.get(name)
        if field is None or not isinstance(given, list | dict):
            continue
        old = value.get(name)
        new = _filled(field.type, old, given)
        if old is None and not given and field.type.kind in ("list", "map"):
            new = type(given)()
        if new is not old:
            if out is value:
                out = dict(value)
            out[name] = new
    return out
