"""What objects use of a resource quota: the arithmetic that admission and the quota controller share. Pure.

Names of usage are those of ResourceQuota.spec.hard: "pods", "requests.cpu", "count/deployments.apps",
"gold.storageclass.storage.k8s.io/requests.storage". Rules of pkg/quota/v1/evaluator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from apimachinery import pods, quantity, times
from apimachinery.quantity import Quantity, ResourceList

Obj = dict[str, Any]

IGNORED = frozenset(
    (
        ("", "events"),
        ("events.k8s.io", "events"),
        ("", "bindings"),
        ("", "componentstatuses"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    )
)
_ONE = quantity.parse(1)
_ZERO = quantity.parse(0)
_ALIASED = ("configmaps", "resourcequotas", "replicationcontrollers", "secrets")  # counted under their plain name too
_POD_NAMES = frozenset(
    ["pods", "count/pods"]
    + [prefix + name for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory", "ephemeral-storage")]
)
_POD_MUST_STATE = frozenset(["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"])
_SERVICE_NAMES = frozenset(("services", "count/services", "services.nodeports", "services.loadbalancers"))
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_BY_CLASS = ".storageclass.storage.k8s.io/"
_DEVICES = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT = "deviceclass.resource.kubernetes.io/"  # a device class as an extended resource


def count_name(group: str, plural: str) -> str:
    """Under which name objects of a resource are counted."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


# -- which quotas concern an object


