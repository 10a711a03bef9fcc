"""ConfigMap."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apiserver.kinds.core.config_map import CONFIG_MAP
from tests.support.kindtest import KindTester, changed

MAP: dict[str, Any] = {"metadata": {"name": "a"}, "data": {"key": "value"}, "binaryData": {"bytes": "AAE="}}
FROZEN = changed(MAP, {"immutable": True})
tester = KindTester(CONFIG_MAP)
KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def test_a_good_one() -> None:
    outcome = tester.create(MAP)
    assert outcome.errors == []
    assert outcome.obj["data"] == {"key": "value"}


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"data[a b]": ""}, [f'data[a b]: Invalid value: "a b": {KEY_TEXT}']),
        ({"data": {"..": ""}}, ["data[..]: Invalid value: \"..\": must not be '..'"]),
        ({"binaryData": {"..x": ""}}, ["binaryData[..x]: Invalid value: \"..x\": must not start with '..'"]),
        ({"data[bytes]": ""}, ['data[bytes]: Invalid value: "bytes": duplicate of key present in binaryData']),
        ({"data": {"a": "x" * (1024 * 1024 - 1)}}, ["[]: Too long: may not be more than 1048576 bytes"]),
        ({"data": {"a": "é" * 524287}}, []),
        ({"metadata.name": "A"}, None),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str] | None) -> None:
    found = tester.create(changed(MAP, edits)).errors
    assert found == errors if errors is not None else found


def test_binary_values_count_as_bytes() -> None:
    big = base64.b64encode(bytes(1024 * 1024)).decode()
    assert tester.create({"metadata": {"name": "a"}, "binaryData": {"a": big}}).errors == []


def test_immutable_ones_stay() -> None:
    old = tester.create(FROZEN).obj
    assert tester.update(changed(FROZEN, {"metadata.labels": {"a": "b"}}), old).errors == []
    edits = {"immutable": False, "data.key": "other", "binaryData": {"bytes": "AA=="}}
    assert tester.update(changed(FROZEN, edits), old).errors == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
        "binaryData: Forbidden: field is immutable when `immutable` is set",
    ]


def test_others_may_become_immutable() -> None:
    assert tester.update(FROZEN, tester.create(MAP).obj).errors == []
