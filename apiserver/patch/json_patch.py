"""JSON patch (RFC 6902) with the quirks of the library that the original uses.

Replacing a missing key sets it; a path needs no leading slash when it has another one; negative list indexes count from the
end; testing a missing key against null succeeds; an empty path is the whole document, for replace (by an
object or a list) and test only. Whatever
fails gives one and the same 422.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from openapi import codec, compile
from openapi.codec import Parsed
from openapi.schemas import Field, TypeInfo

MAX_OPERATIONS = 10_000
MAX_SHIFTED_ITEMS = 100_000_000  # of lists, by all insertions and removals of one patch: about half a second
MAX_COPIED_BYTES = 3 << 20  # what all copy operations of one patch may add together
REJECTED = "the server rejected our request due to an error in our request"
_TOO_DEEP = "the JSON patch makes an object that exceeds max depth"
_INDEX = re.compile(r"[+-]?[0-9]+")
_FAR = 1 << 63
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


_MISSING = "missing value"
_INVALID_INDEX = "invalid index referenced"


class OperationFailed(Exception):
    """An operation cannot be applied; the text is the library's. tested: it is a test that found another value.

    Clients that patch are not told why; those whose patch comes from a webhook or a policy are.
    """

    def __init__(self, text: str, *, tested: bool = False) -> None:
        super().__init__(text)
        self.tested = tested


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


def apply(doc: Any, patch: Parsed, touched: Touched | None = None) -> Any:
    """The document with the operations applied in order; `doc` is changed. ApiError 400, 413 or 422.

    touched: takes the ids of objects that were opened on the way (True), or that operations brought along (False).
    """
    operations = patch.obj if patch.obj is not None else []
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise errors.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        return applied(doc, operations, touched)
    except OperationFailed:
        raise ApiError(422, "Invalid", REJECTED, details={}) from None


def applied(doc: Any, operations: list[dict[str, Any]], touched: Touched | None = None) -> Any:
    """As apply, of operations in place of a patch as sent; OperationFailed tells what cannot be done."""
    _bound(operations)
    run = _Run(doc, {} if touched is None else touched)
    try:
        for operation in operations:
            run.apply(operation)
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


Touched = dict[int, bool]


class _Run:
    """One patch being applied to one document."""

    def __init__(self, doc: Any, touched: Touched) -> None:
        self.doc = doc
        self.touched = touched
        touched[id(doc)] = True
        self.copied = 0
        self.shifted = 0

    def brought(self, value: Any) -> Any:
        """A copy of an operation's value, which keeps its order in texts until an operation opens it."""
        value = _fresh(value)
        waiting = [value]
        while waiting:
            inner = waiting.pop()
            if isinstance(inner, dict):
                self.touched[id(inner)] = False
                waiting.extend(inner.values())
            elif isinstance(inner, list):
                waiting.extend(inner)
        return value

    def apply(self, operation: dict[str, Any]) -> None:
        op = operation.get("op")
        op = op if isinstance(op, str) else "unknown"
        method = {
            "add": self.add,
            "remove": self.remove,
            "replace": self.replace,
            "move": self.move,
            "test": self.test,
            "copy": self.copy,
        }.get(op)
        if method is None:
            raise OperationFailed(f"Unexpected kind: {op}")
        method(operation)

    def find(self, pointer: str) -> tuple[Any, str]:
        """The container that the pointer names a member of, None when there is none, and the member's key."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
        if len(parts) < 2:
            return None, ""
        container = self.doc
        for part in parts[1:-1]:
            try:
                container = _get(container, part)
            except OperationFailed:
                return None, ""
            if not isinstance(container, dict | list):
                return None, ""
            self.touched[id(container)] = True
        return container, parts[-1]

    def add(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "add", brief=True)
        container, key = self.find(path)
        if container is None:
            raise OperationFailed(f'add operation does not apply: doc is missing path: "{path}": {_MISSING}')
        with _told(f"error in add for path: '{path}'"):
            self.put(container, key, self.brought(operation.get("value")))

    def remove(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "remove", brief=True)
        container, key = self.find(path)
        if container is None:
            raise OperationFailed(f'remove operation does not apply: doc is missing path: "{path}": {_MISSING}')
        with _told(f"error in remove for path: '{path}'"):
            self.take(container, key)

    def replace(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "replace")
        if path == "":
            return self.replace_all(operation)
        container, key = self.find(path)
        if container is None:
            raise OperationFailed(f"replace operation does not apply: doc is missing path: {path}: {_MISSING}")
        try:
            _get(container, key)
        except OperationFailed:
            text = f"replace operation does not apply: doc is missing key: {path}: {_MISSING}"
            raise OperationFailed(text) from None
        value = self.brought(operation.get("value"))
        if isinstance(container, dict):
            container[key] = value
        else:
            container[_position(key, len(container))] = value

    def replace_all(self, operation: dict[str, Any]) -> None:
        """The whole document."""
        value = operation.get("value")
        if not isinstance(value, dict | list):
            raise OperationFailed("replace operation value must be object or array: %!w(<nil>)")
        self.doc = self.brought(value)
        self.touched[id(self.doc)] = True

    def move(self, operation: dict[str, Any]) -> None:
        source = _from(operation, "move")
        container, key = self.find(source)
        if container is None:
            raise OperationFailed(f"move operation does not apply: doc is missing from path: {source}: {_MISSING}")
        with _told(f"error in move for path: '{key}'"):
            value = _get(container, key)
            self.take(container, key)
        path = _path(operation, "move")
        container, key = self.find(path)
        if container is None:
            text = f"move operation does not apply: doc is missing destination path: {path}: {_MISSING}"
            raise OperationFailed(text)
        with _told(f"error in move for path: '{path}'"):
            self.put(container, key, value)

    def copy(self, operation: dict[str, Any]) -> None:
        source = _from(operation, "copy")
        container, key = self.find(source)
        if container is None:
            raise OperationFailed(f"copy operation does not apply: doc is missing from path: {source}: {_MISSING}")
        with _told(f"error in copy for from: '{source}'"):
            value = _get(container, key)
        path = _path(operation, "copy", brief=True)
        container, key = self.find(path)
        if container is None:
            text = f"copy operation does not apply: doc is missing destination path: {path}: {_MISSING}"
            raise OperationFailed(text)
        self.copied += len(orjson.dumps(value))
        if self.copied > MAX_COPIED_BYTES:
            raise OperationFailed(
                f"Unable to complete the copy, the accumulated size increase of copy is {self.copied}, "
                f"exceeding the limit {MAX_COPIED_BYTES}"
            )
        with _told("error while adding value during copy"):
            self.put(container, key, _fresh(value))

    def put(self, container: Any, key: str, value: Any) -> None:
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            with _told(f"value was not a proper array index: '{key}'", unless=_INVALID_INDEX):
                position = _position(key, len(container) + 1)
            self.shift(len(container) - position)
            container.insert(position, value)

    def take(self, container: Any, key: str) -> None:
        if isinstance(container, dict):
            if key not in container:
                raise OperationFailed(f"Unable to remove nonexistent key: {key}: {_MISSING}")
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
        path = _path(operation, "test")
        found = self.doc
        if path:
            container, key = self.find(path)
            if container is None:
                raise OperationFailed(f"test operation does not apply: is missing path: {path}: {_MISSING}")
            with _told(f"error in test for path: '{path}'"):
                found = _get(container, key)
        if not equal(found, operation.get("value")):
            raise OperationFailed(f"testing value {path} failed: test failed", tested=True)


@contextmanager
def _told(what: str, *, unless: str = "") -> Iterator[None]:
    """Says what was being done when an operation failed. unless: an ending of texts that stay as they are."""
    try:
        yield
    except OperationFailed as error:
        if unless and str(error).endswith(unless):
            raise
        raise OperationFailed(f"{what}: {error}") from None


def _path(operation: dict[str, Any], op: str, *, brief: bool = False) -> str:
    """brief: what is wrong with the path is told as if it was missing."""
    pointer, problem = _pointer(operation, "path", "operation missing path field: " + _MISSING)
    if problem:
        raise OperationFailed(f"{op} operation failed to decode path: {_MISSING if brief else problem}")
    return pointer


def _from(operation: dict[str, Any], op: str) -> str:
    pointer, problem = _pointer(operation, "from", "operation, missing from field: " + _MISSING)
    if problem:
        raise OperationFailed(f"{op} operation failed to decode from: {problem}")
    return pointer


def _pointer(operation: dict[str, Any], member: str, absent: str) -> tuple[str, str]:
    """A member that should be a text, or what is wrong with it."""
    found = operation.get(member)
    if isinstance(found, str):
        return found, ""
    if found is None:
        return "", absent
    kind = {dict: "object", list: "array", bool: "bool"}.get(type(found), "number")
    return "", f"json: cannot unmarshal {kind} into Go value of type string"


def _fresh(value: Any) -> Any:
    """A copy, so that two operations never share a container."""
    return compile.copy_json(value)


def _position(key: str, length: int) -> int:
    if not _INDEX.fullmatch(key):
        raise OperationFailed(f"strconv.Atoi: parsing {go_quote(key)}: invalid syntax")
    position = int(key) if len(key) < 25 else _FAR
    if not -_FAR <= position < _FAR:
        raise OperationFailed(f"strconv.Atoi: parsing {go_quote(key)}: value out of range")
    if not -length <= position < length:
        raise OperationFailed(f"Unable to access invalid index: {position}: {_INVALID_INDEX}")
    return position + length if position < 0 else position


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
