"""PodDisruptionBudgets: how many of the pods they cover may be evicted now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, selectors, times
from apimachinery.errors import ApiError
from client.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from controllers import rollout
from controllers.base import EVENTS_RULE, Controller, Result, Rule, ignoring_absence
from controllers.discovery import discover

Obj = dict[str, Any]

DELETION_TIMEOUT = 120.0  # seconds in which an evicted pod should begin to end
_STALE = "pod:"  # queue keys of pods whose DisruptionTarget condition may be stale


# -- deciding


def healthy(matched: Sequence[Obj], disrupted: Mapping[str, str], now: float) -> int:
    """Ready pods that are not going."""
    return sum(
        pods.is_ready(pod)
        and not meta.deleting(pod)
        and not (meta.name(pod) in disrupted and times.parse_time(disrupted[meta.name(pod)]) + DELETION_TIMEOUT > now)
        for pod in matched
    )


def still_disrupted(budget: Obj, matched: Sequence[Obj], now: float) -> tuple[dict[str, str], list[Obj], float | None]:
    """(pods evicted of late that are not going yet, pods that should be going and are not, seconds to the next look)."""
    told: Mapping[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    result: dict[str, str] = {}
    overdue: list[Obj] = []
    waits: list[float] = []
    for pod in matched:
        moment = told.get(meta.name(pod))
        if moment is None or meta.deleting(pod):
            continue
        left = times.parse_time(moment) + DELETION_TIMEOUT - now
        if left < 0:
            overdue.append(pod)
        else:
            result[meta.name(pod)] = moment
            waits.append(left)
    return result, overdue, min(waits, default=None)


def desired_healthy(budget: Obj, covered: int) -> int:
    """How many must stay healthy, of the number that should be there."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        return max(0, covered - rollout.scaled_value(spec["maxUnavailable"], covered, up=True))
    return rollout.scaled_value(spec.get("minAvailable", 0), covered, up=True)


