"""Objects made at random from the schemas: they are refused or taken, but no hook of any kind breaks on one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.kinds import all_kinds
from apiserver.registry.kind import Kind
from openapi.explain import DecodeError
from openapi.schemas import TypeInfo
from tests.support.kindtest import KindTester

OBJECTS = 12  # of each kind
TEXTS = (
    "", "a", "x.example.com/a", "a b", "é", "A" * 300, "5", "default", "*", "*/5 * * * *", "Europe/Paris", "true",
    "1.2.3.4", "010.1.1.1", "10.0.0.0/8", "::1", "2001:db8::/32", "http://x", "9" * 5000 + "%",
    "TCP", "Always", "Equal", "In", "Exists", "Allow", "Delete", "Recreate", "RollingUpdate", "Indexed", "User", "Group",
    "ServiceAccount", "Role", "Resource", "Pods", "External", "Object", "ContainerResource", "Utilization", "Queue",
)  # fmt: skip
SCALARS: dict[str, tuple[Any, ...]] = {
    "s": TEXTS,
    "i32": (0, 1, -1, 5, 65536, 2**31 - 1, -(2**31)),
    "i64": (0, 1, -1, 5, 2**63 - 1, -(2**63)),
    "b": (True, False),
    "d": (0.5, 1.0),
    "y": ("", "YQ==", "LS0t"),
    "Q": ("1", "0", "-1", "100m", "1Gi", "5e3"),
    "I": (0, 1, -1, "50%", "", "a", "150%", "9" * 5000),
    "T": ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    "M": ("2026-01-01T00:00:00.000001Z",),
    "D": ("1h0m0s",),
}


def make(info: TypeInfo, dice: random.Random, depth: int = 0) -> Any:
    """A value of the type; the deeper, the emptier."""
    if info.kind == "scalar":
        return dice.choice(SCALARS[info.code])
    if info.kind == "any":
        return dice.choice(({}, {"a": 1}))
    if info.kind == "list":
        assert info.elem is not None
        return [make(info.elem, dice, depth + 1) for _ in range(dice.choice((0, 1, 1, 2)))]
    if info.kind == "map":
        assert info.elem is not None
        return {dice.choice(TEXTS): make(info.elem, dice, depth + 1) for _ in range(dice.choice((0, 1, 2)))}
    share = 0.6 if depth < 3 else 0.35 if depth < 6 else 0.15 if depth < 14 else 0.0
    return {n: make(f.type, dice, depth + 1) for n, f in info.fields.items() if dice.random() < share}


async def agree(*_: Any) -> None:
    """A service that has nothing to say."""


class Agreeable(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return agree


def body(kind: Kind, version: str, dice: random.Random) -> dict[str, Any]:
    made = make(kind.type_info(version), dice)
    return {**made, "metadata": {"name": "a"}, "apiVersion": kind.api_version(version), "kind": kind.kind}


@pytest.mark.parametrize(
    "kind", [k for k in all_kinds() if k.stored and k.shares is None], ids=lambda k: k.group_resource
)
def test_hooks_take_anything(kind: Kind) -> None:
    tester = KindTester(kind)
    tester.services = Agreeable()
    dice = random.Random(kind.group_resource)
    for _ in range(OBJECTS):
        try:
            stored = tester.create(body(kind, kind.storage_version, dice)).obj
            kind.cells(stored, tester.clock)
            kind.selectable_fields(stored)
            for subresource in ("", *(sub.name for sub in kind.subresources if sub.name == "status")):
                tester.update(body(kind, kind.storage_version, dice), stored, subresource=subresource)
        except (ApiError, DecodeError):
            continue


@pytest.mark.parametrize("kind", [k for k in all_kinds() if len(k.versions) > 1], ids=lambda k: k.group_resource)
def test_conversions_take_anything(kind: Kind) -> None:
    dice = random.Random(kind.group_resource)
    for version in kind.versions:
        for _ in range(OBJECTS * 5):
            try:
                obj = kind.type_info(version).decode(body(kind, version, dice))[0]
            except DecodeError:
                continue
            kind.default(obj, version)
            for other in kind.versions:
                if other != version:
                    kind.convert(kind.convert(obj, version, other), other, version)
