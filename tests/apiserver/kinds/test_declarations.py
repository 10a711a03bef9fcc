"""What every built-in kind says of itself fits together."""

from __future__ import annotations

import pytest

from apiserver.kinds import all_kinds
from apiserver.registry.kind import Kind
from openapi import schemas
from tests.support.kindtest import KindTester

CELLS: dict[str, tuple[type, ...]] = {"integer": (int,), "boolean": (bool, str), "date": (str,)}
STORED = [kind for kind in all_kinds() if kind.stored]


def test_no_two_are_called_alike() -> None:
    places = [(kind.group, kind.plural) for kind in all_kinds()]
    assert len(places) == len(set(places))
    assert len({kind.group for kind in all_kinds()}) == 21


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.group_resource)
def test_every_version_has_a_schema(kind: Kind) -> None:
    assert kind.storage_version in kind.versions
    for version in kind.versions:
        assert schemas.load().has(kind.schema_name(version))


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.group_resource)
def test_rows_fit_the_columns(kind: Kind) -> None:
    obj = KindTester(kind).decode({"metadata": {"name": "a"}})
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    cells = kind.cells(obj, KindTester(kind).clock)
    # The original prints the age of an IPAddress without a column for it.
    assert len(cells) == len(kind.columns) + (kind.kind == "IPAddress")
    for column, cell in zip(kind.columns, cells, strict=False):
        assert isinstance(cell, CELLS.get(column.type, (str, int))), (column, cell)


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.group_resource)
def test_selectable_fields_are_always_there(kind: Kind) -> None:
    empty = kind.selectable_fields({"metadata": {}})
    full = kind.selectable_fields(KindTester(kind).decode({"metadata": {"name": "a"}}))
    assert empty.keys() == full.keys()
    assert all(isinstance(value, str) for value in (*empty.values(), *full.values()))
