"""Ingresses, their classes, and NetworkPolicies."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.networking.ingress import Ingress
from apiserver.kinds.networking.ingressclass import IngressClass
from apiserver.kinds.networking.networkpolicy import NetworkPolicy
from tests.support.kindtest import KindTester, changed

BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
INGRESS: dict[str, Any] = {
    "metadata": {"name": "i"},
    "spec": {
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]
    },
}
POLICY: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {
        "podSelector": {},
        "ingress": [
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}
        ],
    },
}
PATHS = "spec.rules[0].http.paths[0]"
RULE = "spec.ingress[0]"
ingresses, policies = KindTester(Ingress()), KindTester(NetworkPolicy())


def starts(found: list[str], errors: list[str]) -> None:
    assert [text[: len(error)] for text, error in zip(found, errors, strict=True)] == errors


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({}, []),
        ({"spec": {}}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            {"spec.rules[0].host": "1.2.3.4"},
            ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
        ),
        ({"spec.rules[0].host": "*.example"}, []),
        ({"spec.rules[0].host": "*"}, ["spec.rules[0].host: Invalid value"]),
        ({f"{PATHS}.path": "a"}, [f'{PATHS}.path: Invalid value: "a": must be an absolute path']),
        ({f"{PATHS}.path": "/a//b"}, [f"{PATHS}.path: Invalid value: \"/a//b\": must not contain '//'"]),
        ({f"{PATHS}.pathType": "Like"}, [f"{PATHS}.pathType: Unsupported value"]),
        (
            {f"{PATHS}.backend": {}},
            [f'{PATHS}.backend: Invalid value: "": resource or service backend is required'],
        ),
        (
            {f"{PATHS}.backend.service.port": {"number": 80, "name": "http"}},
            [f'{PATHS}.backend: Invalid value: "": cannot set both port name & port number'],
        ),
        (
            {"spec.ingressClassName": "a", "metadata.annotations": {"kubernetes.io/ingress.class": "b"}},
            ["annotations.kubernetes.io/ingress.class: Invalid value"],
        ),
    ],
)
def test_ingresses(edits: dict[str, Any], errors: list[str]) -> None:
    starts(ingresses.create(changed(INGRESS, edits)).errors, errors)


def test_the_class_annotation_warns() -> None:
    note = {"metadata.annotations": {"kubernetes.io/ingress.class": "b"}}
    warnings = ingresses.create(changed(INGRESS, note)).warnings
    assert warnings == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]


def test_classes_stay_with_their_controller() -> None:
    tester = KindTester(IngressClass())
    good: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"controller": "example.com/c"}}
    old = tester.create(good).obj
    assert tester.update(changed(good, {"spec.controller": "example.com/d"}), old).errors == [
        'spec.controller: Invalid value: "example.com/d": field is immutable'
    ]


def test_policy_defaults() -> None:
    outcome = policies.create(POLICY)
    assert outcome.errors == []
    assert outcome.obj["spec"]["policyTypes"] == ["Ingress"]
    assert outcome.obj["spec"]["ingress"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    both = policies.create(changed(POLICY, {"spec.egress": [{}]})).obj
    assert both["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        (
            {f"{RULE}.ports[0].port": 0},
            [f"{RULE}.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        ({f"{RULE}.ports[0].protocol": "ICMP"}, [f"{RULE}.ports[0].protocol: Unsupported value"]),
        (
            {f"{RULE}.ports[0].endPort": 70},
            [f"{RULE}.ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
        ),
        ({f"{RULE}.from[0]": {}}, [f"{RULE}.from[0]: Required value: must specify a peer"]),
        (
            {f"{RULE}.from[0].podSelector": {}},
            [f"{RULE}.from[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        (
            {f"{RULE}.from[0].ipBlock.except[0]": "11.0.0.0/8"},
            [f'{RULE}.from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/8": must be a strict subset of `cidr`'],
        ),
        ({f"{RULE}.from[0].ipBlock.cidr": "10.0.0.1"}, [f"{RULE}.from[0].ipBlock.cidr: Invalid value"]),
    ],
)
def test_policies(edits: dict[str, Any], errors: list[str]) -> None:
    found = policies.create(changed(POLICY, edits)).errors
    starts(found[: len(errors)], errors)
