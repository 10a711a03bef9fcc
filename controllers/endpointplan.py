"""Which pods a Service sends to, and how they are laid out in EndpointSlices and Endpoints.

Called by the endpointslice and endpoints controllers. Plain functions, no I/O.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery import meta, pods

Obj = dict[str, Any]

HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE = "topology.kubernetes.io/zone"


# -- pods behind a Service


def belongs(pod: Obj, *, terminating: bool) -> bool:
    """Whether a pod that the selector matches is listed at all. terminating: also while it ends."""
    if pods.is_terminal(pod) or not pod_ips(pod):
        return False
    return terminating or not meta.deleting(pod)


def pod_ips(pod: Obj) -> list[str]:
    status = pod.get("status") or {}
    listed = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return listed or ([status["podIP"]] if status.get("podIP") else [])


def family(address: str) -> str:
    """ "IPv4" or "IPv6"."""
    return f"IPv{ipaddress.ip_address(address).version}"


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def families(service: Obj, matched: Iterable[Obj]) -> list[str]:
    """The Service's address families; a headless one that does not say gets those of its pods."""
    told = service["spec"].get("ipFamilies")
    if told:
        return list(told)
    address = service["spec"].get("clusterIP")
    if address and address != "None":
        return [family(address)]
    found = {family(ip) for pod in matched for ip in pod_ips(pod)}
    return sorted(found) or ["IPv4"]


def find_port(pod: Obj, port: Obj) -> int | None:
    """The number in the pod that a Service's port leads to; None if a name is not to be found there."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    protocol = port.get("protocol", "TCP")
    sidecars = [entry for entry in pod["spec"].get("initContainers") or () if pods.is_sidecar(entry)]
    for container in [*(pod["spec"].get("containers") or ()), *sidecars]:
        for entry in container.get("ports") or ():
            if entry.get("name") == target and entry.get("protocol", "TCP") == protocol:
                return int(entry["containerPort"])
    return None


def ports_of(service: Obj, pod: Obj) -> list[Obj]:
    """The EndpointPorts that a pod has for the Service; named ports that it lacks are left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = find_port(pod, port)
        if number is None:
            continue
        entry: Obj = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return found


def hostname_of(service: Obj, pod: Obj) -> str | None:
    """The name under which DNS knows the pod within the Service."""
    name = pod["spec"].get("hostname")
    return name if name and pod["spec"].get("subdomain") == meta.name(service) else None


def target_ref(pod: Obj) -> Obj:
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


# -- EndpointSlices


def endpoint(service: Obj, pod: Obj, kind: str, node: Obj | None) -> Obj | None:
    """The endpoint of a pod in one address family; None if it has no address there."""
    addresses = [ip for ip in pod_ips(pod) if family(ip) == kind]
    if not addresses:
        return None
    serving, terminating = pods.is_ready(pod), meta.deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    result: Obj = {
        "addresses": addresses[:1],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_ref(pod),
    }
    if name := hostname_of(service, pod):
        result["hostname"] = name
    if pod["spec"].get("nodeName"):
        result["nodeName"] = pod["spec"]["nodeName"]
    if node is not None and (zone := meta.labels(node).get(ZONE)):
        result["zone"] = zone
    return result


