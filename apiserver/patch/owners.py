"""The owners of fields, and managedFields as objects carry them: read, written, capped, and those of an object on its Scale.

For managed.py, which decides who owns what, and for the scale subresource.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery import times
from apimachinery.field import go_quote
from apiserver.patch import fieldset
from apiserver.patch.fieldset import Set

Obj = dict[str, Any]

MAX_UPDATE_MANAGERS = 10
ANCIENT_CHANGES = "ancient-changes"


class Manager(NamedTuple):
    """What tells one manager from another. api_version is empty for appliers."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def identifier(self) -> str:
        """The original's key for the manager: it decides the order where times are equal."""
        named = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        named["subresource"] = self.subresource
        return json.dumps({key: value for key, value in named.items() if value}, separators=(",", ":"))

    def draw(self) -> str:
        text = go_quote(self.manager)
        if self.subresource:
            text += f" with subresource {go_quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True, slots=True)
class Owned:
    """A manager's fields, as paths of that version of the kind."""

    fields: Set
    api_version: str
    applied: bool
    time: str | None = None


Managed = dict[Manager, Owned]


def decode(entries: Any) -> Managed:
    """managedFields as managers. ValueError when an entry makes no sense."""
    managed: Managed = {}
    for entry in entries or ():
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        if operation not in ("Apply", "Update") or not version or entry.get("fieldsType") != "FieldsV1":
            raise ValueError("invalid managed fields entry")
        applied = operation == "Apply"
        manager = Manager(entry.get("manager", ""), operation, "" if applied else version, entry.get("subresource", ""))
        managed[manager] = Owned(fieldset.read(entry.get("fieldsV1") or {}), version, applied, entry.get("time"))
    return managed


def encode(managed: Managed) -> list[Obj]:
    """Managers as managedFields: appliers first, then by time, name, version and subresource."""
    entries = []
    for manager, owned in managed.items():
        entry: Obj = {}
        if manager.manager:
            entry["manager"] = manager.manager
        entry["operation"] = "Apply" if owned.applied else manager.operation
        entry["apiVersion"] = owned.api_version
        if owned.time is not None:
            entry["time"] = owned.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = owned.fields
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    if len(entries) > 1:
        entries.sort(key=_entry_order)
    return entries


def _entry_order(entry: Obj) -> tuple[Any, ...]:
    return (
        entry["operation"],
        _seconds(entry.get("time")),
        entry.get("manager", ""),
        entry["apiVersion"],
        entry.get("subresource", ""),
    )


def _seconds(time: str | None) -> int:
    return int(times.parse_time(time)) if time else 0


def decode_or_none(entries: Any) -> Managed:
    try:
        return decode(entries)
    except ValueError:
        return {}


def put(obj: Obj, managed: Managed) -> None:
    metadata = obj.setdefault("metadata", {})
    if managed:
        metadata["managedFields"] = encode(managed)
    else:
        metadata.pop("managedFields", None)


def asks_for_reset(entries: Any) -> bool:
    """[] or [{}] clears managedFields; absent leaves them as they are."""
    return entries is not None and (not entries or entries == [{}])


def capped(managed: Managed) -> Managed:
    """At most ten update managers: the oldest of a version are joined into one."""
    updaters = [manager for manager, owned in managed.items() if not owned.applied]
    if len(updaters) <= MAX_UPDATE_MANAGERS:
        return managed
    updaters.sort(key=lambda manager: (_seconds(managed[manager].time), manager.identifier()))
    count = len(updaters)
    first_of: dict[str, Manager] = {}
    for manager in updaters:
        if count <= MAX_UPDATE_MANAGERS:
            break
        owned = managed[manager]
        version = owned.api_version
        first = first_of.setdefault(version, manager)
        if first == manager:
            continue
        bucket = Manager(ANCIENT_CHANGES, "Update", version, "")
        if bucket not in managed:
            managed[bucket] = managed.pop(first)
        fields = fieldset.union(owned.fields, managed[bucket].fields)
        managed.pop(manager, None)
        managed[bucket] = Owned(fields, version, False, owned.time)
        count -= 1
    return managed


# -- scale


_SCALE_REPLICAS = ("f:spec", "f:replicas")
_SCALE_VERSION = "autoscaling/v1"


def to_scale(entries: Any, replicas: Mapping[str, fieldset.Path | None]) -> list[Obj]:
    """The parent's managers of its replicas as managers of the Scale. replicas: api_version -> path of the count."""
    out: Managed = {}
    for manager, owned in decode_or_none(entries).items():
        path = replicas.get(owned.api_version)
        if path and fieldset.has(owned.fields, path):
            out[manager] = Owned(fieldset.of_paths(_SCALE_REPLICAS), _SCALE_VERSION, owned.applied, owned.time)
    return encode(out)


def from_scale(parent: Any, scale: Any, api_version: str, replicas: Mapping[str, fieldset.Path | None]) -> list[Obj]:
    """The parent's managedFields after a write to its Scale. api_version: the parent's, as the request addresses it."""
    before = decode_or_none(parent)
    scaled = decode_or_none(scale)
    out: Managed = {}
    for manager, owned in before.items():
        if owned.api_version not in replicas:
            continue
        path = replicas[owned.api_version]
        if not path or not fieldset.has(owned.fields, path):
            out[manager] = owned
        elif manager in scaled:
            out[manager] = owned
            del scaled[manager]
        elif fields := fieldset.difference(owned.fields, fieldset.of_paths(path)):
            out[manager] = Owned(fields, owned.api_version, owned.applied, owned.time)
    path = replicas.get(api_version)
    for manager, owned in scaled.items():
        if path and fieldset.has(owned.fields, _SCALE_REPLICAS):
            time = before[manager].time if manager in before else None
            out[manager] = Owned(fieldset.of_paths(path), api_version, owned.applied, time)
    return encode(out)
