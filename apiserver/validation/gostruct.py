"""API values as the original's internal Go structs print in JSON: every field, by its Go name, unset ones as zero values.

Some messages show a whole value that way, or what differs between two. Only the failing path comes here, so the facts
about Go types are read when first needed. Names and order are those of the versioned Go types but for what is listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openapi
from apimachinery import quantity

if TYPE_CHECKING:
    from openapi.schemas import TypeInfo

_CORE = "io.k8s.api.core.v1."
_NAMES = {
    "apiGroup": "APIGroup",
    "apiGroups": "APIGroups",
    "apiVersion": "APIVersion",
    "apiVersions": "APIVersions",
    "awsElasticBlockStore": "AWSElasticBlockStore",
    "cel": "CEL",
    "cephfs": "CephFS",
    "chapAuthDiscovery": "DiscoveryCHAPAuth",
    "chapAuthSession": "SessionCHAPAuth",
    "csi": "CSI",
    "diskURI": "DataDiskURI",
    "dnsConfig": "DNSConfig",
    "dnsPolicy": "DNSPolicy",
    "endpoints": "EndpointsName",
    "fc": "FC",
    "fsGroup": "FSGroup",
    "fsGroupChangePolicy": "FSGroupChangePolicy",
    "fsType": "FSType",
    "gcePersistentDisk": "GCEPersistentDisk",
    "gmsaCredentialSpec": "GMSACredentialSpec",
    "gmsaCredentialSpecName": "GMSACredentialSpecName",
    "grpc": "GRPC",
    "httpGet": "HTTPGet",
    "httpHeaders": "HTTPHeaders",
    "ip": "IP",
    "ips": "IPs",
    "iqn": "IQN",
    "iscsi": "ISCSI",
    "iscsiInterface": "ISCSIInterface",
    "nfs": "NFS",
    "os": "OS",
    "pdName": "PDName",
    "pdID": "PdID",
    "rbd": "RBD",
    "seLinuxChangePolicy": "SELinuxChangePolicy",
    "seLinuxOptions": "SELinuxOptions",
    "sslEnabled": "SSLEnabled",
    "storageos": "StorageOS",
    "tcpSocket": "TCPSocket",
    "tty": "TTY",
    "uid": "UID",
    "wwids": "WWIDs",
}
_OWN_NAMES = {"monitors": "CephMonitors", "image": "RBDImage", "pool": "RBDPool", "user": "RadosUser"}
_RBD = (_CORE + "RBDVolumeSource", _CORE + "RBDPersistentVolumeSource")
# Fields that the internal type has elsewhere: (type, field) -> the field it follows there.
_MOVED = {
    (_CORE + "Volume", "quobyte"): "rbd",
    (_CORE + "PersistentVolumeSpec", "quobyte"): "rbd",
    (_CORE + "PersistentVolumeSpec", "flexVolume"): "iscsi",
    (_CORE + "PodSpec", "setHostnameAsFQDN"): "subdomain",
    (_CORE + "PodSpec", "preemptionPolicy"): "priority",
    (_CORE + "PodSpec", "overhead"): "runtimeClassName",
    (_CORE + "PodSpec", "enableServiceLinks"): "overhead",
    (_CORE + "PodSecurityContext", "fsGroupChangePolicy"): "fsGroup",
}
_HOST = (
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
    "hostUsers",
)  # internally in the security context
_ABSENT = {(_CORE + "PodSpec", "serviceAccount")} | {(_CORE + "PodSpec", name) for name in _HOST}


def pod_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    return _struct(_type("v1/Pod", "spec"), spec)


def ephemeral_container(container: Mapping[str, Any]) -> dict[str, Any]:
    listed = _type("v1/Pod", "spec", "ephemeralContainers")
    assert listed.elem is not None
    return _struct(listed.elem, container)


def claim_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    return _struct(_type("v1/PersistentVolumeClaim", "spec"), spec)


def volume_source(source: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """fields: those of a PersistentVolumeSpec that are its source."""
    drawn = _struct(_type("v1/PersistentVolume", "spec"), source)
    known = {_go_name(_CORE + "PersistentVolumeSpec", name) for name in fields}
    return {name: value for name, value in drawn.items() if name in known}


def volume_affinity(affinity: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A VolumeNodeAffinity, of a persistent volume."""
    return None if affinity is None else _struct(_type("v1/PersistentVolume", "spec", "nodeAffinity"), affinity)


