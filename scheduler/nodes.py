"""The scheduler's image of the cluster, in columns: a row per node, a column per resource, so that rules are vector operations.

Changed by the scheduler alone, as its informers tell and as it assumes placements; a scheduling cycle runs without interruption
on one event loop, so it needs no copy. Rows of removed nodes are reused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apimachinery import meta, quantity
from scheduler.podinfo import HostPort, PodInfo, amounts

Obj = dict[str, Any]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

CPU, MEMORY, STORAGE, PODS = 0, 1, 2, 3
BASE = ("cpu", "memory", "ephemeral-storage", "pods")
ABSENT = -1  # code of a label that a node does not have


class LabelColumn:
    """One label over all nodes: a small integer per node, ABSENT where it is missing."""

    def __init__(self, rows: int) -> None:
        self.codes = np.full(rows, ABSENT, np.int64)
        self.values: list[str] = []
        self._known: dict[str, int] = {}

    def code(self, value: str) -> int:
        """The value's code; a new one if need be."""
        found = self._known.get(value)
        if found is None:
            found = self._known[value] = len(self.values)
            self.values.append(value)
        return found

    def set(self, row: int, value: str | None) -> None:
        self.codes[row] = ABSENT if value is None else self.code(value)

    def among(self, wanted: Iterable[str]) -> Mask:
        """Rows whose value is one of these."""
        codes = [self._known[value] for value in wanted if value in self._known]
        return np.isin(self.codes, codes)

    def compared(self, bound: int, *, greater: bool) -> Mask:
        """Rows whose value is an integer above (or below) the bound."""
        fits = np.zeros(len(self.values) + 1, bool)  # the last entry serves ABSENT
        for code, value in enumerate(self.values):
            try:
                number = int(value)
            except ValueError:
                continue
            fits[code] = number > bound if greater else number < bound
        result: Mask = fits[self.codes]
        return result


