"""DaemonSets: one pod on every node that may run it.

Pods are bound to their node by affinity and left to the scheduler. Which nodes may run one is decided here by name,
selector, affinity and taints; resources are the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from apimachinery import meta, nodes, pods, selectors
from apimachinery.errors import ApiError
from client.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from client.workqueue import ItemBackoff
from controllers import history, ownership, rollout
from controllers.base import (
    EVENTS_RULE,
    Controller,
    Expectations,
    Result,
    Retry,
    Rule,
    copy,
    gather_all,
    namespace_terminating,
    slow_start,
)
from controllers.podcontrol import PodControl, pod_from_template
from controllers.replicaset import POD_INDEXERS, controller_uid, orphan_namespace, same_status

Obj = dict[str, Any]
ByNode = Mapping[str, Sequence[Obj]]

HASH = "controller-revision-hash"
GENERATION = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
BURST = 250
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


# -- deciding


def daemon_pod(daemon_set: Obj, node: str | None, digest: str) -> Obj:
    """The pod for a node; without one, a pod to try nodes with."""
    pod = copy(pod_from_template(daemon_set["spec"]["template"], daemon_set, DAEMON_SETS))
    labels = pod["metadata"].setdefault("labels", {})
    generation = meta.annotations(daemon_set).get(GENERATION_ANNOTATION)
    if generation:
        labels[GENERATION] = generation
    if digest:
        labels[HASH] = digest
    spec = pod["spec"]
    tolerations = spec.setdefault("tolerations", [])
    wanted = [*_TOLERATED, ("node.kubernetes.io/network-unavailable", "NoSchedule")][
        : 7 if spec.get("hostNetwork") else 6
    ]
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in tolerations:
            tolerations.append(toleration)
    if node is not None:
        _bind_to(spec, node)
    return pod


def _bind_to(spec: Obj, node: str) -> None:
    """Replace the required node affinity by one for this node alone."""
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {})
    required = {"nodeSelectorTerms": [{"matchFields": [field_]}]}
    affinity.setdefault("nodeAffinity", {})["requiredDuringSchedulingIgnoredDuringExecution"] = required


def may_run(trial: Obj, node: Obj) -> tuple[bool, bool]:
    """(whether the node should get a pod, whether one that is there may stay). trial: daemon_pod() without a node."""
    wanted = trial["spec"].get("nodeName")
    if (wanted and wanted != meta.name(node)) or not nodes.matches_required(trial, node):
        return False, False
    tolerations = trial["spec"].get("tolerations") or ()
    if nodes.untolerated(nodes.taints(node), tolerations) is None:
        return True, True
    # One that runs already leaves only where it would be evicted.
    return False, nodes.untolerated(nodes.taints(node), tolerations, ("NoExecute",)) is None


def target_node(pod: Obj) -> str | None:
    """The node a daemon pod is on or is bound for."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for entry in term.get("matchFields") or ():
            if entry["key"] == "metadata.name" and entry["operator"] == "In" and len(entry["values"]) == 1:
                return str(entry["values"][0])
    return None


