"""JSONPath of printer columns."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.registry import crd_paths

OBJ: dict[str, Any] = {
    "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], "m": {"x.y": 1}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.ports[0].port", [80]),
        (".spec.ports[-1].port", [81]),
        (".spec.ports[*].port", [80, 81]),
        (".spec.ports[0:1].name", ["a"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".spec.ports[?(@.port>80)].name", ["b"]),
        (".spec.m['x.y']", [1]),
        (".spec.m.x\\.y", [1]),
        (".spec.nothing.at.all", []),
        ("{.spec.ports[1].name}", ["b"]),
        (".spec..name", ["a", "b"]),
    ],
)
def test_finds(path: str, found: list[Any]) -> None:
    assert crd_paths.find(path, OBJ) == found


@pytest.mark.parametrize("path", [".spec[", ".spec[x]", ".a{b"])
def test_refuses(path: str) -> None:
    with pytest.raises(crd_paths.PathError):
        crd_paths.find(path, OBJ)
