"""Parts of an object beside the same parts of the object that is stored, so that what did not change is not held against it.

    Correlation(new, old, schema)      a whole object, or the part of one at which to begin
    .key(name)  .item(position)        the same for a part; None where there is no old part that surely is the same
    .equal()                           whether the part is as it was

Lists have corresponding items only where the schema names keys of the items. Used by openapi.validate and by the rules of custom
resources.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Correlation:
    """new and old are values of the schema, a JSONSchemaProps."""

    __slots__ = ("_equal", "_parts", "_was_keyed", "new", "old", "schema")

    def __init__(self, new: Any, old: Any, schema: Json) -> None:
        self.new = new
        self.old = old
        self.schema = schema
        self._equal: bool | None = None
        self._was_keyed = False
        self._parts: dict[str | int, Correlation] = {}

    def key(self, name: str) -> Correlation | None:
        found = self._parts.get(name)
        if found is not None:
            return found
        if not isinstance(self.new, dict) or not isinstance(self.old, dict):
            return None
        if name not in self.new or name not in self.old:
            return None
        child = (self.schema.get("properties") or {}).get(name)
        if child is None:
            child = self.schema.get("additionalProperties")
        if not isinstance(child, dict):
            return None
        found = self._parts[name] = Correlation(self.new[name], self.old[name], child)
        return found

    def item(self, position: int) -> Correlation | None:
        found = self._parts.get(position)
        if found is not None:
            return found
        child = self.schema.get("items")
        if self.schema.get("x-kubernetes-list-type") == "map" and isinstance(self.old, list):
            self._was_keyed = True
        if not isinstance(child, dict) or not isinstance(self.new, list) or position >= len(self.new):
            return None
        old = old_item(self.schema, self.old, self.new[position])
        if old is None:
            return None
        found = self._parts[position] = Correlation(self.new[position], old, child)
        return found

    def equal(self) -> bool:
        if self._equal is None:
            self._equal = self._compare()
        return self._equal

    def _compare(self) -> bool:
        new, old = self.new, self.old
        if isinstance(new, list) and isinstance(old, list):
            if len(new) != len(old):
                return False
            for position in range(len(new)):
                item = self.item(position)
                if item is None:
                    return not self._was_keyed and same(new, old)
                if not item.equal():
                    return False
            return True
        if isinstance(new, dict) and isinstance(old, dict):
            parts = map(self.key, new)
            return len(new) == len(old) and all(part is not None and part.equal() for part in parts)
        return same(new, old)


def old_item(schema: Json, old: Any, value: Any) -> Any:
    """The item of the old list that has the same keys as the value, for lists that have keys."""
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return None
    names = schema.get("x-kubernetes-list-map-keys") or ()
    wanted = _keys(value, names)
    if wanted is None:
        return None
    return next((item for item in old if _keys(item, names) == wanted), None)


def _keys(item: Any, names: Any) -> list[tuple[type, Any]] | None:
    if not isinstance(item, dict):
        return None
    found = [item.get(name) for name in names]
    if not found or any(not isinstance(value, bool | int | float | str) for value in found):
        return None
    return [(type(value), value) for value in found]


def same(new: Any, old: Any) -> bool:
    """Whether two JSON values are alike to the type."""
    if isinstance(new, dict):
        return isinstance(old, dict) and new.keys() == old.keys() and all(same(new[name], old[name]) for name in new)
    if isinstance(new, list):
        return isinstance(old, list) and len(new) == len(old) and all(map(same, new, old))
    return type(new) is type(old) and bool(new == old)
