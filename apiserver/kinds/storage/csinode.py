"""CSINode of storage.k8s.io/v1: the volume drivers of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.storage import rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names

_NODE_ID_LIMIT = 256


_DRAWN = gostruct.value("storage.k8s.io/v1/CSINode", "spec", "drivers")


class CSINode(Kind):
    group = "storage.k8s.io"
    kind = "CSINode"
    plural = "csinodes"
    revalidates_metadata = 1
    checks_metadata_change = False
    returns_deleted = True
    namespaced = False
    unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column(
            "Drivers",
            "integer",
            description="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        drivers = (obj.get("spec") or {}).get("drivers") or ()
        return [obj["metadata"]["name"], len(drivers), cells.age(obj, clock)]

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for position, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            path, name = f"spec.drivers[{position}]", driver.get("name") or ""
            errors += rules.driver_name(name, path + ".name") + _driver(driver, path)
            if name in seen:
                errors.append(field.duplicate(path + ".name", name))
            seen.add(name)
            errors += _topology_keys(driver.get("topologyKeys") or (), path)
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = self.validate(ctx, obj)
        drivers = (obj.get("spec") or {}).get("drivers") or ()
        for before in (old.get("spec") or {}).get("drivers") or ():
            for driver in drivers:
                if driver.get("name") == before.get("name"):
                    errors += meta.validate_immutable(_fixed(driver), _fixed(before), "spec.drivers", _drawn)
        return errors


def _drawn(driver: Obj) -> Any:
    return _DRAWN([driver])[0]


def _fixed(driver: Obj) -> Obj:
    """A driver without what may change: how many volumes its node takes."""
    return {name: value for name, value in driver.items() if name != "allocatable"}


def _driver(driver: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    node_id = driver.get("nodeID") or ""
    if not node_id:
        errors.append(field.required(path + ".nodeID", node_id))
    if len(node_id.encode()) > _NODE_ID_LIMIT:
        text = f"must be {_NODE_ID_LIMIT} characters or less"
        errors.append(field.invalid(path + ".nodeID", node_id, text))
    count = (driver.get("allocatable") or {}).get("count")
    if count is not None and count < 0:
        errors.append(field.invalid(path + ".allocatable.count", count, meta.NOT_NEGATIVE))
    return errors


def _topology_keys(keys: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for key in keys:
        if not key:
            errors.append(field.required(path))
        if key in seen:
            errors.append(field.duplicate(path, key))
        seen.add(key)
        errors += [field.invalid(path, key, text) for text in names.qualified_name(key)]
    return errors
