"""JSON patch (RFC 6902) with the quirks of the library that the original uses.

Replacing a missing key sets it; a path needs no leading slash when it has another one; negative list indexes count from the
end; testing a missing key against null succeeds; an empty path is the whole document, for replace and test only. Whatever
fails gives one and the same 422.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from openapi import codec, compile
from openapi.codec import Parsed
from openapi.schemas import Field, TypeInfo

MAX_OPERATIONS = 10_000
MAX_SHIFTED_ITEMS = 100_000_000  # of lists, by all insertions and removals of one patch: about half a second
MAX_COPIED_BYTES = 3 << 20  # what all copy operations of one patch may add together
REJECTED = "the server rejected our request due to an error in our request"
_TOO_DEEP = "the JSON patch makes an object that exceeds max depth"
_ANY = TypeInfo("any", code="J")
_STRING = TypeInfo("scalar", code="s")
_OPERATION = TypeInfo(
    "struct",
    name="handlers.jsonPatchOp",
    fields={
        "op": Field("op", _STRING, ["s", "string", 0]),
        "path": Field("path", _STRING, ["s", "string", 0]),
        "from": Field("from", _STRING, ["s", "string", 0]),
        "value": Field("value", _ANY, ["J", "interface {}", 0]),
    },
)
_OPERATIONS = TypeInfo("list", elem=_OPERATION, list_type="atomic", atomic=True)


class _Failed(Exception):
    """An operation cannot be applied; why does not show in the answer."""


def check(patch: Parsed) -> list[str]:
    """What strict reading of the patch itself complains of; ApiError 400 when it is no list of operations."""
    if not isinstance(patch.obj, list):
        kind = {dict: "object", str: "string", bool: "bool"}.get(type(patch.obj), "number")
        if patch.obj is None:
            return []
        raise errors.bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        )
    _bound(patch.obj)
    try:
        _, problems = _OPERATIONS.explain(codec.pairs(patch))
    except codec.DecodeError as error:
        raise errors.bad_request(f"error decoding patch: {error}") from None
    return [f"json patch {problem}" for problem in problems]


def apply(doc: Any, patch: Parsed, touched: set[int] | None = None) -> Any:
    """The document with the operations applied in order; `doc` is changed. ApiError 400, 413 or 422.

    touched: takes the ids of objects that were opened on the way.
    """
    operations = patch.obj if patch.obj is not None else []
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise errors.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    _bound(operations)
    run = _Run(doc, set() if touched is None else touched)
    try:
        for operation in operations:
            run.apply(operation)
    except _Failed:
        raise ApiError(422, "Invalid", REJECTED, details={}) from None
    except (RecursionError, orjson.JSONEncodeError):
        raise errors.bad_request(_TOO_DEEP) from None
    if codec.encoded(run.doc) is None:
        raise errors.bad_request(_TOO_DEEP)
    return run.doc


def _bound(operations: list[Any]) -> None:
    if len(operations) > MAX_OPERATIONS:
        raise errors.too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )


def weight(raw: bytes) -> int:
    """About how many bytes of work a patch is: each copy may double the object."""
    copies = raw.count(b"copy")
    return len(raw) if copies < 4 else max(len(raw), MAX_COPIED_BYTES)


class _Run:
    """One patch being applied to one document."""

    def __init__(self, doc: Any, touched: set[int]) -> None:
        self.doc = doc
        self.touched = touched
        touched.add(id(doc))
        self.copied = 0
        self.shifted = 0

    def apply(self, operation: dict[str, Any]) -> None:
        method = {
            "add": self.add,
            "remove": self.remove,
            "replace": self.replace,
            "move": self.move,
            "test": self.test,
            "copy": self.copy,
        }.get(operation["op"] if isinstance(operation.get("op"), str) else "")
        if method is None:
            raise _Failed
        method(operation)

    def find(self, operation: dict[str, Any], member: str = "path") -> tuple[Any, str]:
        """The container that the pointer names a member of, and the member's key."""
        pointer = operation.get(member)
        if not isinstance(pointer, str):
            raise _Failed
        parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
        if len(parts) < 2:
            raise _Failed
        container = self.doc
        for part in parts[1:-1]:
            container = _get(container, part)
            if not isinstance(container, dict | list):
                raise _Failed
            self.touched.add(id(container))
        return container, parts[-1]

    def add(self, operation: dict[str, Any]) -> None:
        container, key = self.find(operation)
        self.put(container, key, _fresh(operation.get("value")))

    def remove(self, operation: dict[str, Any]) -> None:
        self.take(*self.find(operation))

    def replace(self, operation: dict[str, Any]) -> None:
        if operation.get("path") == "":
            return self.replace_all(operation)
        container, key = self.find(operation)
        _get(container, key)
        value = _fresh(operation.get("value"))
        if isinstance(container, dict):
            container[key] = value
        else:
            container[_position(key, len(container))] = value

    def replace_all(self, operation: dict[str, Any]) -> None:
        """The whole document; a scalar in its place counts as no operation."""
        if "value" not in operation:
            raise _Failed
        value = operation["value"]
        if isinstance(value, dict | list):
            self.doc = _fresh(value)
            self.touched.add(id(self.doc))

    def move(self, operation: dict[str, Any]) -> None:
        source, source_key = self.find(operation, "from")
        value = _get(source, source_key)
        self.take(source, source_key)
        container, key = self.find(operation)
        self.put(container, key, value)

    def copy(self, operation: dict[str, Any]) -> None:
        source, source_key = self.find(operation, "from")
        value = _get(source, source_key)
        container, key = self.find(operation)
        self.copied += len(orjson.dumps(value))
        if self.copied > MAX_COPIED_BYTES:
            raise _Failed
        self.put(container, key, _fresh(value))

    def put(self, container: Any, key: str, value: Any) -> None:
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            position = _position(key, len(container) + 1)
            self.shift(len(container) - position)
            container.insert(position, value)

    def take(self, container: Any, key: str) -> None:
        if isinstance(container, dict):
            if key not in container:
                raise _Failed
            del container[key]
        else:
            position = _position(key, len(container))
            self.shift(len(container) - position)
            del container[position]

    def shift(self, items: int) -> None:
        self.shifted += items
        if self.shifted > MAX_SHIFTED_ITEMS:
            raise errors.too_large("The operations of the JSON patch move too many list items")

    def test(self, operation: dict[str, Any]) -> None:
        if operation.get("path") == "":
            if not equal(self.doc, operation.get("value")):
                raise _Failed
            return
        container, key = self.find(operation)
        if not equal(_get(container, key), operation.get("value")):
            raise _Failed


def _fresh(value: Any) -> Any:
    """A copy, so that two operations never share a container."""
    return compile.copy_json(value)


def _position(key: str, length: int) -> int:
    try:
        position = int(key)
    except ValueError:
        raise _Failed from None
    if not key.lstrip("+-").isascii() or "_" in key or key != key.strip():
        raise _Failed
    if position < 0:
        position += length
    if not 0 <= position < length:
        raise _Failed
    return position


def _get(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_position(key, len(container))]


def equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 and true differ, and so do 1 and 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)
