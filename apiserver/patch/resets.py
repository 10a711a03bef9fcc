"""Fields that a write to a resource or subresource cannot change, and so nobody comes to own by trying (reset fields).

The main resource of a kind with a status subresource resets status, the status subresource resets spec; the exceptions are
listed here, as the original's strategies list them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apiserver.patch import fieldset
from apiserver.patch.fieldset import Set
from apiserver.registry.kind import Kind

# (group resource, subresource) -> paths, where the rule above does not say it.
_EXCEPTIONS: Mapping[tuple[str, str], Sequence[str]] = {
    ("pods", "status"): ("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("pods", "ephemeralcontainers"): ("status",),
    ("pods", "resize"): ("status",),
    ("namespaces", "finalize"): ("status",),
    ("deployments.apps", "status"): ("spec", "metadata.labels"),
    ("certificatesigningrequests.certificates.k8s.io", ""): ("spec", "status"),
    ("certificatesigningrequests.certificates.k8s.io", "status"): ("spec", "status.conditions"),
    ("certificatesigningrequests.certificates.k8s.io", "approval"): ("spec", "status.certificate"),
    ("validatingadmissionpolicies.admissionregistration.k8s.io", "status"): ("metadata", "spec"),
    ("volumeattachments.storage.k8s.io", "status"): ("metadata", "spec"),
    ("servicecidrs.networking.k8s.io", "status"): ("metadata", "spec"),
    ("resourceclaims.resource.k8s.io", "status"): ("metadata", "spec"),
    ("flowschemas.flowcontrol.apiserver.k8s.io", "status"): ("metadata", "spec"),
    ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "status"): ("metadata", "spec"),
}


def reset_fields(kind: Kind, subresource: str = "", *, custom: bool = False) -> dict[str, Set]:
    """api_version -> set, for each version of the kind."""
    paths = _EXCEPTIONS.get((kind.group_resource, subresource))
    if paths is None:
        has_status = any(sub.name == "status" for sub in kind.subresources)
        if not subresource:
            paths = kind.status_fields if has_status else ()
        elif subresource == "status":
            paths = ("metadata", "spec") if custom else ("spec",)
        else:
            paths = ()
    if not paths:
        return {}
    fields = fieldset.of_paths(*(tuple(f"f:{name}" for name in path.split(".")) for path in paths))
    return {kind.api_version(version): fields for version in kind.known_versions}