class Nodes:
    """All nodes and the pods on them, assumed ones included."""

    def __init__(self, rows: int = 16) -> None:
        self.rows = rows
        self.index: dict[str, int] = {}
        self.names: list[str] = [""] * rows
        self.objs: list[Obj] = [{} for _ in range(rows)]
        self.alive: Mask = np.zeros(rows, bool)
        self.unschedulable: Mask = np.zeros(rows, bool)
        self.columns: dict[str, int] = {name: position for position, name in enumerate(BASE)}
        self.allocatable: Ints = np.zeros((rows, len(BASE)), np.int64)
        self.requested: Ints = np.zeros((rows, len(BASE)), np.int64)
        self.nonzero: Ints = np.zeros((rows, 2), np.int64)
        self.taint_sets: list[list[Obj]] = [[]]  # distinct ones; few, as nodes come in groups
        self.taint_set: Ints = np.zeros(rows, np.int64)
        self.ports: list[Counter[HostPort]] = [Counter() for _ in range(rows)]
        self.pods: list[dict[str, PodInfo]] = [{} for _ in range(rows)]
        self.images: dict[str, dict[int, int]] = {}  # image name -> row -> bytes
        self.by_namespace: dict[str, dict[str, tuple[PodInfo, int]]] = {}
        self.with_affinity: dict[str, tuple[PodInfo, int]] = {}
        self._labels: dict[str, LabelColumn] = {}
        self._free = list(range(rows - 1, -1, -1))
        self._homeless: dict[str, dict[str, PodInfo]] = {}  # pods on nodes that are not known (yet)

    # -- nodes

    def set_node(self, node: Obj) -> None:
        """Add or update a node."""
        name = meta.name(node)
        row = self.index.get(name)
        if row is None:
            row = self._take_row(name)
            for pod in self._homeless.pop(name, {}).values():
                self._place(pod, row)
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self._forget_images(row)
        self.objs[row] = node
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        self.allocatable[row] = 0
        for resource, amount in amounts(quantity.parse_list(status.get("allocatable"))).items():
            column = self.column(resource)  # may replace the arrays
            self.allocatable[row, column] = amount
        self.taint_set[row] = self._taint_code(spec.get("taints") or ())
        labels = meta.labels(node)
        for key, label in self._labels.items():
            label.set(row, name if key == "metadata.name" else labels.get(key))
        for image in status.get("images") or ():
            for image_name in image.get("names") or ():
                self.images.setdefault(image_name, {})[row] = int(image.get("sizeBytes") or 0)

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods wait in case it comes back."""
        row = self.index.pop(name, None)
        if row is None:
            return
        for pod in list(self.pods[row].values()):
            self._displace(pod, row)
            self._homeless.setdefault(name, {})[pod.uid] = pod
        self._forget_images(row)
        self.alive[row] = False
        self.names[row] = ""
        self.objs[row] = {}
        for column in self._labels.values():
            column.set(row, None)
        self._free.append(row)

    def _take_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.index[name] = row
        self.names[row] = name
        self.alive[row] = True
        self.requested[row] = 0
        self.nonzero[row] = 0
        return row

    def _grow(self) -> None:
        old, self.rows = self.rows, self.rows * 2
        extra = self.rows - old
        self.names += [""] * extra
        self.objs += [{} for _ in range(extra)]
        self.ports += [Counter() for _ in range(extra)]
        self.pods += [{} for _ in range(extra)]
        for attribute in ("alive", "unschedulable", "allocatable", "requested", "nonzero", "taint_set"):
            array = getattr(self, attribute)
            pad = np.zeros((extra, *array.shape[1:]), array.dtype)
            setattr(self, attribute, np.concatenate([array, pad]))
        for column in self._labels.values():
            column.codes = np.concatenate([column.codes, np.full(extra, ABSENT, np.int64)])
        self._free = list(range(self.rows - 1, old - 1, -1))

    def _forget_images(self, row: int) -> None:
        for image in (self.objs[row].get("status") or {}).get("images") or ():
            for name in image.get("names") or ():
                rows = self.images.get(name)
                if rows is not None:
                    rows.pop(row, None)
                    if not rows:
                        del self.images[name]

    def _taint_code(self, taints: Iterable[Obj]) -> int:
        wanted = [{name: t.get(name, "") for name in ("key", "value", "effect")} for t in taints]
        if wanted not in self.taint_sets:
            self.taint_sets.append(wanted)
        return self.taint_sets.index(wanted)

    def column(self, resource: str) -> int:
        """The resource's column; a new one if need be."""
        found = self.columns.get(resource)
        if found is None:
            found = self.columns[resource] = len(self.columns)
            pad = np.zeros((self.rows, 1), np.int64)
            self.allocatable = np.hstack([self.allocatable, pad])
            self.requested = np.hstack([self.requested, pad])
        return found

    def label(self, key: str) -> LabelColumn:
        """A label's column; made when first asked for."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(self.rows)
            for name, row in self.index.items():
                column.set(row, name if key == "metadata.name" else meta.labels(self.objs[row]).get(key))
        return column

    # -- pods

    def add_pod(self, pod: PodInfo) -> None:
        """Count a pod on its node."""
        row = self.index.get(pod.node)
        if row is None:
            self._homeless.setdefault(pod.node, {})[pod.uid] = pod
        else:
            self._place(pod, row)

    def remove_pod(self, pod: PodInfo) -> None:
        """Stop counting a pod, as it was given to add_pod."""
        row = self.index.get(pod.node)
        if row is not None and pod.uid in self.pods[row]:
            self._displace(self.pods[row][pod.uid], row)
            return
        homeless = self._homeless.get(pod.node)
        if homeless is not None:
            homeless.pop(pod.uid, None)
            if not homeless:
                del self._homeless[pod.node]

    def _place(self, pod: PodInfo, row: int) -> None:
        for resource, amount in pod.requests.items():
            column = self.column(resource)  # may replace the arrays
            self.requested[row, column] += amount
        self.requested[row, PODS] += 1
        self.nonzero[row] += pod.nonzero
        self.ports[row].update(pod.host_ports)
        self.pods[row][pod.uid] = pod
        self.by_namespace.setdefault(pod.namespace, {})[pod.uid] = (pod, row)
        if pod.has_affinity:
            self.with_affinity[pod.uid] = (pod, row)

    def _displace(self, pod: PodInfo, row: int) -> None:
        for resource, amount in pod.requests.items():
            column = self.column(resource)
            self.requested[row, column] -= amount
        self.requested[row, PODS] -= 1
        self.nonzero[row] -= pod.nonzero
        self.ports[row].subtract(pod.host_ports)
        self.ports[row] += Counter()  # drops what is no longer used
        self.pods[row].pop(pod.uid, None)
        self.with_affinity.pop(pod.uid, None)
        known = self.by_namespace.get(pod.namespace)
        if known is not None:
            known.pop(pod.uid, None)
            if not known:
                del self.by_namespace[pod.namespace]

    # -- for plugins

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return len(self.index)

    def none(self) -> Mask:
        """A mask without any row."""
        return np.zeros(self.rows, bool)

    def requests_vector(self, requests: Mapping[str, int]) -> Ints:
        """A pod's requests in the columns' order, one pod included."""
        positions = {self.column(name): amount for name, amount in requests.items()}
        vector = np.zeros(len(self.columns), np.int64)
        for position, amount in positions.items():
            vector[position] = amount
        vector[PODS] = 1
        return vector
