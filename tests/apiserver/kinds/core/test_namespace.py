"""Namespace and ServiceAccount."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.namespace import NAMESPACE
from apiserver.kinds.core.service_account import SERVICE_ACCOUNT
from tests.support.kindtest import KindTester, changed

SPACE: dict[str, Any] = {"metadata": {"name": "a"}}
tester = KindTester(NAMESPACE)
accounts = KindTester(SERVICE_ACCOUNT)


def test_a_new_one() -> None:
    given = changed(SPACE, {"status.phase": "Terminating", "spec.finalizers": ["example.com/mine"]})
    outcome = tester.create(given)
    assert outcome.errors == []
    assert outcome.obj["status"] == {"phase": "Active"}
    assert outcome.obj["spec"] == {"finalizers": ["example.com/mine", "kubernetes"]}
    assert outcome.obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}


def test_the_name_label_cannot_be_another() -> None:
    given = changed(SPACE, {"metadata.labels": {"kubernetes.io/metadata.name": "b", "x": "y"}})
    assert tester.create(given).obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a", "x": "y"}


def test_names_are_labels() -> None:
    assert tester.create({"metadata": {"name": "a.b"}}).errors[0].startswith('metadata.name: Invalid value: "a.b": ')


def test_finalizers_are_known_or_qualified() -> None:
    text = "name is neither a standard finalizer name nor is it fully qualified"
    assert tester.create(changed(SPACE, {"spec.finalizers": ["x", "orphan"]})).errors == [
        f'spec.finalizers: Invalid value: "x": {text}'
    ]
    old = tester.create(SPACE).obj
    assert tester.update(changed(SPACE, {"spec.finalizers": ["x"]}), old, subresource="finalize").errors == [
        f'spec.finalizers[0]: Invalid value: "x": {text}'
    ]


def test_only_finalize_changes_finalizers() -> None:
    old = tester.create(SPACE).obj
    assert tester.update(SPACE, old).obj["spec"] == {"finalizers": ["kubernetes"]}
    empty = tester.update(SPACE, old, subresource="finalize").obj
    assert not NAMESPACE.held(empty)
    assert NAMESPACE.held(old)


@pytest.mark.parametrize(
    ("phase", "deleting", "errors"),
    [
        ("Active", False, []),
        ("Terminating", True, []),
        (
            "Terminating",
            False,
            ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"],
        ),
        (
            "Active",
            True,
            ["status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty"],
        ),
    ],
)
def test_phases(phase: str, deleting: bool, errors: list[str]) -> None:
    old = tester.create(SPACE).obj
    new = changed(SPACE, {"status.phase": phase})
    if deleting:
        for obj in (old, new):
            obj["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z"
            obj["metadata"]["deletionGracePeriodSeconds"] = 0
    assert tester.update(new, old, subresource="status").errors == errors


def test_deletion_shows() -> None:
    obj = tester.create(SPACE).obj
    NAMESPACE.mark_deleting(obj)
    assert obj["status"]["phase"] == "Terminating"
    assert NAMESPACE.selectable_fields(obj) == {"status.phase": "Terminating"}


def test_accounts_refer_to_secrets_by_name() -> None:
    made = accounts.create({"metadata": {"name": "a"}, "secrets": [{"name": "s", "namespace": "x", "kind": "Secret"}]})
    assert made.errors == []
    assert made.obj["secrets"] == [{"name": "s"}]


def test_accounts_warn_of_an_annotation_once() -> None:
    annotated = {"metadata": {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    made = accounts.create(annotated)
    assert made.warnings == [
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
        "namespaces to isolate access to mounted secrets"
    ]
    assert accounts.update(annotated, made.obj).warnings == []
