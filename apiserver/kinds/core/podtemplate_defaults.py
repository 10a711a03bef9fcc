"""Defaults of pods and pod templates, as the original's pkg/apis/core/v1 sets them after decoding.

    default_pod_template(template)   metadata and spec of a PodTemplateSpec: workload kinds call this from their default()
    default_pod_spec(spec)           a PodSpec alone
    default_pod(pod)                 what only a Pod gets (requests from limits, host ports, service links), then its spec
    default_claim_spec(spec)         a PersistentVolumeClaimSpec (claims, ephemeral volumes, claim templates)
    default_resource_list(resources) quantities rounded up to thousandths

All change the object they are given, tolerate missing parts, and are idempotent. Fields with two names (serviceAccount
and serviceAccountName) are brought into step here, as the original does when it converts. Fields of features that are
switched off go later (pod_features.py): until then they count for managedFields.
"""

from __future__ import annotations

import re
from typing import Any

from apimachinery import memo, pods, quantity
from apimachinery.quantity import MILLI, QuantityError
from apiserver.registry.kind import Obj

_INIT_ANNOTATIONS = (
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
)
_FILE_MODE = 0o644

# Image references, after the grammar of github.com/distribution/reference.
_DOMAIN_PART = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = "[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>{_DOMAIN}/{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_IDENTIFIER = re.compile("[a-f0-9]{64}")


@memo.short(4096)
def default_pull_policy(image: str) -> str:
    """Always for what means the tag "latest"; IfNotPresent for other tags, digests and what is no reference at all."""
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"


def image_tag(image: str) -> str:
    """An image reference's tag: "latest" when it has neither tag nor digest, "" for digests and malformed references."""
    if _IDENTIFIER.fullmatch(image):
        return ""
    head, slash, rest = image.partition("/")
    if not slash or ("." not in head and ":" not in head and head != "localhost" and head.lower() == head):
        head, rest = "docker.io", image
    match = _REFERENCE.fullmatch(f"{head}/{rest}")
    if not match or len(match["name"]) > 255:
        return ""
    return match["tag"] or ("" if match["digest"] else "latest")


@memo.short(16384, 64)
def _rounded(text: str) -> str:
    try:
        parsed = quantity.parse(text)
    except QuantityError:
        return text
    rounded = parsed.round_up(MILLI)
    return text if rounded is parsed else str(rounded)


def default_resource_list(resources: dict[str, Any] | None) -> None:
    """Round quantities up to thousandths."""
    if resources:
        for name, value in resources.items():
            if type(value) is str:
                resources[name] = _rounded(value)


def _default_requirements(requirements: Obj | None) -> None:
    if requirements:
        default_resource_list(requirements.get("limits"))
        default_resource_list(requirements.get("requests"))


# -- pods and templates


def default_pod_template(template: Obj | None) -> None:
    """A PodTemplateSpec."""
    if template is None:
        return
    drop_init_annotations(template.get("metadata"))
    default_pod_spec(template.setdefault("spec", {}))


def drop_init_annotations(metadata: Obj | None) -> None:
    """Annotations by which init containers were declared before they had a field never survive decoding."""
    annotations = (metadata or {}).get("annotations")
    if annotations and not annotations.keys().isdisjoint(_INIT_ANNOTATIONS):
        for key in _INIT_ANNOTATIONS:
            annotations.pop(key, None)
        if not annotations and metadata:
            del metadata["annotations"]