def node_selector_term(term: Mapping[str, Any]) -> dict[str, Any]:
    listed = _type("v1/PersistentVolume", "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    assert listed.elem is not None
    return _struct(listed.elem, term)


def scope_selector(selector: Mapping[str, Any]) -> dict[str, Any]:
    """Of a ResourceQuota."""
    return _struct(_type("v1/ResourceQuota", "spec", "scopeSelector"), selector)


def value(kind: str, *fields: str) -> Callable[[Any], Any]:
    """What draws a value of the type of a kind's field: value("storage.k8s.io/v1/VolumeAttachment", "spec")(spec).

    A list on the way stands for its elements."""
    return lambda given: _value(_type(kind, *fields), "*", given)


def same(kind: str, *fields: str) -> Callable[[Any, Any], bool]:
    """What compares two values of the type of a kind's field as the original's Semantic.DeepEqual does: no list and no
    map are empty ones, but a pointer to an empty struct is not nil, which validation.meta.same cannot know."""
    return lambda left, right: left == right or _equal(_type(kind, *fields), "*", left, right)


def _equal(info: TypeInfo, go: str, left: Any, right: Any) -> bool:
    if left == right:
        return True
    if info.kind == "list" and info.elem is not None:
        left, right, elem = left or (), right or (), info.elem
        return len(left) == len(right) and all(_equal(elem, "", a, b) for a, b in zip(left, right, strict=True))
    if info.kind == "map" and info.elem is not None:
        left, right, elem = left or {}, right or {}, info.elem
        return left.keys() == right.keys() and all(_equal(elem, "", left[key], right[key]) for key in left)
    if go.startswith("*") and (left is None or right is None):
        return False
    if info.code == "Q":
        return quantity.parse(left or "0") == quantity.parse(right or "0")
    if info.kind == "struct":
        left, right = left or {}, right or {}
        return all(_equal(f.type, f.go, left.get(name), right.get(name)) for name, f in info.fields.items())
    return not left and not right


def pod_template(template: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_metadata(_type("v1/PodTemplate", "template", "metadata"), template),
        "Spec": pod_spec(template.get("spec") or {}),
    }


# -- drawing


@lru_cache(maxsize=1)
def _facts() -> Mapping[str, Mapping[str, str]]:
    path = Path(openapi.__file__).parent / "facts.json"
    structs: Mapping[str, Mapping[str, str]] = json.loads(path.read_bytes())["structs"]
    return structs


@lru_cache(maxsize=256)
def _order(name: str) -> tuple[str, ...]:
    """The fields of a struct in the internal type's order."""
    fields = [field for field in _facts().get(name, {}) if (name, field) not in _ABSENT]
    for (owner, field), before in _MOVED.items():
        if owner == name and field in fields and before in fields:
            fields.remove(field)
            fields.insert(fields.index(before) + 1, field)
    return tuple(fields)


def _metadata(info: TypeInfo, value: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata has JSON names, and only what is set, inside an internal type, too, of which its fields are fields."""
    return _json_struct(info, value.get("metadata") or {})


def _go_name(owner: str, field: str) -> str:
    if owner in _RBD and field in _OWN_NAMES:
        return _OWN_NAMES[field]
    return _NAMES.get(field) or field[0].upper() + field[1:]


def _type(kind: str, *fields: str) -> TypeInfo:
    from openapi import schemas

    info = schemas.load().type(kind)
    for name in fields:
        if info.kind == "list" and info.elem is not None:
            info = info.elem
        info = info.fields[name].type
    return info


def _struct(info: TypeInfo, value: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in _order(info.name):
        known = info.fields.get(field)
        if known is not None and field == "metadata":
            out |= _metadata(known.type, value)
        elif known is not None:
            out[_go_name(info.name, field)] = _value(known.type, known.go, value.get(field))
    if info.name == _CORE + "PodSpec":
        given = [(name, info.fields[name]) for name in _HOST]
        host = {_go_name("", name): _value(entry.type, entry.go, value.get(name)) for name, entry in given}
        out["SecurityContext"] = {**host, **(out["SecurityContext"] or {})}
    return out


def _value(info: TypeInfo, go: str, value: Any) -> Any:
    if value is None:
        return _zero(info, go)
    if info.kind == "struct" and info.name.startswith("io.k8s.api."):
        return _struct(info, value)
    if info.kind == "struct":
        return _json_struct(info, value)
    if info.kind == "list" and info.elem is not None:
        return [_value(info.elem, "", item) for item in value]
    if info.kind == "map":
        return _sorted(value)
    return value


def _json_struct(info: TypeInfo, value: Mapping[str, Any]) -> dict[str, Any]:
    """Types that the original has once only, such as label selectors: fields by their JSON names, in their order."""
    out: dict[str, Any] = {}
    for name, field in info.fields.items():
        given = value.get(name)
        if given or not field.omitempty or (field.pointer and given is not None):
            out[name] = _value(field.type, field.go, given)
    return out


def _sorted(value: Mapping[str, Any]) -> dict[str, Any]:
    """Maps print with their keys in order."""
    return dict(sorted(value.items()))


def _zero(info: TypeInfo, go: str) -> Any:
    if go.startswith("*") or info.kind in ("list", "map"):
        return None
    if info.kind == "struct":
        return _struct(info, {}) if info.name.startswith("io.k8s.api.") else {}
    return {"s": "", "b": False, "i32": 0, "i64": 0, "d": 0, "Q": "0", "I": 0}.get(info.code)
