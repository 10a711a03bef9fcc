"""Warnings about pods and templates: what is deprecated, does nothing, or hides something (pkg/api/pod/warnings.go).

pod_warnings(pod)                  at creation; updates of pods give none
template_warnings(template, path)  at creation of a workload and when its template changes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apimachinery import memo
from apimachinery.field import go_quote
from apiserver.validation import ips, names, resources
from apiserver.validation.pod.annotations import APPARMOR, SECCOMP_CONTAINER, SECCOMP_POD, profile_of_annotation
from apiserver.validation.pod.options import containers_with_path
from apiserver.validation.pod.volumes import API_ACCESS

Obj = Mapping[str, Any]

_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_OTHER_LABELS = {
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
DEPRECATED_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_FILES = frozenset(("configMap", "secret", "downwardAPI", "projected"))
_BYTES = ("memory", "ephemeral-storage")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NULL_SELECTOR = "a null labelSelector results in matching no pod"


def pod_warnings(pod: Obj) -> list[str]:
    """Warnings about a new pod."""
    warnings: list[str] = []
    if texts := names.dns_label(pod["metadata"].get("name") or ""):
        warnings.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(texts)}]"
        )
    return warnings + _warnings(pod["metadata"].get("annotations") or {}, pod.get("spec") or {}, "", template=False)


def template_warnings(template: Obj | None, path: str) -> list[str]:
    """Warnings about a pod template; path: its own, such as "spec.template"."""
    if not template:
        return []
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return _warnings(annotations, template.get("spec") or {}, path + ".", template=True)


def node_label_deprecation(label: str) -> str:
    """What to use instead of a deprecated node label, or ""."""
    if label not in _NODE_LABELS:
        return _OTHER_LABELS.get(label, "")
    since, new = _NODE_LABELS[label]
    return f'deprecated since {since}; use "{new}" instead'


def _warnings(annotations: Mapping[str, str], spec: Obj, prefix: str, *, template: bool) -> list[str]:
    """prefix: what precedes "spec" and "metadata" in paths."""
    path = prefix + "spec"
    out: list[str] = []
    for label in spec.get("nodeSelector") or ():
        if text := node_label_deprecation(label):
            out.append(f"{path}.nodeSelector[{label}]: {text}")
    if affinity := spec.get("affinity"):
        out += _affinity(affinity, path + ".affinity")
    for position, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{position}]", constraint.get("topologyKey") or ""
        if text := node_label_deprecation(key):
            out.append(f"{at}.topologyKey: {key} is {text}")
        if constraint.get("labelSelector") is None:
            out.append(f"{at}.labelSelector: {_NULL_SELECTOR}")
    if annotations:
        out += _annotations(annotations, spec, prefix, template=template)
    if volumes := spec.get("volumes"):
        out += _volumes(volumes, path + ".volumes")
    out += _lists(spec, path)
    if overhead := spec.get("overhead"):
        for name in _BYTES:
            out += _fractions(overhead, name, path + ".overhead")
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        out.append(f"{path}.terminationGracePeriodSeconds: {text}")
    ports = 0
    for container, at in containers_with_path(spec, path):
        if requirements := container.get("resources"):
            for part in ("limits", "requests"):
                if amounts := requirements.get(part):
                    for name in _BYTES:
                        if name in amounts:
                            out += _fractions(amounts, name, f"{at}.resources.{part}")
        if len(container.get("env") or ()) > 1:
            out += _hidden_variables(container["env"], at + ".env")
        if given := container.get("ports"):
            ports += 2 if "hostIP" in given[0] else len(given)
    if ports > 1:
        out += _ports(spec, path)
    return out


@memo.small(4096)
def _is_fraction(value: Any) -> bool:
    return resources.parse(value).milli_value() % 1000 != 0


def _fractions(amounts: Mapping[str, Any], name: str, path: str) -> list[str]:
    if name not in amounts or not _is_fraction(amounts[name]):
        return []
    value = resources.parse(amounts[name])
    return [f"{path}[{name}]: fractional byte value {go_quote(str(value))} is invalid, must be an integer"]


# -- scheduling


def _affinity(affinity: Obj, path: str) -> list[str]:
    out: list[str] = []
    node = affinity.get("nodeAffinity") or {}
    at = f"{path}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    for position, term in enumerate((node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        out += node_selector_term_warnings(term, f"{at}[{position}]", check_values=False)
    for position, term in enumerate(node.get(_PREFERRED) or ()):
        where = f"{path}.nodeAffinity.{_PREFERRED}[{position}].preference"
        out += node_selector_term_warnings(term.get("preference") or {}, where, check_values=True)
    for side in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(side) or {}
        for position, term in enumerate(terms.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                out.append(f"{path}.{side}.{_REQUIRED}[{position}].labelSelector: {_NULL_SELECTOR}")
        for position, weighted in enumerate(terms.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                where = f"{path}.{side}.{_PREFERRED}[{position}].podAffinityTerm.labelSelector"
                out.append(f"{where}: {_NULL_SELECTOR}")
    return out


def node_selector_term_warnings(term: Obj, path: str, *, check_values: bool) -> list[str]:
    """Deprecated labels, and (where validation lets them through) impossible values."""
    out: list[str] = []
    for position, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{position}]", expression.get("key") or ""
        if text := node_label_deprecation(key):
            out.append(f"{at}.key: {key} is {text}")
        if check_values:
            for number, value in enumerate(expression.get("values") or ()):
                out += [f"{at}.values[{number}]: {value} is invalid, {text}" for text in names.label_value(value)]
    return out


def node_label_selector_warnings(selector: Obj | None, path: str) -> list[str]:
    """Of a LabelSelector for nodes."""
    out = [] if selector is None else node_selector_term_warnings(selector, path, check_values=False)
    for label in (selector or {}).get("matchLabels") or ():
        if text := node_label_deprecation(label):
            out.append(f"{path}.matchLabels.{label}: {text}")
    return out


# -- metadata, volumes


def _annotations(annotations: Mapping[str, str], spec: Obj, prefix: str, *, template: bool) -> list[str]:
    path = prefix + "metadata.annotations"
    out = [f"{path}[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in annotations]
    context = spec.get("securityContext") or {}
    seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    if context.get("seccompProfile") is None and SECCOMP_POD in annotations:
        out.append(f"{path}[{SECCOMP_POD}]: {seccomp}")
    for container, _ in containers_with_path(spec, ""):
        own, name = container.get("securityContext") or {}, container.get("name") or ""
        if own.get("seccompProfile") is None and SECCOMP_CONTAINER + name in annotations:
            out.append(f"{path}[{SECCOMP_CONTAINER}{name}]: {seccomp}")
        if template and own.get("appArmorProfile") is None and APPARMOR + name in annotations:
            shared = context.get("appArmorProfile")
            if shared is None or shared != profile_of_annotation(annotations[APPARMOR + name]):
                out.append(f'{path}[{APPARMOR}{name}]: deprecated since v1.30; use the "appArmorProfile" field instead')
    return out


def _volumes(volumes: Sequence[Obj], path: str) -> list[str]:
    out: list[str] = []
    for position, volume in enumerate(volumes):
        at = f"{path}[{position}]"
        for name in volume:
            if name in DEPRECATED_VOLUMES and volume[name] is not None:
                out.append(f"{at}.{'storageOS' if name == 'storageos' else name}: {DEPRECATED_VOLUMES[name]}")
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template:
            out += claim_spec_warnings(template.get("spec") or {}, at + ".ephemeral.volumeClaimTemplate.spec")
        out += _overlaps(volume)
    return out


def claim_spec_warnings(spec: Obj, path: str) -> list[str]:
    """Warnings about a PersistentVolumeClaimSpec."""
    requirements = spec.get("resources") or {}
    return [
        text
        for part in ("requests", "limits")
        for text in _fractions(requirements.get(part) or {}, "storage", f"{path}.resources.{part}")
    ]


def _overlaps(volume: Obj) -> list[str]:
    """Files of one volume that would lie on or below each other."""
    if not _FILES & volume.keys():
        return []
    name = volume.get("name") or ""
    out: list[str] = []
    for kind, field_name, title in (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret")):
        if source := volume.get(kind):
            shown = f"{title} {go_quote(source.get(field_name) or '')}"
            out += [_overlap(name, shown, text) for text in _collisions(_paths(source, ""))]
    if source := volume.get("downwardAPI"):
        out += [_overlap(name, "DownwardAPI", text) for text in _collisions(_paths(source, ""))]
    source = volume.get("projected")
    if source and source != API_ACCESS:
        everything: list[tuple[str, str]] = []
        for part in source.get("sources") or ():
            if not any(value is not None for value in part.values()):
                out.append(f"volume {go_quote(name)} (Projected) has no sources provided")
            everything += _projected_paths(part)
        out += [_overlap(name, "Projected", text) for text in _collisions(everything)]
    return out


def _overlap(volume: str, source: str, text: str) -> str:
    return f"volume {go_quote(volume)} ({source}): overlapping paths: {text}"


def _paths(source: Obj, shown: str) -> list[tuple[str, str]]:
    return [((item.get("path") or "").rstrip("/"), shown) for item in source.get("items") or ()]


def _projected_paths(part: Obj) -> Iterator[tuple[str, str]]:
    for kind, title in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if source := part.get(kind):
            yield from _paths(source, f"{title} {go_quote(source.get('name') or '')}")
    if source := part.get("downwardAPI"):
        yield from _paths(source, "DownwardAPI")
    for kind, title in (("serviceAccountToken", "ServiceAccountToken"), ("clusterTrustBundle", "ClusterTrustBundle")):
        if source := part.get(kind):
            yield (source.get("path") or "").rstrip("/"), title


def _collisions(paths: list[tuple[str, str]]) -> list[str]:
    out: list[str] = []
    for position, (path, source) in enumerate(paths):
        for other, other_source in paths[:position]:
            if path and other and ((path + "/").startswith(other + "/") or (other + "/").startswith(path + "/")):
                out.append(f"{_shown(path, source)} with {_shown(other, other_source)}")
    return out


def _shown(path: str, source: str) -> str:
    return f"{go_quote(path)} ({source})" if source else go_quote(path)


# -- lists with repetitions


def _lists(spec: Obj, path: str) -> list[str]:
    out: list[str] = []
    seen: set[str] = set()
    for position, alias in enumerate(spec.get("hostAliases") or ()):
        at, address = f"{path}.hostAliases[{position}].ip", alias.get("ip") or ""
        if address in seen:
            out.append(f"{at}: duplicate ip {go_quote(address)}")
        seen.add(address)
        out += ips.ip_warnings(at, address)
    seen = set()
    for position, secret in enumerate(spec.get("imagePullSecrets") or ()):
        at, name = f"{path}.imagePullSecrets[{position}].name", secret.get("name") or ""
        if name in seen:
            out.append(f"{at}: duplicate name {go_quote(name)}")
        if not name:
            out.append(f'{at}: invalid empty name ""')
        seen.add(name)
    for position, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        out += ips.ip_warnings(f"{path}.dnsConfig.nameservers[{position}]", server)
    return out


def _hidden_variables(variables: Sequence[Obj], path: str) -> list[str]:
    """Variables that replace an earlier one instead of building on it."""
    out: list[str] = []
    seen: set[str] = set()
    for position, variable in enumerate(variables):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        if name not in seen:
            seen.add(name)
        elif variable.get("valueFrom") is not None or value == reference or reference not in value:
            text = f"hides previous definition of {go_quote(name)}, which may be dropped when using apply"
            out.append(f"{path}[{position}]: {text}")
    return out


def _ports(spec: Obj, path: str) -> list[str]:
    out: list[str] = []
    seen: dict[tuple[int, str], list[tuple[str, int, str]]] = {}
    named: dict[str, str] = {}
    for container, base in containers_with_path(spec, path):
        for position, port in enumerate(container.get("ports") or ()):
            at = f"{base}.ports[{position}]"
            number, protocol = port.get("containerPort") or 0, port.get("protocol") or ""
            host, address = port.get("hostPort") or 0, port.get("hostIP") or ""
            if address and not host:
                shown = f"{{Name:{port.get('name') or ''} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{address}}}"
                out.append(f"{at}: hostIP set without hostPort: {shown}")
            others = seen.setdefault((number, protocol), [])
            for other, other_host, other_address in others:
                if host == other_host and address == other_address:
                    out.append(f"{at}: duplicate port definition with {other}")
                elif not host or not other_host:
                    out.append(f"{at}: overlapping port definition with {other}")
                elif host == other_host and bool(address) != bool(other_address):
                    out.append(f"{at}: dangerously ambiguous port definition with {other}")
            others.append((at, host, address))
            if (name := port.get("name")) and (first := named.setdefault(name, at)) is not at:
                out.append(
                    f"{at}: duplicate port name {go_quote(name)} with {first}, "
                    f"services and probes that select ports by name will use {first}"
                )
    return out
