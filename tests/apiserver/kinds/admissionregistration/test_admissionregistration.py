"""Webhook configurations and admission policies."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy
from apiserver.kinds.admissionregistration.validatingadmissionpolicybinding import ValidatingAdmissionPolicyBinding
from apiserver.kinds.admissionregistration.validatingwebhookconfiguration import ValidatingWebhookConfiguration
from tests.support.kindtest import KindTester, changed

HOOK: dict[str, Any] = {
    "name": "a.example.com",
    "clientConfig": {"service": {"namespace": "ns", "name": "s"}},
    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
WEBHOOKS: dict[str, Any] = {"metadata": {"name": "w"}, "webhooks": [HOOK]}
POLICY: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {
        "matchConstraints": {"resourceRules": HOOK["rules"]},
        "validations": [{"expression": "object.metadata.name != 'x'"}],
    },
}
BINDING: dict[str, Any] = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}}
webhooks = KindTester(ValidatingWebhookConfiguration())
policies = KindTester(ValidatingAdmissionPolicy())
bindings = KindTester(ValidatingAdmissionPolicyBinding())


def test_webhook_defaults() -> None:
    outcome = webhooks.create(WEBHOOKS)
    assert outcome.errors == []
    hook = outcome.obj["webhooks"][0]
    assert (hook["failurePolicy"], hook["matchPolicy"], hook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (hook["namespaceSelector"], hook["objectSelector"]) == ({}, {})
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook["rules"][0]["scope"] == "*"


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"name": "short"}, "webhooks[0].name: Invalid value"),
        ({"sideEffects": "Some"}, "webhooks[0].sideEffects: Unsupported value"),
        ({"admissionReviewVersions": ["v9"]}, "webhooks[0].admissionReviewVersions: Invalid value"),
        (
            {"timeoutSeconds": 31},
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        ({"clientConfig": {}}, "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://x"}}, "webhooks[0].clientConfig.url: Invalid value"),
        ({"rules[0].operations": ["*", "CREATE"]}, "webhooks[0].rules[0].operations: Invalid value"),
        ({"rules[0].resources": ["*", "pods"]}, "webhooks[0].rules[0].resources: Invalid value"),
    ],
)
def test_faulty_webhooks(edits: dict[str, Any], error: str) -> None:
    found = webhooks.create({**WEBHOOKS, "webhooks": [changed(HOOK, edits)]}).errors
    assert found[0].startswith(error)


def test_two_webhooks_of_one_name() -> None:
    assert webhooks.create({**WEBHOOKS, "webhooks": [HOOK, HOOK]}).errors == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.validations": []}, "spec.validations: Required value"),
        ({"spec.validations[0].expression": " "}, "spec.validations[0].expression: Required value"),
        ({"spec.validations[0].reason": "Because"}, "spec.validations[0].reason: Unsupported value"),
        ({"spec.matchConstraints": None}, "spec.matchConstraints: Required value"),
        ({"spec.failurePolicy": "Maybe"}, "spec.failurePolicy: Unsupported value"),
    ],
)
def test_faulty_policies(edits: dict[str, Any], error: str) -> None:
    assert policies.create(POLICY).errors == []
    assert policies.create(changed(POLICY, edits)).errors[0].startswith(error)


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.policyName": ""}, "spec.policyName: Required value"),
        ({"spec.validationActions": []}, "spec.validationActions: Required value"),
        ({"spec.validationActions": ["Deny", "Warn"]}, "spec.validationActions: Invalid value"),
        ({"spec.validationActions": ["Deny", "Deny"]}, "spec.validationActions"),
        ({"spec.paramRef": {"name": "a", "selector": {}}}, "spec.paramRef.name: Forbidden"),
    ],
)
def test_faulty_bindings(edits: dict[str, Any], error: str) -> None:
    assert bindings.create(BINDING).errors == []
    assert bindings.create(changed(BINDING, edits)).errors[0].startswith(error)