def needs_scale(budget: Obj) -> bool:
    """Whether the size of the pods' owners matters, and not only how many pods there are."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def condition_of(allowed: int, generation: int) -> Obj:
    enough = allowed > 0
    return {
        "type": "DisruptionAllowed",
        "status": "True" if enough else "False",
        "reason": "SufficientPods" if enough else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
    }


# -- doing


class DisruptionController(Controller):
    name = "disruption-controller"
    aliases = ("disruption",)
    source = "controllermanager"
    account = "disruption-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("apps",), ("deployments", "replicasets", "statefulsets"), ("get", "list", "watch")),
        Rule(("",), ("replicationcontrollers",), ("get", "list", "watch")),
        Rule(("policy",), ("poddisruptionbudgets",), ("get", "list", "watch")),
        Rule(("policy",), ("poddisruptionbudgets/status",), ("update",)),
        Rule(("",), ("pods/status",), ("patch", "update")),
        Rule(("*",), ("*/scale",), ("get",)),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._owners = {
            kind: self.watch(resource)
            for kind, resource in (
                ("ReplicationController", REPLICATION_CONTROLLERS),
                ("ReplicaSet", REPLICA_SETS),
                ("StatefulSet", STATEFUL_SETS),
                ("Deployment", DEPLOYMENTS),
            )
        }
        self._budgets = self.watch_own(POD_DISRUPTION_BUDGETS)
        self._pods = self.watch(PODS)
        self._pods.add_handler(added=self._pod_changed, updated=self._pod_updated, deleted=self._pod_changed)

    def _pod_changed(self, pod: Obj) -> None:
        for budget in self._budgets.list(meta.namespace(pod)):
            if selectors.from_object(budget["spec"].get("selector")).matches(meta.labels(pod)):
                self.enqueue_object(budget)
        wait = self._stale_in(pod)
        if wait is not None:
            self.enqueue_after(_STALE + meta.key(pod), wait)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.labels(old) != meta.labels(new):
            self._pod_changed(old)
        self._pod_changed(new)

    def _stale_in(self, pod: Obj) -> float | None:
        """Seconds until a pod that was to be disrupted, and is not going, counts as spared; None if it is not such a pod."""
        told = meta.condition(pod, "DisruptionTarget")
        if told is None or told.get("status") != "True" or meta.deleting(pod) or pods.is_terminal(pod):
            return None
        if told.get("reason") == "TerminationByKubelet":
            return None
        since = told.get("lastTransitionTime")
        return max(0.0, times.parse_time(since) + DELETION_TIMEOUT - self.clock.time()) if since else 0.0

    async def reconcile(self, key: str) -> Result | None:
        if key.startswith(_STALE):
            return await self._spare(key.removeprefix(_STALE))
        budget = self._budgets.get(key)
        if budget is None:
            return None
        try:
            return await self._count(budget)
        except ApiError as error:
            if error.reason == "Conflict":
                raise
            await self._fail_safe(budget, str(error))
            raise
        except (selectors.SelectorError, _NoController) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._fail_safe(budget, str(error))
            return None

    async def _count(self, budget: Obj) -> Result | None:
        selector = selectors.from_object(budget["spec"].get("selector"))
        matched = [pod for pod in self._pods.list(meta.namespace(budget)) if selector.matches(meta.labels(pod))]
        if not matched:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        covered = await self._expected(budget, matched) if needs_scale(budget) else len(matched)
        now = self.clock.time()
        disrupted, overdue, wait = still_disrupted(budget, matched, now)
        for pod in overdue:
            text = (
                f"Pod was expected by PDB {meta.namespace(budget)}/{meta.namespace(budget)} to be deleted but it wasn't"
            )
            self.recorder.event(pod, "Warning", "NotDeleted", text)
        current = healthy(matched, disrupted, now)
        desired = desired_healthy(budget, covered)
        allowed = max(0, current - desired) if covered > 0 else 0
        generation = meta.generation(budget)
        old = budget.get("status") or {}
        status: Obj = {
            "currentHealthy": current,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": covered,
            "observedGeneration": generation,
            "conditions": meta.set_condition(old.get("conditions"), condition_of(allowed, generation), self.clock),
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        if status != old:
            await self.client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")
        return Result(after=wait) if wait is not None else None

    async def _fail_safe(self, budget: Obj, message: str) -> None:
        """Where nothing can be said, allow no disruption."""
        old = budget.get("status") or {}
        failed = {
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "SyncFailed",
            "message": message,
            "observedGeneration": old.get("observedGeneration") or 0,
        }
        conditions = meta.set_condition(old.get("conditions"), failed, self.clock)
        zero = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
        status = {**zero, **old, "disruptionsAllowed": 0, "conditions": conditions}
        if status != old:
            await self.client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")

    # -- sizes of owners

    async def _expected(self, budget: Obj, matched: Sequence[Obj]) -> int:
        """The sum of the sizes of the owners of the pods."""
        sizes: dict[str, int] = {}
        unmanaged = False
        for pod in matched:
            reference = meta.controller_of(pod)
            if reference is None:
                unmanaged = True
            elif reference["uid"] not in sizes:
                uid, size = await self._size(meta.namespace(pod), reference, meta.name(pod))
                sizes[uid] = size
                sizes.setdefault(reference["uid"], 0)
        if unmanaged:
            text = (
                "Pods selected by this PodDisruptionBudget (selector: "
                f"{selectors.from_object(budget['spec'].get('selector'))}) were found to be unmanaged. As a result, the status "
                "of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods "
                'please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self.recorder.event(budget, "Warning", "UnmanagedPods", text)
        return sum(sizes.values())

    async def _size(self, namespace: str, reference: Obj, pod: str) -> tuple[str, int]:
        """(uid, size) of what controls a pod: a ReplicaSet's Deployment, if it has one."""
        informer = self._owners.get(reference["kind"])
        if informer is not None:
            owner = informer.find(namespace, reference["name"])
            if owner is not None and meta.uid(owner) == reference["uid"]:
                above = meta.controller_of(owner)
                if above is not None and above["kind"] == "Deployment":
                    return await self._size(namespace, above, pod)
                return reference["uid"], rollout.replicas(owner)
        for entry in (await discover(self.client)).served:
            if (entry.resource.api_version, entry.resource.kind) == (reference["apiVersion"], reference["kind"]):
                scale = await ignoring_absence(
                    self.client.get(entry.resource, reference["name"], namespace, subresource="scale")
                )
                if scale is not None:
                    return reference["uid"], int(scale["spec"].get("replicas") or 0)
        raise _NoController(f'found no controllers for pod "{pod}"')

    # -- pods that were spared

    async def _spare(self, key: str) -> Result | None:
        pod = self._pods.get(key)
        wait = self._stale_in(pod) if pod is not None else None
        if pod is None or wait is None:
            return None
        if wait > 0:
            return Result(after=wait)
        condition = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": times.now(self.clock)}
        patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
        namespace, name = meta.split_key(key)
        await ignoring_absence(
            self.client.patch(PODS, name, patch, namespace, content_type="strategic", subresource="status")
        )
        return None


class _NoController(Exception):
    """A pod's owner has no size that could be asked for."""
