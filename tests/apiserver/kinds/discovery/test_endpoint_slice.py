"""EndpointSlice."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.discovery.endpointslice import EndpointSlice
from tests.support.kindtest import KindTester, changed

GOOD: dict[str, Any] = {
    "metadata": {"name": "e"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"]}],
    "ports": [{"port": 80}],
}
tester = KindTester(EndpointSlice())


def test_defaults() -> None:
    obj = tester.create(GOOD).obj
    assert obj["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert obj["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {}}]


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"addressType": ""}, "addressType: Required value"),
        ({"addressType": "IPv5"}, "addressType: Unsupported value"),
        ({"endpoints[0].addresses": []}, "endpoints[0].addresses: Required value"),
        ({"endpoints[0].addresses[0]": "::1"}, "endpoints[0].addresses: Invalid value"),
        ({"endpoints[0].addresses[0]": "127.0.0.1"}, "endpoints[0].addresses[0]: Invalid value"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "ports[1].name: Duplicate value"),
        ({"endpoints[0].hostname": "A"}, "endpoints[0].hostname: Invalid value"),
    ],
)
def test_faults(edits: dict[str, Any], error: str) -> None:
    assert tester.create(changed(GOOD, edits)).errors[0].startswith(error)


def test_the_address_type_stays() -> None:
    names = changed(GOOD, {"addressType": "FQDN", "endpoints[0].addresses[0]": "a.example"})
    assert "addressType" in tester.update(names, tester.create(GOOD).obj).errors[0]