def default_pod(pod: Obj) -> None:
    """A Pod: first what its containers' limits imply, then the spec's own defaults."""
    spec = pod.setdefault("spec", {})
    drop_init_annotations(pod.get("metadata"))
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            _requests_from_limits(container.get("resources"))
    if spec.get("resources"):
        _default_pod_resources(pod, spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        for group in ("containers", "initContainers"):
            for container in spec.get(group) or ():
                for port in container.get("ports") or ():
                    if not port.get("hostPort") and port.get("containerPort"):
                        port["hostPort"] = port["containerPort"]
    default_pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1  # in pods alone; templates keep what they were given


def _requests_from_limits(requirements: Obj | None) -> None:
    limits = requirements.get("limits") if requirements else None
    if not limits or requirements is None:
        return
    requests = requirements.get("requests")
    if requests is None:
        requirements["requests"] = dict(limits)
        return
    for name, value in limits.items():
        requests.setdefault(name, value)


def default_empty_requests(pod: Obj) -> None:
    """Limits that are there, though empty, bring requests along."""
    for group in ("containers", "initContainers"):
        for container in pod["spec"].get(group) or ():
            requirements = container.get("resources") or {}
            if requirements.get("limits") == {}:
                container["resources"] = {**requirements, "requests": requirements.get("requests") or {}}


def _default_pod_resources(pod: Obj, spec: Obj) -> None:
    """Pod-level resources: huge page limits, then requests, each from what the containers add up to."""
    level = spec["resources"]
    limits, requests = level.get("limits") or {}, level.get("requests") or {}
    if not limits and not requests:
        return
    container_limits = pods.limits(pod, overhead=False, pod_level=False)
    for name, value in container_limits.items():
        if name.startswith("hugepages-") and name not in requests:
            limits.setdefault(name, str(value))
    if limits:
        for name, value in pods.requests(pod, overhead=False, pod_level=False).items():
            if name in ("cpu", "memory"):
                requests.setdefault(name, str(value))
        for name, text in limits.items():
            if pods.is_pod_level_resource(name):
                requests.setdefault(name, text)
    if limits:
        level["limits"] = limits
    if requests:
        level["requests"] = requests


def default_pod_spec(spec: Obj) -> None:
    """A PodSpec, in a pod or a template."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            default_container(container)
    if "overhead" in spec:
        default_resource_list(spec["overhead"])
    if "resources" in spec:
        _default_requirements(spec["resources"])


# -- containers


def default_container(container: Obj) -> None:
    """A Container or EphemeralContainer."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = default_pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = container.get("resources")
    if resources:
        _default_requirements(resources)
    elif resources is None:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            if source.get("fieldRef") is not None:
                _default_field_ref(source["fieldRef"])
            if source.get("fileKeyRef") is not None and source["fileKeyRef"].get("optional") is None:
                source["fileKeyRef"]["optional"] = False
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            _default_probe(probe)
    if lifecycle := container.get("lifecycle"):
        for name in ("postStart", "preStop"):
            if handler := lifecycle.get(name):
                _default_http_get(handler.get("httpGet"))


def _default_field_ref(reference: Obj) -> None:
    if not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _default_probe(probe: Obj) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    _default_http_get(probe.get("httpGet"))
    if (grpc := probe.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_http_get(action: Obj | None) -> None:
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


# -- volumes


def _default_volume(volume: Obj) -> None:
    sources = [name for name, value in volume.items() if name != "name" and value is not None]
    if not sources:
        volume["emptyDir"] = {}
        return
    for name in sources:
        if function := _SOURCES.get(name):
            function(volume[name])


def _set(source: Obj, **defaults: Any) -> None:
    for name, value in defaults.items():
        if source.get(name) is None or source[name] == "":
            source[name] = value


def _default_mode(source: Obj) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = _FILE_MODE


def _default_downward(source: Obj) -> None:
    _default_mode(source)
    _default_downward_items(source)


def _default_downward_items(source: Obj) -> None:
    for item in source.get("items") or ():
        if item.get("fieldRef") is not None:
            _default_field_ref(item["fieldRef"])


def _default_projected(source: Obj) -> None:
    _default_mode(source)
    for part in source.get("sources") or ():
        if part.get("downwardAPI") is not None:
            _default_downward_items(part["downwardAPI"])
        if (token := part.get("serviceAccountToken")) is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600


def _default_image(source: Obj) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = default_pull_policy(source.get("reference") or "")


def _default_ephemeral(source: Obj) -> None:
    if (template := source.get("volumeClaimTemplate")) is not None:
        default_claim_spec(template.setdefault("spec", {}))


def default_host_path(source: Obj) -> None:
    if source.get("type") is None:
        source["type"] = ""


def default_iscsi(source: Obj) -> None:
    _set(source, iscsiInterface="default")


def default_rbd(source: Obj) -> None:
    _set(source, pool="rbd", user="admin", keyring="/etc/ceph/keyring")


def default_azure_disk(source: Obj) -> None:
    for name, value in (("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("readOnly", False), ("kind", "Shared")):
        if source.get(name) is None:
            source[name] = value


def default_scale_io(source: Obj) -> None:
    _set(source, storageMode="ThinProvisioned", fsType="xfs")


_SOURCES = {
    "hostPath": default_host_path,
    "secret": _default_mode,
    "configMap": _default_mode,
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "image": _default_image,
    "ephemeral": _default_ephemeral,
    "iscsi": default_iscsi,
    "rbd": default_rbd,
    "azureDisk": default_azure_disk,
    "scaleIO": default_scale_io,
}


def default_claim_spec(spec: Obj) -> None:
    """A PersistentVolumeClaimSpec."""
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    _default_requirements(spec.get("resources"))
