"""Which plugins run, and in which order."""

from __future__ import annotations

import importlib

import pytest

from apiserver import admission
from apiserver.admission.chain import enabled

DEFAULT = [
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "NodeDeclaredFeatureValidator",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
]


def test_the_order_is_the_originals() -> None:
    assert [entry.name for entry in enabled(admission.Config())] == DEFAULT


def test_flags_turn_plugins_on_and_off() -> None:
    config = admission.Config(enable_admission_plugins=["NodeRestriction"], disable_admission_plugins=["Priority"])
    names = [entry.name for entry in enabled(config)]
    assert "Priority" not in names
    assert names.index("ServiceAccount") < names.index("NodeRestriction") < names.index("TaintNodesByCondition")


@pytest.mark.parametrize(
    ("on", "off"), [(["Nonsense"], []), ([], ["Nonsense"]), (["NodeRestriction"], ["NodeRestriction"])]
)
def test_bad_names_are_errors(on: list[str], off: list[str]) -> None:
    with pytest.raises(ValueError, match=r"unknown|overlapped"):
        enabled(admission.Config(enable_admission_plugins=on, disable_admission_plugins=off))


def test_every_plugin_is_there() -> None:
    for entry in admission.ORDER:
        assert hasattr(importlib.import_module(f"apiserver.admission.{entry.module}"), "Plugin")