@dataclass(slots=True)
class SlicePlan:
    """What to do to the slices of one Service and family."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def _port_key(ports: Sequence[Obj] | None) -> bytes:
    ordered = sorted(
        ports or (), key=lambda port: (port.get("name") or "", port.get("protocol") or "", port.get("port") or 0)
    )
    return orjson.dumps(ordered, option=orjson.OPT_SORT_KEYS)


def _identity(entry: Obj) -> str:
    """What makes two endpoints the same one, though their conditions differ."""
    reference = entry.get("targetRef") or {}
    return str(reference.get("uid") or ",".join(entry["addresses"]))


def plan_slices(
    wanted: Iterable[tuple[list[Obj], Obj]],
    present: Sequence[Obj],
    template: Mapping[str, Any],
    limit: int,
    *,
    keep_one: bool = True,
) -> SlicePlan:
    """Fit (ports, endpoint) pairs into slices, changing as few of those present as possible.

    template: a slice without ports and endpoints. Endpoints stay where they are; new ones fill slices that change anyway,
    then the fullest that has room for all of them, then new slices. With nothing wanted one empty slice remains (keep_one).
    """
    groups: dict[bytes, tuple[list[Obj], dict[str, Obj]]] = {}
    for ports, entry in wanted:
        groups.setdefault(_port_key(ports), (ports, {}))[1][_identity(entry)] = entry
    by_ports: dict[bytes, list[Obj]] = {}
    for slice_ in present:
        by_ports.setdefault(_port_key(slice_.get("ports")), []).append(slice_)
    plan = SlicePlan()
    for key, (ports, endpoints) in groups.items():
        _fit(plan, ports, endpoints, by_ports.pop(key, []), template, limit)
    leftover = [slice_ for slices in by_ports.values() for slice_ in slices]
    if not groups and keep_one:
        # An empty slice tells consumers that the Service is known and has no endpoints.
        empty = next((slice_ for slice_ in leftover if not slice_.get("endpoints") and not slice_.get("ports")), None)
        if empty is None:
            plan.create.append({**template, "endpoints": [], "ports": None})
        else:
            leftover.remove(empty)
            if not _same_head(empty, template):
                plan.update.append(_with_head(empty, template))
    plan.delete += leftover
    _reuse(plan)
    return plan


def _fit(
    plan: SlicePlan,
    ports: list[Obj],
    endpoints: dict[str, Obj],
    slices: list[Obj],
    template: Mapping[str, Any],
    limit: int,
) -> None:
    left = dict(endpoints)
    kept: list[tuple[Obj, list[Obj], bool]] = []
    for slice_ in slices:
        old = slice_.get("endpoints") or []
        stay = [left.pop(_identity(entry)) for entry in old if _identity(entry) in left]
        if not stay and old:
            plan.delete.append(slice_)
        else:
            kept.append((slice_, stay, stay != old))
    waiting = list(left.values())
    # Slices that are written anyway take what they can.
    for _slice, stay, changed in kept:
        if changed:
            room = max(0, limit - len(stay))
            stay += waiting[:room]
            waiting = waiting[room:]
    if waiting:
        fitting = [item for item in kept if not item[2] and len(item[1]) + len(waiting) <= limit]
        if fitting:
            chosen = max(fitting, key=lambda item: len(item[1]))
            chosen[1].extend(waiting)
            waiting = []
    for slice_, stay, _ in kept:
        if stay != (slice_.get("endpoints") or []) or not _same_head(slice_, template):
            if stay:
                plan.update.append({**_with_head(slice_, template), "endpoints": stay})
            else:
                plan.delete.append(slice_)
    while waiting:
        plan.create.append({**template, "endpoints": waiting[:limit], "ports": ports})
        waiting = waiting[limit:]


def _reuse(plan: SlicePlan) -> None:
    """Turn a deletion and a creation into an update: one write, and consumers see no gap."""
    while plan.create and plan.delete:
        new, old = plan.create.pop(), plan.delete.pop()
        plan.update.append({**_with_head(old, new), "endpoints": new["endpoints"], "ports": new["ports"]})


def _same_head(slice_: Obj, template: Mapping[str, Any]) -> bool:
    return meta.labels(slice_) == (template["metadata"].get("labels") or {})


def _with_head(slice_: Obj, template: Mapping[str, Any]) -> Obj:
    """The slice with the labels and trigger time of the template."""
    head = template["metadata"]
    annotations = {name: text for name, text in meta.annotations(slice_).items() if name != TRIGGER_TIME}
    annotations.update(head.get("annotations") or {})
    metadata = {**slice_["metadata"], "labels": head.get("labels") or {}, "annotations": annotations}
    return {**slice_, "metadata": metadata}


# -- Endpoints


def endpoint_address(service: Obj, pod: Obj, kind: str) -> Obj | None:
    """The pod as an EndpointAddress in that family."""
    ip = next((ip for ip in pod_ips(pod) if family(ip) == kind), None)
    if ip is None:
        return None
    result: Obj = {"ip": ip, "targetRef": target_ref(pod)}
    if pod["spec"].get("nodeName"):
        result["nodeName"] = pod["spec"]["nodeName"]
    if name := hostname_of(service, pod):
        result["hostname"] = name
    return result


def subsets_of(service: Obj, matched: Iterable[Obj], limit: int) -> tuple[list[Obj], bool]:
    """(the subsets of the Service's Endpoints, whether some addresses had to be left out)."""
    unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
    everyone = list(matched)
    kind = families(service, everyone)[0]
    groups: dict[bytes, tuple[list[Obj], list[Obj], list[Obj]]] = {}
    headless_without_ports = is_headless(service) and not service["spec"].get("ports")
    for pod in everyone:
        if not belongs(pod, terminating=unready_too):
            continue
        address = endpoint_address(service, pod, kind)
        ports = [{key: value for key, value in port.items() if value != ""} for port in ports_of(service, pod)]
        if address is None or not (ports or headless_without_ports):
            continue
        group = groups.setdefault(_port_key(ports), (ports, [], []))
        group[1 if unready_too or pods.is_ready(pod) else 2].append(address)
    total = sum(len(ready) + len(unready) for _, ready, unready in groups.values())
    subsets = []
    room = limit
    for key in sorted(groups):
        ports, ready, unready = groups[key]
        subset: Obj = {}
        for name, addresses in (("addresses", ready), ("notReadyAddresses", unready)):
            addresses = sorted(addresses, key=lambda address: (address["ip"], address["targetRef"]["uid"]))[:room]
            room -= len(addresses)
            if addresses:
                subset[name] = addresses
        if subset:
            if ports:
                subset["ports"] = ports
            subsets.append(subset)
    return subsets, total > limit


def trigger_time(service: Obj, matched: Iterable[Obj], known: str | None) -> str | None:
    """When what is now written came about: the latest change of a pod's readiness or of the Service; None if unknown."""
    moments = [service["metadata"].get("creationTimestamp")]
    for pod in matched:
        ready = meta.condition(pod, "Ready")
        moments.append((ready or {}).get("lastTransitionTime"))
    latest = max(filter(None, moments), default=None)
    return latest if latest is not None and latest != known else None
