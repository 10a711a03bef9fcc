"""An object as the watch cache holds it: encoded once, with what selectors ask of it, and other forms while they are hot.

Entries are immutable and shared by everyone: gets, lists, watch events. Whoever wants to change an object decodes the
body again. Entries are made by cacher.py alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

Attributes = Callable[[dict[str, Any], str], tuple[Mapping[str, str], Mapping[str, str]]]
"""(object without kind, apiVersion and resourceVersion; its version) -> (labels, selectable fields)."""

NOTHING: Mapping[str, str] = {}
_OPENING = b'"metadata":{'
_OLD_REVISION = len(b'"metadata":{"resourceVersion":"')
_COMMA, _BRACE = b",}"
_FORM_BYTES = 32 << 20


class Entry:
    """One object at one revision.

    key: "namespace/name", or "name" for a cluster-scoped object. revision: its resourceVersion. version: the version
    that body is encoded in, as given at the write. body: `"metadata":{"resourceVersion":"N",…}…}`, that is the object's
    JSON without its opening `{"kind":…,"apiVersion":…,`; to be put after exactly that.
    """

    __slots__ = ("_fields", "_home", "_labels", "body", "key", "revision", "version")

    def __init__(
        self,
        home: Home,
        key: str,
        revision: int,
        version: str,
        body: bytes,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self.key = key
        self.revision = revision
        self.version = version
        self.body = body
        self._labels = labels
        self._fields = fields

    def __repr__(self) -> str:
        return f"<Entry {self.key} at {self.revision}>"

    @property
    def namespace(self) -> str:
        """The namespace, "" for a cluster-scoped object."""
        return self.key.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels; never change it."""
        labels = self._labels
        return self._read()[0] if labels is None else labels

    @property
    def fields(self) -> Mapping[str, str]:
        """What the resource's attributes function says can be selected by; never change it."""
        fields = self._fields
        return self._read()[1] if fields is None else fields

    def decode(self) -> dict[str, Any]:
        """The object decoded afresh, without kind and apiVersion; the caller may change it."""
        obj: dict[str, Any] = orjson.loads(b"{" + self.body)
        return obj

    def form(self, key: Hashable, make: Callable[[Entry], T]) -> T:
        """This object in another form (another version, a table row, …): made once and kept while it is asked for.

        key names the form within the resource; make must not depend on anything but the entry and the key.
        """
        return self._home.form(self, key, make)

    def at(self, revision: int) -> Entry:
        """The same object bearing another resourceVersion: what a deletion is told with."""
        end = self.body.index(b'"', _OLD_REVISION) + 1
        body = splice(revision, self.body, end + 1 if self.body[end] == _COMMA else end)
        return Entry(self._home, self.key, revision, self.version, body, self._labels, self._fields)

    def _read(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        labels, fields = self._home.attributes(self.decode(), self.version)
        self._labels = labels or NOTHING
        self._fields = fields or NOTHING
        return self._labels, self._fields


class Home:
    """What the entries of one resource share: how to read their attributes, and the pool of other forms.

    The pool has two generations: what was asked for since the last turn, and what was before. When the young one has
    outgrown its bounds (or turn() is called, which the cacher does now and then), the old one is forgotten.
    """

    __slots__ = ("_bytes", "_old", "_young", "attributes")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self._young: dict[Hashable, dict[Entry, Any]] = {}
        self._old: dict[Hashable, dict[Entry, Any]] = {}
        self._bytes = 0

    def form(self, entry: Entry, key: Hashable, make: Callable[[Entry], T]) -> T:
        forms = self._young.get(key)
        if forms is None:
            forms = self._young[key] = {}
        form: T | None = forms.get(entry)
        if form is None:
            old = self._old.get(key)
            form = old.pop(entry, None) if old else None
            if form is None:
                form = make(entry)
            forms[entry] = form
            self._bytes += 200 + (len(form) if isinstance(form, (bytes, str)) else len(entry.body))
            if self._bytes > _FORM_BYTES:
                self.turn()
        return form

    def turn(self) -> None:
        """Forget what was not asked for since the turn before."""
        self._old, self._young, self._bytes = self._young, {}, 0


def splice(revision: int, body: bytes, start: int = len(_OPENING)) -> bytes:
    """body with a resourceVersion put into its metadata; what precedes `start` is replaced. An exact-size copy."""
    opening = b'"metadata":{"resourceVersion":"%d"' if body[start] == _BRACE else b'"metadata":{"resourceVersion":"%d",'
    return b"".join((opening % revision, memoryview(body)[start:]))


def unpack(value: bytes, revision: int) -> tuple[str, bytes]:
    """(version, body with its resourceVersion) of a stored value."""
    end = value.index(b"\n")
    return value[:end].decode(), splice(revision, value, end + 1 + len(_OPENING))


def pack(version: str, body: bytes) -> bytes:
    """The stored value of a body that has no resourceVersion yet."""
    if not body.startswith(_OPENING):
        raise ValueError(f"a body begins with {_OPENING.decode()}, not with {body[:20]!r}")
    return b"%s\n%s" % (version.encode(), body)
