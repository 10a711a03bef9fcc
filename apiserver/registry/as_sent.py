"""Empty lists and maps as a client sent them: decoding drops those that Go leaves out, but the original still has them.

They mean nothing, yet they show: in the values that error messages draw ([] or null), and in the few comparisons that tell
them from none. registry/store.py asks once validation has failed, kinds where such a comparison decides. Nothing here is
stored or answered.
"""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.registry.kind import Ctx, Kind, Obj
from openapi.schemas import TypeInfo


def restored(kind: Kind, ctx: Ctx, obj: Obj) -> Obj | None:
    """A copy of the object with the empty lists and maps of the body that it came from; None if there were none.

    Only where the body has the stored shape: JSON, and in the version that is stored.
    """
    if (
        not (b"[]" in ctx.sent or b"{}" in ctx.sent)
        or kind.custom
        or kind.shares
        or ctx.version != kind.storage_version
    ):
        return None
    try:
        sent = orjson.loads(ctx.sent)
    except orjson.JSONDecodeError:
        return None  # readable to a more patient decoder, perhaps
    full = _filled(kind.type_info(ctx.version), obj, sent)
    return full if full is not obj else None


def _filled(info: TypeInfo, value: Any, sent: Any) -> Any:
    """The value itself where nothing is missing in it."""
    if info.kind == "struct" and isinstance(value, dict) and isinstance(sent, dict):
        return _filled_struct(info, value, sent)
    if info.elem is None or not value:
        return value
    if info.kind == "list" and isinstance(value, list) and isinstance(sent, list) and len(value) == len(sent):
        items = [_filled(info.elem, item, given) for item, given in zip(value, sent, strict=True)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if info.kind == "map" and isinstance(value, dict) and isinstance(sent, dict):
        members = {key: _filled(info.elem, item, sent.get(key)) for key, item in value.items()}
        return members if any(members[key] is not item for key, item in value.items()) else value
    return value


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
