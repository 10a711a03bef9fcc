"""Roles and bindings. What a user may grant is decided by services (see the authorizer); here they agree to everything."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.rbac.clusterrole import ClusterRole
from apiserver.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from apiserver.kinds.rbac.role import Role
from apiserver.kinds.rbac.rolebinding import RoleBinding
from apiserver.registry.kind import Kind
from tests.support.kindtest import KindTester, changed

RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
ROLE: dict[str, Any] = {"metadata": {"name": "system:reader"}, "rules": [RULE]}
BINDING: dict[str, Any] = {
    "metadata": {"name": "b"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
    "subjects": [{"kind": "User", "name": "ada"}, {"kind": "ServiceAccount", "name": "s", "namespace": "ns"}],
}


async def agree(*_: Any) -> None:
    """The service's answer: the user may grant this."""


def of(kind: Kind) -> KindTester:
    tester = KindTester(kind)
    tester.services = {"rbac-role-check": agree, "rbac-binding-check": agree}
    return tester


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({}, []),
        ({"metadata.name": "a/b"}, ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]),
        ({"rules[0].verbs": []}, ["rules[0].verbs: Required value: verbs must contain at least one value"]),
        (
            {"rules[0].apiGroups": []},
            ["rules[0].apiGroups: Required value: resource rules must supply at least one api group"],
        ),
        (
            {"rules[0]": {"verbs": ["get"], "nonResourceURLs": ["/x"]}},
            ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
        ),
    ],
)
def test_roles(edits: dict[str, Any], errors: list[str]) -> None:
    found = of(Role()).create(changed(ROLE, edits)).errors
    assert (found[:1] if errors else found) == errors


def test_cluster_roles_may_name_paths() -> None:
    rule = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*", "*"]}
    assert of(ClusterRole()).create(changed(ROLE, {"rules[0]": rule})).errors == []
    selector = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a b": "c"}}]}}
    assert of(ClusterRole()).create(changed(ROLE, selector)).errors


def test_subjects_have_the_group_of_their_kind() -> None:
    subjects = of(RoleBinding()).create(BINDING).obj["subjects"]
    assert subjects[0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert "apiGroup" not in subjects[1]


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"subjects[0].kind": "Robot"}, "subjects[0].kind: Unsupported value"),
        ({"roleRef.kind": "Pod"}, "roleRef.kind: Unsupported value"),
        ({"roleRef.name": ""}, "roleRef.name: Required value"),
        ({"roleRef.apiGroup": "x"}, "roleRef.apiGroup: Unsupported value"),
    ],
)
def test_faulty_bindings(edits: dict[str, Any], error: str) -> None:
    assert [":".join(text.split(":")[:2]) for text in of(RoleBinding()).create(changed(BINDING, edits)).errors] == [
        error
    ]


def test_a_cluster_role_binding_refers_to_cluster_roles() -> None:
    tester = of(ClusterRoleBinding())
    assert tester.create(changed(BINDING, {"roleRef.kind": "ClusterRole", "subjects[1].namespace": ""})).errors == [
        "subjects[1].namespace: Required value"
    ]
    assert tester.create(BINDING).errors == ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"']


def test_what_is_bound_stays() -> None:
    tester = of(RoleBinding())
    old = tester.create(BINDING).obj
    assert tester.update(changed(BINDING, {"subjects": []}), old).errors == []
    assert tester.update(changed(BINDING, {"roleRef.name": "other"}), old).errors == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: '
        "cannot change roleRef"
    ]