def matching_names(
    group: str, plural: str, names: Iterable[str], classes: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Those of a quota's names that objects of the resource use. classes: see usage."""
    return [name for name in names if _concerns(group, plural, name, classes)]


def _concerns(group: str, plural: str, name: str, classes: Mapping[str, str]) -> bool:
    if name == count_name(group, plural):
        return True
    if (group, plural) == ("", "pods"):
        if name in _POD_NAMES or name.startswith(("hugepages-", "requests.hugepages-")):
            return True
        return name.startswith("requests.") and _is_requestable(name.removeprefix("requests."))
    if (group, plural) == ("", "services"):
        return name in _SERVICE_NAMES
    if (group, plural) == ("", "persistentvolumeclaims"):
        return name in _CLAIM_NAMES or any(name.endswith(_BY_CLASS + part) for part in _CLAIM_NAMES)
    if (group, plural) == ("resource.k8s.io", "resourceclaims"):
        resource = name.removeprefix("requests.")
        implicit = resource.startswith(_IMPLICIT) and resource.removeprefix(_IMPLICIT) in classes
        return name.endswith(_DEVICES) or (resource != name and (implicit or resource in classes.values()))
    return not group and plural in _ALIASED and name == plural


def is_extended(resource: str) -> bool:
    """Whether a compute resource is one that a node's operator made up: of a domain that is not Kubernetes' own."""
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


def _is_requestable(resource: str) -> bool:
    return is_extended(resource) or resource.startswith(_IMPLICIT)


def scope_selectors(resource_quota: Obj) -> Iterator[Obj]:
    """The quota's scopes in both forms, as selector requirements."""
    spec = resource_quota.get("spec") or {}
    for scope in spec.get("scopes") or ():
        yield {"scopeName": scope, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


def matches_scopes(resource_quota: Obj, group: str, plural: str, obj: Obj) -> bool:
    """Whether the object is in all of the quota's scopes."""
    return all(in_scope(selector, group, plural, obj) for selector in scope_selectors(resource_quota))


def in_scope(selector: Obj, group: str, plural: str, obj: Obj) -> bool:
    """Whether the object is in the scope of a selector requirement."""
    name = selector.get("scopeName")
    if (group, plural) == ("", "persistentvolumeclaims") and name == "VolumeAttributesClass":
        return _selects(selector, _attribute_classes(obj))
    if (group, plural) != ("", "pods"):
        return False
    spec = obj.get("spec") or {}
    match name:
        case "Terminating" | "NotTerminating":
            return is_terminating(obj) is (name == "Terminating")
        case "BestEffort" | "NotBestEffort":
            return (pods.qos_class(obj) == pods.BEST_EFFORT) is (name == "BestEffort")
        case "PriorityClass":
            return _selects(selector, [spec["priorityClassName"]] if spec.get("priorityClassName") else [])
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
    return False


def is_terminating(pod: Obj) -> bool:
    """Whether the pod is of those that end by themselves."""
    deadline = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def _selects(selector: Obj, names: list[str]) -> bool:
    wanted = selector.get("values") or ()
    match selector.get("operator"):
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return any(name in wanted for name in names)
        case "NotIn":
            return not names or any(name not in wanted for name in names)
    return False


def _attribute_classes(claim: Obj) -> list[str]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    names = [spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName")]
    names.append((status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"))
    return [name for name in names if name]


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        plain = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        plain += [term.get("podAffinityTerm") or {} for term in weighted]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in plain):
            return True
    return False


# -- what an object must state, and what it uses


def unstated(names: Iterable[str], pod: Obj) -> str:
    """What a pod has to state because these quota names count it: "requests.cpu for: a,b"; "" when nothing is missing."""
    required = _POD_MUST_STATE.intersection(names)
    missing: dict[str, set[str]] = {}
    spec = pod.get("spec") or {}
    if pods.has_pod_level_resources(spec):
        return ""  # the pod states them as a whole
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            resources = container.get("resources") or {}
            requests, limits = (
                quantity.parse_list(resources.get("requests")),
                quantity.parse_list(resources.get("limits")),
            )
            for name in required - _compute(requests, limits).keys():
                missing.setdefault(name, set()).add(container.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def usage(
    group: str,
    plural: str,
    obj: Obj,
    now: float,
    *,
    classes: Mapping[str, str] = MappingProxyType({}),
    charged: Mapping[str, Quantity] = MappingProxyType({}),
) -> ResourceList:
    """What the object uses, by quota name. now: seconds since the epoch.

    For claims of devices: classes are the extended resources that device classes are also asked for by; charged is what the
    pod that the claim was made for is charged already.
    """
    result: ResourceList = {count_name(group, plural): _ONE}
    if (group, plural) == ("", "pods"):
        if _counts(obj, now):
            result.update(_compute(pods.requests(obj, use_status=True), pods.limits(obj)))
    elif (group, plural) == ("", "services"):
        result.update(_service(obj.get("spec") or {}))
    elif (group, plural) == ("", "persistentvolumeclaims"):
        result.update(_claim(obj))
    elif (group, plural) == ("resource.k8s.io", "resourceclaims"):
        _devices(obj.get("spec") or {}, result)
        _extended_devices(result, classes, charged)
    elif not group and plural in _ALIASED:
        result[plural] = _ONE
    return result


def _counts(pod: Obj, now: float) -> bool:
    """Whether a pod still uses compute resources: not finished, and not past its deletion's grace."""
    if pods.is_terminal(pod):
        return False
    meta = pod.get("metadata") or {}
    deleted, grace = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
    return not (deleted and grace is not None and now > times.parse_time(deleted) + grace)


def _compute(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]) -> ResourceList:
    result: ResourceList = {"pods": _ONE}
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in requests:
            result[name] = result[f"requests.{name}"] = requests[name]
        if name in limits:
            result[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            result[name] = result[f"requests.{name}"] = amount
        elif _is_requestable(name):
            result[f"requests.{name}"] = amount
    return result


def _service(spec: Mapping[str, Any]) -> ResourceList:
    ports = spec.get("ports") or ()
    node_ports = balancers = 0
    if spec.get("type") == "NodePort":
        node_ports = len(ports)
    elif spec.get("type") == "LoadBalancer":
        balancers, node_ports = 1, len(ports)
        if spec.get("allocateLoadBalancerNodePorts") is False:
            node_ports = sum(1 for port in ports if port.get("nodePort"))
    return {
        "services": _ONE,
        "services.nodeports": quantity.parse(node_ports),
        "services.loadbalancers": quantity.parse(balancers),
    }


def _claim(claim: Obj) -> ResourceList:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    result: ResourceList = {"persistentvolumeclaims": _ONE}
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    storage_class = annotations.get("volume.beta.kubernetes.io/storage-class") or spec.get("storageClassName")
    stated = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if stated is not None:
        size = quantity.parse(stated).round_up(0)
        allocated = (status.get("allocatedResources") or {}).get("storage")
        if allocated is not None and size < quantity.parse(allocated):
            size = quantity.parse(allocated).round_up(0)
        result["requests.storage"] = size
    if storage_class:
        result.update({f"{storage_class}{_BY_CLASS}{name}": amount for name, amount in list(result.items())})
    return result


def _devices(spec: Mapping[str, Any], result: ResourceList) -> None:
    """Devices that a resource claim may get, by class; of alternatives the greatest number of each class."""
    for request in (spec.get("devices") or {}).get("requests") or ():
        most: ResourceList = {}
        for option in [request["exactly"]] if request.get("exactly") else request.get("firstAvailable") or ():
            name = (option.get("deviceClassName") or "") + _DEVICES
            wanted = 32 if option.get("allocationMode") == "All" else option.get("count") or 1
            quantity.max_list(most, {name: quantity.parse(wanted)})
        quantity.add_list(result, most)


def _extended_devices(result: ResourceList, classes: Mapping[str, str], charged: Mapping[str, Quantity]) -> None:
    """The same devices as extended resources."""
    for name, amount in list(result.items()):
        device_class = name.removesuffix(_DEVICES)
        if device_class in (name, ""):
            continue
        aliases = [_IMPLICIT + device_class, *([classes[device_class]] if device_class in classes else ())]
        for alias in map("requests.{}".format, aliases):
            rest = amount - charged[alias] if alias in charged else amount
            if rest.sign() > 0:
                result[alias] = rest


def subtract(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> ResourceList:
    """one - other, never below zero; names of `other` alone count as zero."""
    result: ResourceList = {}
    for name, amount in one.items():
        difference = amount - other[name] if name in other else amount
        result[name] = difference if difference.sign() > 0 else _ZERO
    return result


def draw(resources: Mapping[str, Quantity]) -> str:
    """`pods=1,requests.cpu=2`, sorted, as refusals print it."""
    return ",".join(f"{name}={resources[name]}" for name in sorted(resources))
