"""Endpoints: defaults, validation, warnings."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.endpoints import ENDPOINTS
from tests.support.kindtest import KindTester, changed
from tests.support.texts import LABEL, SUBDOMAIN

SLICE: dict[str, Any] = {
    "metadata": {"name": "a"},
    "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}],
}
tester = KindTester(ENDPOINTS)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        ({"subsets[0]": {}}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"], []),
        (
            {"subsets[0].addresses[0].ip": "x"},
            [
                (
                    'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 '
                    "or 2001:db8::ffff)"
                ),
                'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address',
            ],
            [],
        ),
        (
            {"subsets[0].addresses[0].ip": "127.0.0.1"},
            [
                (
                    'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range '
                    "(127.0.0.0/8, ::1/128)"
                )
            ],
            [],
        ),
        (
            {"subsets[0].notReadyAddresses": [{"ip": "01.2.3.4", "hostname": "A"}]},
            [
                'subsets[0].notReadyAddresses[0].ip: Invalid value: "01.2.3.4": must not have leading 0s',
                ('subsets[0].notReadyAddresses[0].hostname: Invalid value: "A":' + LABEL),
            ],
            [],
        ),
        (
            {"subsets[0].addresses[0].nodeName": "A"},
            [('subsets[0].addresses[0].nodeName: Invalid value: "A":' + SUBDOMAIN)],
            [],
        ),
        (
            {"subsets[0].addresses[0].ip": "fd00:0::1"},
            [],
            ['subsets[0].addresses[0].ip: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")'],
        ),
        (
            {"subsets[0].ports[1]": {"port": 0}},
            [
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].name: Required value",
                "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
            [],
        ),
        ({"subsets[0].ports[0].name": "A"}, [('subsets[0].ports[0].name: Invalid value: "A":' + LABEL)], []),
        (
            {"subsets[0].ports[0].protocol": "x"},
            ['subsets[0].ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"'],
            [],
        ),
        (
            {"subsets[0].ports[0].appProtocol": "a b"},
            [
                (
                    'subsets[0].ports[0].appProtocol: Invalid value: "a b": name part must consist of '
                    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
                    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
                )
            ],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(SLICE, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)


def test_defaults() -> None:
    assert tester.create(SLICE).obj["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]


def test_stored_faults_may_stay() -> None:
    old = tester.create(changed(SLICE, {"subsets[0].addresses[0].ip": "127.0.0.1"})).obj
    same = changed(SLICE, {"subsets[0].addresses[0].ip": "127.0.0.1", "metadata.labels": {"a": "b"}})
    assert tester.update(same, old).errors == []
    other = changed(same, {"subsets[0].ports[0].port": 81})
    assert tester.update(other, old).errors[0].startswith("subsets[0].addresses[0].ip: Invalid value")
