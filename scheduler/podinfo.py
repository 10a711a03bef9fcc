"""What scheduling needs of a pod, worked out once: requests in the columns' units, ports, affinity terms, priority.

cpu counts in millicores, everything else in whole units (bytes, devices), as the original's NodeInfo does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apimachinery import meta, pods, quantity, selectors
from apimachinery.selectors import LabelSelector

Obj = dict[str, Any]

# Requests assumed, for scoring only, of containers that name none (schedutil.DefaultMilliCPURequest, DefaultMemoryRequest).
NONZERO_DEFAULTS = {"cpu": quantity.parse("100m"), "memory": quantity.parse(str(200 * 1024 * 1024))}


def amounts(resources: Mapping[str, quantity.Quantity]) -> dict[str, int]:
    """Quantities as integers: millicores for cpu, whole units otherwise."""
    return {name: q.milli_value() if name == "cpu" else q.value() for name, q in resources.items()}


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port that a container wants of the node's own. ip "0.0.0.0" is every address."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: HostPort) -> bool:
        same = self.port == other.port and self.protocol == other.protocol
        return same and (self.ip == other.ip or "0.0.0.0" in (self.ip, other.ip))


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """One term of pod (anti-)affinity, ready to match. weight: of a preferred term, 0 for a required one."""

    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None  # None: only `namespaces` count
    selector: LabelSelector
    topology_key: str
    weight: int = 0

    def matches(self, other: PodInfo, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether the other pod is one that the term speaks of."""
        if other.namespace not in self.namespaces:
            wanted = self.namespace_selector
            if wanted is None or not wanted.matches(dict(namespace_labels.get(other.namespace) or {})):
                return False
        return self.selector.matches(other.labels)


class PodInfo:
    """A pod as the scheduler sees it. obj must not be changed."""

    def __init__(self, obj: Obj) -> None:
        self.obj = obj
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.key = f"{self.namespace}/{self.name}"
        self.labels: dict[str, str] = metadata.get("labels") or {}
        self.spec: Obj = spec
        self.node: str = spec.get("nodeName") or ""
        self.priority = pods.priority(obj)
        self.deleting = meta.deleting(obj)
        self.requests = amounts(pods.requests(obj, use_status=True))

    @cached_property
    def nonzero(self) -> tuple[int, int]:
        """(millicores, bytes) for scoring: containers without requests count with the defaults."""
        total = amounts(pods.requests(self.obj, use_status=True, defaults=NONZERO_DEFAULTS))
        return total.get("cpu", 0), total.get("memory", 0)

    @cached_property
    def host_ports(self) -> tuple[HostPort, ...]:
        spec = self.spec
        sidecars = [c for c in spec.get("initContainers") or () if pods.is_sidecar(c)]
        return tuple(
            HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
            for container in [*(spec.get("containers") or ()), *sidecars]
            for port in container.get("ports") or ()
            if port.get("hostPort")
        )

    @property
    def tolerations(self) -> Sequence[Obj]:
        found: Sequence[Obj] = self.spec.get("tolerations") or ()
        return found

    @cached_property
    def images(self) -> tuple[str, ...]:
        return tuple(
            c["image"]
            for field in ("initContainers", "containers")
            for c in self.spec.get(field) or ()
            if c.get("image")
        )

    @cached_property
    def required_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAffinity", required=True)

    @cached_property
    def required_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAntiAffinity", required=True)

    @cached_property
    def preferred_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAffinity", required=False)

    @cached_property
    def preferred_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAntiAffinity", required=False)

    @cached_property
    def has_affinity(self) -> bool:
        affinity = self.spec.get("affinity") or {}
        return bool(affinity.get("podAffinity") or affinity.get("podAntiAffinity"))

    def _terms(self, kind: str, *, required: bool) -> tuple[AffinityTerm, ...]:
        group: Obj = (self.spec.get("affinity") or {}).get(kind) or {}
        if required:
            return tuple(
                self._term(term, 0) for term in group.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
            )
        return tuple(
            self._term(entry["podAffinityTerm"], int(entry["weight"]))
            for entry in group.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        )

    def _term(self, term: Obj, weight: int) -> AffinityTerm:
        namespaces = term.get("namespaces") or ()
        wanted = term.get("namespaceSelector")
        if not namespaces and wanted is None:
            namespaces = (self.namespace,)
        return AffinityTerm(
            frozenset(namespaces),
            None if wanted is None else selectors.from_object(wanted),
            merged_selector(term, self.labels),
            term["topologyKey"],
            weight,
        )


def merged_selector(term: Obj, labels: Mapping[str, str]) -> LabelSelector:
    """A term's labelSelector with its matchLabelKeys and mismatchLabelKeys, whose values are the pod's own."""
    base = term.get("labelSelector")
    extra = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or ()
        if key in labels
    ]
    if base is None or not extra:
        return selectors.from_object(base)
    known = base.get("matchExpressions") or []
    # The API server has already put them into the selector where it does so at creation (KEP-3633).
    missing = [entry for entry in extra if entry not in known]
    return selectors.from_object({**base, "matchExpressions": [*known, *missing]})
