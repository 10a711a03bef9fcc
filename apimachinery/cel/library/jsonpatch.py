"""jsonpatch.escapeKey: a key as a part of a JSON pointer. Only mutations have it."""

from __future__ import annotations

from apimachinery.cel.declarations import Overload

OVERLOADS = [
    Overload(
        "jsonpatch.escapeKey",
        "string_jsonpatch_escapeKey_string",
        "(string) string",
        lambda key: key.replace("~", "~0").replace("/", "~1"),
    )
]
