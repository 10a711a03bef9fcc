"""Deletion of namespaces: everything in them first, pods before all else, then the namespace itself.

What is in the way is told in the namespace's conditions, as the original words it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from apimachinery import meta, pods, times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.resources import NAMESPACES, PODS
from controllers.base import Controller, Result, Rule, copy, ignoring_absence
from controllers.discovery import Served, discover

Obj = dict[str, Any]

FINALIZER = "kubernetes"
SETTLE = 0.5  # seconds before looking, for writes that were admitted just before the namespace began to terminate
FINALIZER_SECONDS = 15  # how long objects with finalizers are given before the next look

_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentRemoved", "All content successfully removed"),
}


@dataclass(slots=True)
class Findings:
    """What one round of deletion found. estimate: seconds until what remains may be gone."""

    discovery_error: str | None = None
    failing_groups: int = 0
    errors: list[str] = field(default_factory=list)
    remaining: dict[Resource, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    estimate: int = 0


def conditions_of(found: Findings) -> dict[str, tuple[str, str, str]]:
    """Condition type -> (status, reason, message) for all five types."""
    result = {type_: ("False", *words) for type_, words in _FINE.items()}
    if found.discovery_error:
        text = found.discovery_error
        if found.failing_groups:
            text = f"Discovery failed for some groups, {found.failing_groups} failing: {text}"
        result["NamespaceDeletionDiscoveryFailure"] = ("True", "DiscoveryFailed", text)
    if found.errors:
        listed = ", ".join(sorted(found.errors))
        text = f"Failed to delete all resource types, {len(found.errors)} remaining: {listed}"
        result["NamespaceDeletionContentFailure"] = ("True", "ContentDeletionFailed", text)
    left = sorted(
        f"{resource.plural}.{resource.group} has {count} resource instances"
        for resource, count in found.remaining.items()
        if count
    )
    if left:
        text = f"Some resources are remaining: {', '.join(left)}"
        result["NamespaceContentRemaining"] = ("True", "SomeResourcesRemain", text)
    holding = sorted(f"{name} in {count} resource instances" for name, count in found.finalizers.items())
    if holding:
        text = f"Some finalizers are remaining: {', '.join(holding)}"
        result["NamespaceFinalizersRemaining"] = ("True", "SomeFinalizerRemain", text)
    return result


def merge_conditions(present: Iterable[Obj], wanted: dict[str, tuple[str, str, str]], clock: Clock) -> list[Obj]:
    """The namespace's conditions with those of ours brought up to date."""
    result = [dict(entry) for entry in present]
    for type_, (status, reason, message) in wanted.items():
        old = meta.find_condition(result, type_)
        if old is None:
            old = {"type": type_, "status": None}
            result.append(old)
        if old.get("status") != status:
            old["lastTransitionTime"] = times.now(clock)
        old.update(status=status, reason=reason, message=message)
    return result


