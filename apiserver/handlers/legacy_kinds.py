"""What a body of another kind or version is refused with.

The original decodes a body as the kind that it says it is before it finds that this is not the one wanted, so the errors
of that kind come first. Versions that are served no longer are still known to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery import errors, gvk
from openapi import codec, schemas

if TYPE_CHECKING:
    from apiserver.handlers.scope import Expected

SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'

_WORKLOADS = ("Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "ControllerRevision")
# (group, version) no longer served -> kinds that the original still decodes there, with the group they belong to now.
_RETIRED: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("extensions", "v1beta1"): ("", ("Deployment", "DaemonSet", "ReplicaSet", "Ingress", "NetworkPolicy", "Scale")),
    ("apps", "v1beta1"): ("apps", ("Deployment", "StatefulSet", "ControllerRevision", "Scale")),
    ("apps", "v1beta2"): ("apps", (*_WORKLOADS, "Scale")),
    ("batch", "v1beta1"): ("batch", ("CronJob",)),
    ("autoscaling", "v2beta1"): ("autoscaling", ("HorizontalPodAutoscaler",)),
    ("autoscaling", "v2beta2"): ("autoscaling", ("HorizontalPodAutoscaler",)),
    ("policy", "v1beta1"): ("policy", ("PodDisruptionBudget", "Eviction")),
    ("networking.k8s.io", "v1beta1"): ("networking.k8s.io", ("Ingress", "IngressClass", "IPAddress", "ServiceCIDR")),
    ("rbac.authorization.k8s.io", "v1beta1"): (
        "rbac.authorization.k8s.io",
        ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    ),
    ("rbac.authorization.k8s.io", "v1alpha1"): (
        "rbac.authorization.k8s.io",
        ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    ),
    ("storage.k8s.io", "v1beta1"): (
        "storage.k8s.io",
        ("StorageClass", "VolumeAttachment", "CSIDriver", "CSINode", "CSIStorageCapacity", "VolumeAttributesClass"),
    ),
    ("scheduling.k8s.io", "v1beta1"): ("scheduling.k8s.io", ("PriorityClass",)),
    ("node.k8s.io", "v1beta1"): ("node.k8s.io", ("RuntimeClass",)),
    ("events.k8s.io", "v1beta1"): ("events.k8s.io", ("Event",)),
    ("discovery.k8s.io", "v1beta1"): ("discovery.k8s.io", ("EndpointSlice",)),
    ("coordination.k8s.io", "v1beta1"): ("coordination.k8s.io", ("Lease", "LeaseCandidate")),
    ("certificates.k8s.io", "v1beta1"): ("certificates.k8s.io", ("CertificateSigningRequest", "ClusterTrustBundle")),
    ("admissionregistration.k8s.io", "v1beta1"): (
        "admissionregistration.k8s.io",
        (
            "ValidatingWebhookConfiguration",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ),
    ),
    ("flowcontrol.apiserver.k8s.io", "v1beta3"): (
        "flowcontrol.apiserver.k8s.io",
        ("FlowSchema", "PriorityLevelConfiguration"),
    ),
}


def refuse(parsed: codec.Parsed, kind: str, api_version: str, expected: Expected) -> None:
    """Raise the 400 for a body that says it is `kind` of `api_version` where something else is expected."""
    from apiserver.handlers.scope import cannot_handle

    text, alone = problem(parsed, kind, api_version, expected)
    if alone:
        raise errors.bad_request(text)
    raise cannot_handle(kind, gvk.split_api_version(api_version)[1], expected, text)


def problem(parsed: codec.Parsed, kind: str, api_version: str, expected: Expected) -> tuple[str, bool]:
    """(what is wrong with such a body, whether the text says it all)."""
    group, version = gvk.split_api_version(api_version)
    mismatch = (
        f"the API version in the data ({api_version}) does not match the expected API version ({expected.api_version})"
    )
    same = kind == expected.kind
    if expected.custom:
        return (mismatch, True) if same else (f'unable to decode "{kind}" as "{expected.kind}"', False)
    types = schemas.load()
    name = f"{api_version}/{kind}"
    if types.has(name):
        try:
            codec.decode(types.type(name), parsed)
        except codec.DecodeError as error:
            return str(error), False
        if same and _same_kind(group, expected.group):
            return mismatch, True
        return _no_conversion(kind, version, expected), False
    current, kinds = _RETIRED.get((group, version), ("", ()))
    if same and kind in kinds and (not current or current == expected.group or kind == "Scale"):
        return mismatch, True
    if kind == "List" and api_version == "v1":
        return _no_conversion(kind, version, expected), False
    return f'no kind "{kind}" is registered for version "{api_version}" {SCHEME}', False


def _no_conversion(kind: str, version: str, expected: Expected) -> str:
    internal = f"{expected.group.partition('.')[0] or 'core'}.{expected.kind}"
    return f"converting ({version}.{kind}) to ({internal}): unknown conversion"


def _same_kind(group: str, wanted: str) -> bool:
    """Whether a kind of that name in both groups is one internal type: Events of core and events.k8s.io are."""
    return group == wanted or {group, wanted} == {"", "events.k8s.io"}
