"""Audit policies: what they may say, and which rule a request matches."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver import requestinfo
from apiserver.audit import policy
from apiserver.authn.user import User

ANN = User("ann", groups=("dev", "system:authenticated"))
HEAD = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}


def parsed(*rules: dict[str, Any], **rest: Any) -> policy.Policy:
    return policy.parse({**HEAD, "rules": list(rules), **rest})


@pytest.mark.parametrize(
    ("rule", "method", "path", "matches"),
    [
        ({}, "GET", "/version", True),
        ({"users": ["ann"]}, "GET", "/version", True),
        ({"users": ["bob"]}, "GET", "/version", False),
        ({"userGroups": ["ops", "dev"]}, "GET", "/version", True),
        ({"verbs": ["list"]}, "GET", "/api/v1/pods", True),
        ({"verbs": ["watch"]}, "GET", "/api/v1/pods", False),
        ({"namespaces": ["a"]}, "GET", "/api/v1/namespaces/a/pods", True),
        ({"namespaces": ["a"]}, "GET", "/api/v1/namespaces/b/pods", False),
        ({"namespaces": [""]}, "GET", "/api/v1/pods", True),
        ({"namespaces": ["a"]}, "GET", "/version", False),
        ({"resources": [{"group": ""}]}, "GET", "/api/v1/pods", True),
        ({"resources": [{"group": "apps"}]}, "GET", "/api/v1/pods", False),
        ({"resources": [{"group": "*", "resources": ["pods"]}]}, "GET", "/api/v1/pods", True),
        ({"resources": [{"resources": ["pods"]}]}, "GET", "/api/v1/namespaces/a/pods/x/log", False),
        ({"resources": [{"resources": ["pods/log"]}]}, "GET", "/api/v1/namespaces/a/pods/x/log", True),
        ({"resources": [{"resources": ["pods/*"]}]}, "GET", "/api/v1/namespaces/a/pods/x/log", True),
        ({"resources": [{"resources": ["*/log"]}]}, "GET", "/api/v1/namespaces/a/pods/x/log", True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["x"]}]}, "GET", "/api/v1/namespaces/a/pods/x", True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["y"]}]}, "GET", "/api/v1/namespaces/a/pods/x", False),
        ({"nonResourceURLs": ["/healthz*"]}, "GET", "/healthz/ping", True),
        ({"nonResourceURLs": ["/healthz"]}, "GET", "/healthz/ping", False),
        ({"nonResourceURLs": ["*"]}, "GET", "/api/v1/pods", False),
    ],
)
def test_rules(rule: dict[str, Any], method: str, path: str, matches: bool) -> None:
    found = parsed({"level": "Metadata", **rule}).evaluate(ANN, requestinfo.parse(method, path, {}))
    assert (found.level == policy.METADATA) is matches


def test_the_first_rule_that_matches_counts() -> None:
    rules = parsed(
        {"level": "None", "users": ["bob"]},
        {"level": "Request", "verbs": ["get"], "omitStages": ["RequestReceived"], "omitManagedFields": False},
        {"level": "Metadata"},
        omitStages=["Panic"],
        omitManagedFields=True,
    )
    found = rules.evaluate(ANN, requestinfo.parse("GET", "/api/v1/namespaces/a/pods/x", {}))
    assert found == policy.Recorded(policy.REQUEST, frozenset(("RequestReceived", "Panic")), False)
    found = rules.evaluate(ANN, requestinfo.parse("POST", "/api/v1/namespaces/a/pods", {}))
    assert found == policy.Recorded(policy.METADATA, frozenset(("Panic",)), True)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "holds no object"),
        ({"kind": "Policy", "rules": []}, 'no kind "Policy" is registered'),
        ({**HEAD}, "loaded illegal policy with 0 rules"),
        ({**HEAD, "rules": [{}]}, "rules[0].level: Required value"),
        (
            {**HEAD, "rules": [{"level": "All"}]},
            'rules[0].level: Unsupported value: "All": supported values: "None", "Metadata", "Request", "RequestResponse"',
        ),
        (
            {**HEAD, "rules": [{"level": "None", "nonResourceURLs": ["x"]}]},
            "non-resource URL rules must begin with a '/' character",
        ),
        (
            {**HEAD, "rules": [{"level": "None", "nonResourceURLs": ["/a*b"]}]},
            "non-resource URL wildcards '*' must be the final character of the rule",
        ),
        (
            {**HEAD, "rules": [{"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["x"]}]},
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            {**HEAD, "rules": [{"level": "None", "resources": [{"resourceNames": ["x"]}]}]},
            "using resourceNames requires at least one resource",
        ),
        (
            {**HEAD, "rules": [{"level": "None", "omitStages": ["Never"]}]},
            "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
        ),
        ({**HEAD, "rules": [{"level": "None", "users": "ann"}]}, "must be a list of strings"),
    ],
)
def test_what_a_policy_must_not_say(document: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        policy.parse(document)
    assert text in str(refused.value)