class NamespaceController(Controller):
    name = "namespace-controller"
    aliases = ("namespace",)
    source = "namespace-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("namespaces",), ("delete", "get", "list", "watch")),
        Rule(("",), ("namespaces/finalize", "namespaces/status"), ("update",)),
        Rule(("*",), ("*",), ("delete", "deletecollection", "get", "list")),
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_namespace_syncs
        self._rounds: Counter[str] = Counter()
        self._namespaces = self.watch(NAMESPACES, added=self._seen, updated=lambda old, new: self._seen(new))

    def _seen(self, namespace: Obj) -> None:
        if meta.deleting(namespace):
            self.enqueue_after(meta.name(namespace), SETTLE)

    async def reconcile(self, key: str) -> Result | None:
        if self._namespaces.get(key) is None:
            self._rounds.pop(key, None)
            return None
        namespace = await ignoring_absence(self.client.get(NAMESPACES, key))
        if namespace is None or not meta.deleting(namespace):
            return None
        namespace = await self._mark_terminating(namespace)
        if not (namespace.get("spec") or {}).get("finalizers"):
            return None
        found = await self._delete_content(key, namespace)
        await self._tell(namespace, found)
        if found.errors or found.discovery_error:
            raise ApiError(500, "", "; ".join(filter(None, [found.discovery_error, *found.errors])))
        if found.estimate:
            # Look again soon at first: pods that obey SIGTERM are gone long before their grace is over.
            self._rounds[key] += 1
            return Result(after=min(found.estimate / 2 + 1, 0.25 * 2 ** self._rounds[key]))
        self._rounds.pop(key, None)
        await self._finalize(key)
        return None

    async def _mark_terminating(self, namespace: Obj) -> Obj:
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            return namespace
        changed = copy(namespace)
        changed.setdefault("status", {})["phase"] = "Terminating"
        return await self.client.update(NAMESPACES, changed, subresource="status")

    # -- content

    async def _delete_content(self, name: str, namespace: Obj) -> Findings:
        found = Findings()
        try:
            served = await discover(self.client)
        except ApiError as error:
            found.discovery_error = str(error)
            return found
        found.discovery_error = served.error()
        found.failing_groups = len(served.failures)
        deletable = [entry for entry in served.with_verbs("delete") if entry.resource.namespaced]
        # Pods first, and nothing else before they are gone: they may need their Secrets, policies and quotas to end well.
        first = [entry for entry in deletable if entry.resource.group_resource == "pods"]
        rest = [entry for entry in deletable if entry.resource.group_resource not in ("pods", "events.events.k8s.io")]
        for entry in first:
            await self._delete_all(entry, name, namespace, found)
        if found.errors or any(found.remaining.values()):
            return found
        for entry in rest:
            await self._delete_all(entry, name, namespace, found)
        return found

    async def _delete_all(self, entry: Served, name: str, namespace: Obj, found: Findings) -> None:
        resource = entry.resource
        try:
            estimate = await self._grace(name, namespace) if resource.group_resource == "pods" else 0
            if "deletecollection" in entry.verbs:
                await self.client.delete_collection(resource, name, propagation_policy="Background")
            else:
                for item in await self.client.list_all(resource, name, metadata_only=True):
                    await ignoring_absence(self.client.delete(resource, meta.name(item), name))
            if "list" not in entry.verbs:
                return
            left = await self.client.list_all(resource, name, metadata_only=True)
        except ApiError as error:
            if error.code in (404, 405):  # not served any more, or not deletable this way
                return
            found.errors.append(str(error))
            return
        if not left:
            return
        found.remaining[resource] = len(left)
        holders = Counter(finalizer for item in left for finalizer in meta.finalizers(item))
        found.finalizers.update(holders)
        if estimate:
            found.estimate = max(found.estimate, estimate)
        elif holders:
            found.estimate = max(found.estimate, FINALIZER_SECONDS)
        else:
            gvr = f"{resource.group}/{resource.version}, Resource={resource.plural}"
            found.errors.append(f"unexpected items still remain in namespace: {name} for gvr: {gvr}")

    async def _grace(self, name: str, namespace: Obj) -> int:
        """Seconds that the namespace's pods may take to end; 0 once that time has passed since the deletion."""
        running = [pod for pod in await self.client.list_all(PODS, name) if not pods.is_terminal(pod)]
        longest = max((pod["spec"].get("terminationGracePeriodSeconds") or 0 for pod in running), default=0)
        since = times.parse_time(namespace["metadata"]["deletionTimestamp"])
        return int(longest) if self.clock.time() - since < longest else 0

    async def _tell(self, namespace: Obj, found: Findings) -> None:
        """Write the conditions, if they changed."""
        present = meta.conditions(namespace)
        wanted = merge_conditions(present, conditions_of(found), self.clock)
        if wanted == present:
            return
        changed = copy(namespace)
        changed["status"]["conditions"] = wanted
        try:
            await self.client.update(NAMESPACES, changed, subresource="status")
        except ApiError as error:
            # Someone else wrote it; the next round tells.
            if error.reason not in ("Conflict", "NotFound"):
                raise

    async def _finalize(self, name: str) -> None:
        """Remove our finalizer; the server removes the namespace with the last one."""
        while True:
            namespace = await ignoring_absence(self.client.get(NAMESPACES, name))
            if namespace is None or not meta.deleting(namespace):
                return
            left = [entry for entry in namespace["spec"].get("finalizers") or () if entry != FINALIZER]
            namespace["spec"]["finalizers"] = left
            try:
                await ignoring_absence(self.client.update(NAMESPACES, namespace, subresource="finalize"))
                return
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