def limits(daemon_set: Obj, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in nodes; never both 0."""
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = rollout.scaled_value(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = rollout.scaled_value(rolling.get("maxUnavailable", 1), desired, up=True)
    return surge, unavailable if surge or unavailable else 1


def surges(daemon_set: Obj) -> bool:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return False
    return (strategy.get("rollingUpdate") or {}).get("maxSurge", 0) not in (0, "0%", "0")


@dataclass(slots=True)
class Plan:
    """What to do: nodes to get a pod, pods to delete, failed pods among them (by node)."""

    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    failed: list[tuple[str, Obj]] = field(default_factory=list)
    succeeded: list[tuple[str, Obj]] = field(default_factory=list)


def plan_placement(daemon_set: Obj, everyone: Sequence[Obj], by_node: ByNode, digest: str, now: float) -> Plan:
    """Which nodes lack their pod, and which pods are where they should not be."""
    plan = Plan()
    trial = daemon_pod(daemon_set, None, "")
    min_ready = daemon_set["spec"].get("minReadySeconds") or 0
    known = set()
    for node in everyone:
        name = meta.name(node)
        known.add(name)
        should, may_stay = may_run(trial, node)
        present = by_node.get(name) or ()
        if not present:
            if should:
                plan.create.append(name)
        elif not may_stay:
            plan.delete += [pod for pod in present if not meta.deleting(pod)]
        else:
            running = _sort_ended(plan, name, present)
            if len(running) > 1:
                plan.delete += _excess(daemon_set, running, digest, min_ready, now)
    # Pods that wait for a node which does not exist any more.
    for name, present in by_node.items():
        if name not in known:
            plan.delete += [pod for pod in present if not pod["spec"].get("nodeName") and not meta.deleting(pod)]
    return plan


def _sort_ended(plan: Plan, node: str, present: Iterable[Obj]) -> list[Obj]:
    running = []
    for pod in present:
        if meta.deleting(pod):
            continue
        if pods.phase(pod) == "Failed":
            plan.failed.append((node, pod))
        elif pods.phase(pod) == "Succeeded":
            plan.succeeded.append((node, pod))
        else:
            running.append(pod)
    return running


def _excess(daemon_set: Obj, running: list[Obj], digest: str, min_ready: int, now: float) -> list[Obj]:
    """Pods too many on one node: all but the best; while surging, the best of the old may stay until the new is available."""
    ordered = sorted(running, key=lambda pod: (not pods.is_ready(pod), meta.created(pod), meta.name(pod)))
    if not surges(daemon_set):
        return ordered[1:]
    new = [pod for pod in ordered if meta.labels(pod).get(HASH) == digest]
    old = [pod for pod in ordered if meta.labels(pod).get(HASH) != digest]
    replaced = bool(new) and pods.is_available(new[0], min_ready, now)
    return new[1:] + (old if replaced else old[1:])


def split_node(present: Iterable[Obj], digest: str) -> tuple[Obj | None, Obj | None] | None:
    """(new pod, old pod) of a node; None when it has several of a sort and must be tidied first."""
    new = old = None
    for pod in present:
        if meta.deleting(pod):
            continue
        if meta.labels(pod).get(HASH) == digest:
            if new is not None:
                return None
            new = pod
        else:
            if old is not None:
                return None
            old = pod
    return new, old


def plan_update(daemon_set: Obj, everyone: Sequence[Obj], by_node: ByNode, digest: str, now: float) -> Plan:
    """The next step of a rolling update."""
    trial = daemon_pod(daemon_set, None, "")
    ordered = [meta.name(node) for node in everyone if may_run(trial, node)[0]]
    wanted = set(ordered)
    # Nodes without any pod yet count as unavailable.
    counted: dict[str, Sequence[Obj]] = dict.fromkeys(ordered, ()) | dict(by_node)
    surge, unavailable = limits(daemon_set, len(wanted))
    min_ready = daemon_set["spec"].get("minReadySeconds") or 0
    step = _replace_by_surge if surge else _replace_in_place
    return step(counted, wanted, digest, surge or unavailable, lambda pod: pods.is_available(pod, min_ready, now))


def _replace_in_place(counted: ByNode, wanted: set[str], digest: str, limit: int, available: Any) -> Plan:
    """Delete old pods, no more at once than may be unavailable; the placement creates new ones."""
    down = 0
    broken: list[Obj] = []
    candidates: list[Obj] = []
    for present in counted.values():
        pair = split_node(present, digest)
        if pair is None or (pair[0] is None) == (pair[1] is None):
            down += 1
            continue
        new, old = pair
        if new is not None:
            down += not available(new)
        elif not available(old):
            # It serves nobody: replacing it costs nothing.
            broken.append(old)  # type: ignore[arg-type]
            down += 1
        else:
            candidates.append(old)  # type: ignore[arg-type]
    return Plan(delete=broken + candidates[: max(0, limit - down)])


def _replace_by_surge(counted: ByNode, wanted: set[str], digest: str, limit: int, available: Any) -> Plan:
    """Create new pods beside old ones, and delete the old once the new are available."""
    plan = Plan()
    surging = 0
    candidates: list[str] = []
    for name, present in counted.items():
        pair = split_node(present, digest)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is None:
            if name in wanted:
                (candidates if available(old) else plan.create).append(name)
        elif available(new):
            plan.delete.append(old)
        else:
            surging += 1
    plan.create += candidates[: max(0, limit - surging)]
    return plan


def count(daemon_set: Obj, everyone: Sequence[Obj], by_node: ByNode, digest: str, now: float) -> Obj:
    """The status counters."""
    trial = daemon_pod(daemon_set, None, "")
    min_ready = daemon_set["spec"].get("minReadySeconds") or 0
    names = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    counts = dict.fromkeys((*names, "updatedNumberScheduled", "numberAvailable"), 0)
    for node in everyone:
        present = [pod for pod in by_node.get(meta.name(node)) or () if not meta.deleting(pod)]
        if not may_run(trial, node)[0]:
            counts["numberMisscheduled"] += bool(present)
            continue
        counts["desiredNumberScheduled"] += 1
        if not present:
            continue
        counts["currentNumberScheduled"] += 1
        first = min(present, key=lambda pod: (not pods.is_ready(pod), meta.created(pod)))
        if pods.is_ready(first):
            counts["numberReady"] += 1
            counts["numberAvailable"] += pods.is_available(first, min_ready, now)
        counts["updatedNumberScheduled"] += any(meta.labels(pod).get(HASH) == digest for pod in present)
    counts["numberUnavailable"] = counts["desiredNumberScheduled"] - counts["numberAvailable"]
    return counts


# -- doing


class DaemonSetController(Controller):
    name = "daemonset-controller"
    aliases = ("daemonset",)
    source = "daemonset-controller"
    account = "daemon-set-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("apps",), ("daemonsets",), ("get", "list", "watch")),
        Rule(("apps",), ("daemonsets/status",), ("update",)),
        Rule(("apps",), ("daemonsets/finalizers",), ("update",)),
        Rule(("",), ("nodes",), ("list", "watch")),
        Rule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        Rule(("",), ("pods/binding",), ("create",)),
        Rule(("apps",), ("controllerrevisions",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_daemonset_syncs
        self._expectations = Expectations(self.clock)
        self._pod_control = PodControl(self.client, self.recorder, DAEMON_SETS)
        self._failed_backoff: ItemBackoff[str] = ItemBackoff(1.0, 900.0)
        self._failed_until: dict[str, float] = {}
        self._sets = self.watch_own(DAEMON_SETS)
        self._revisions = self.watch(
            CONTROLLER_REVISIONS, indexers={"controller-uid": controller_uid, "orphans": orphan_namespace}
        )
        self._nodes = self.watch(
            NODES, added=self._node_changed, updated=self._node_updated, deleted=self._node_changed
        )
        self._pods = self.watch(
            PODS, added=self._pod_added, updated=self._pod_updated, deleted=self._pod_deleted, indexers=POD_INDEXERS
        )

    # -- what wakes it

    def _node_changed(self, node: Obj) -> None:
        for daemon_set in self._sets.list():
            self.enqueue_object(daemon_set)

    def _node_updated(self, old: Obj, new: Obj) -> None:
        spec_before, spec_after = old.get("spec") or {}, new.get("spec") or {}
        changed = ("taints", "unschedulable")
        if meta.labels(old) != meta.labels(new) or any(spec_before.get(k) != spec_after.get(k) for k in changed):
            self._node_changed(new)

    def _owner_of(self, pod: Obj) -> Obj | None:
        reference = meta.controller_of(pod)
        if reference is None or reference["kind"] != "DaemonSet":
            return None
        owner = self._sets.find(meta.namespace(pod), reference["name"])
        return owner if owner is not None and meta.uid(owner) == reference["uid"] else None

    def _wake(self, pod: Obj) -> Obj | None:
        owner = self._owner_of(pod)
        if owner is not None:
            self.enqueue_object(owner)
        elif meta.controller_of(pod) is None:
            for candidate in self._sets.list(meta.namespace(pod)):
                selector = selectors.from_object(candidate["spec"].get("selector"))
                if not selector.empty and selector.matches(meta.labels(pod)):
                    self.enqueue_object(candidate)
        return owner

    def _pod_added(self, pod: Obj) -> None:
        if meta.deleting(pod):
            self._pod_deleted(pod)
        elif (owner := self._wake(pod)) is not None:
            self._expectations.creation_observed(meta.key(owner))

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.deleting(new):
            self._pod_deleted(new)
            return
        if meta.controller_of(old) != meta.controller_of(new):
            self._wake(old)
        owner = self._wake(new)
        min_ready = (owner or {"spec": {}})["spec"].get("minReadySeconds") or 0
        if owner is not None and min_ready and pods.is_ready(new) and not pods.is_ready(old):
            self.enqueue_after(meta.key(owner), min_ready + 1)

    def _pod_deleted(self, pod: Obj) -> None:
        owner = self._wake(pod)
        if owner is not None:
            self._expectations.deletion_observed(meta.key(owner), meta.key(pod))

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        daemon_set = self._sets.get(key)
        if daemon_set is None:
            self._expectations.forget(key)
            return None
        selector = selectors.from_object(daemon_set["spec"].get("selector"))
        if selector.empty:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(daemon_set, "Warning", "SelectingAll", text)
            return None
        if meta.deleting(daemon_set):
            return None
        everyone = self._nodes.list()
        owned = await self._claim(daemon_set)
        by_node: dict[str, list[Obj]] = {}
        for pod in owned:
            by_node.setdefault(target_node(pod) or "", []).append(pod)
        current, old = await self._revise(daemon_set, owned)
        digest = meta.labels(current)[HASH]
        now = self.clock.time()
        if self._expectations.satisfied(key):
            await self._act(key, daemon_set, plan_placement(daemon_set, everyone, by_node, digest, now), digest)
            strategy = (daemon_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
            if strategy == "RollingUpdate" and self._expectations.satisfied(key):
                await self._act(key, daemon_set, plan_update(daemon_set, everyone, by_node, digest, now), digest)
            live = {meta.labels(pod).get(HASH, "") for pod in owned}
            await history.truncate(self.client, old, live, daemon_set["spec"].get("revisionHistoryLimit", 10))
        await self._write_status(daemon_set, count(daemon_set, everyone, by_node, digest, now))
        return None

    async def _claim(self, daemon_set: Obj) -> list[Obj]:
        owned = self._pods.by_index("controller-uid", meta.uid(daemon_set))
        orphans = self._pods.by_index("orphans", meta.namespace(daemon_set))
        return await ownership.claim(
            self.client,
            [*owned, *orphans],
            resource=PODS,
            owner=daemon_set,
            owner_resource=DAEMON_SETS,
            selector=selectors.from_object(daemon_set["spec"]["selector"]),
        )

    async def _revise(self, daemon_set: Obj, owned: list[Obj]) -> tuple[Obj, list[Obj]]:
        """(the revision of the present template, the others)."""
        known = await ownership.claim(
            self.client,
            [
                *self._revisions.by_index("controller-uid", meta.uid(daemon_set)),
                *self._revisions.by_index("orphans", meta.namespace(daemon_set)),
            ],
            resource=CONTROLLER_REVISIONS,
            owner=daemon_set,
            owner_resource=DAEMON_SETS,
            selector=selectors.from_object(daemon_set["spec"]["selector"]),
        )
        data = history.template_patch(daemon_set)
        same = [entry for entry in known if entry.get("data") == data]
        old = [entry for entry in known if entry.get("data") != data]
        number = history.next_revision(old)
        if same:
            newest = history.by_revision(same)[-1]
            if (newest.get("revision") or 0) < number:
                newest = await history.renumber(self.client, newest, number)
            return newest, old
        collisions = (daemon_set.get("status") or {}).get("collisionCount") or 0
        wanted = history.describe(daemon_set, DAEMON_SETS, revision=number, collisions=collisions, hash_label=HASH)
        try:
            return await history.create(self.client, wanted), old
        except history.Collision as collision:
            status = {**(daemon_set.get("status") or {}), "collisionCount": collisions + 1}
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": status}, subresource="status")
            raise Retry(f"found a hash collision: {collision}") from None

    async def _act(self, key: str, daemon_set: Obj, plan: Plan, digest: str) -> None:
        delete = [*plan.delete, *self._ended(daemon_set, plan)]
        if not plan.create and not delete:
            return
        create = plan.create[:BURST]
        delete = delete[:BURST]
        self._expectations.expect_deletions(key, map(meta.key, delete))
        self._expectations.add_creations(key, len(create))

        async def make(number: int) -> None:
            try:
                await self._pod_control.create(daemon_set, daemon_pod(daemon_set, create[number], digest))
            except ApiError as error:
                if not namespace_terminating(error):
                    raise

        done, error = await slow_start(len(create), make)
        if done < len(create):
            self._expectations.creation_observed(key, len(create) - done)

        async def remove(pod: Obj) -> None:
            try:
                await self._pod_control.delete(daemon_set, pod)
            except ApiError as failure:
                self._expectations.deletion_observed(key, meta.key(pod))
                if failure.reason != "NotFound":
                    raise

        await gather_all(remove(pod) for pod in delete)
        if error is not None:
            raise error

    def _ended(self, daemon_set: Obj, plan: Plan) -> list[Obj]:
        """Pods that ended and are to be replaced: failed ones after a backoff per node."""
        result = []
        now = self.clock.monotonic()
        for node, pod in plan.failed:
            slot = f"{meta.uid(daemon_set)}/{meta.generation(daemon_set)}/{node}"
            until = self._failed_until.get(slot, 0.0)
            if until > now:
                self.enqueue_after(meta.key(daemon_set), until - now)
                continue
            self._failed_until[slot] = now + self._failed_backoff.next(slot)
            if len(self._failed_until) > 10_000:
                self._failed_until = {name: moment for name, moment in self._failed_until.items() if moment > now}
            text = f"Found failed daemon pod {meta.key(pod)} on node {node}, will try to kill it"
            self.recorder.event(daemon_set, "Warning", "FailedDaemonPod", text)
            result.append(pod)
        for node, pod in plan.succeeded:
            text = f"Found succeeded daemon pod {meta.key(pod)} on node {node}, will try to delete it"
            self.recorder.event(daemon_set, "Normal", "SucceededDaemonPod", text)
            result.append(pod)
        return result

    async def _write_status(self, daemon_set: Obj, counts: Obj) -> None:
        old = daemon_set.get("status") or {}
        status: Obj = {"observedGeneration": meta.generation(daemon_set), **counts}
        for name in ("updatedNumberScheduled", "numberAvailable", "numberUnavailable"):
            if not status[name]:
                del status[name]
        for name in ("collisionCount", "conditions"):
            if old.get(name):
                status[name] = old[name]
        if not same_status(old, status):
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": status}, subresource="status")
