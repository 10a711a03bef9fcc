"""EndpointSlices for Services with a selector: who serves them, in slices of at most a hundred."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, selectors
from apimachinery.errors import ApiError
from client.api import Client
from client.informer import Informer
from client.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from controllers import endpointplan
from controllers.base import EVENTS_RULE, Controller, Result, Retry, Rule, ignoring_absence, namespace_terminating

Obj = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
BATCH = 0.1  # seconds that changes of pods are collected before slices are written


def services_of_pod(services: Informer, pod: Obj) -> list[Obj]:
    """The Services whose selector matches the pod."""
    labels = meta.labels(pod)
    return [
        service
        for service in services.list(meta.namespace(pod))
        if service["spec"].get("selector") and selectors.from_map(service["spec"]["selector"]).matches(labels)
    ]


def endpoints_view(pod: Obj) -> tuple[Any, ...]:
    """What of a pod matters to Services; a change of anything else wakes nobody."""
    spec = pod["spec"]
    return (
        pods.phase(pod),
        endpointplan.pod_ips(pod),
        meta.deleting(pod),
        pods.is_ready(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


class ServicePods(Controller):
    """What the two endpoints controllers share: Services are woken by changes of their pods."""

    def setup(self) -> None:
        self._services = self.watch_own(SERVICES)
        self._pods = self.watch(PODS, added=self._pod_changed, updated=self._pod_updated, deleted=self._pod_changed)

    def _pod_changed(self, pod: Obj) -> None:
        for service in services_of_pod(self._services, pod):
            self.enqueue_after(meta.key(service), BATCH)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.labels(old) != meta.labels(new):
            self._pod_changed(old)
            self._pod_changed(new)
        elif endpoints_view(old) != endpoints_view(new):
            self._pod_changed(new)

    def matching_pods(self, service: Obj) -> list[Obj]:
        selector = selectors.from_map(service["spec"]["selector"])
        return [pod for pod in self._pods.list(meta.namespace(service)) if selector.matches(meta.labels(pod))]


class Written:
    """The slices written for each key, so that nothing is decided on a cache that does not show them yet: slices would be
    made twice (the original's EndpointSliceTracker)."""

    def __init__(self) -> None:
        self._generations: dict[str, dict[str, int]] = {}  # key -> uid -> generation

    def forget(self, key: str) -> None:
        self._generations.pop(key, None)

    def check(self, key: str, own: Iterable[Obj]) -> None:
        """Retry while the cache is behind. own: the slices of the key as cached."""
        seen = {meta.uid(slice_): meta.generation(slice_) for slice_ in own}
        waiting = self._generations.get(key, {})
        for uid, generation in list(waiting.items()):
            if seen.get(uid, -1) >= generation:
                del waiting[uid]
        if waiting:
            raise Retry("EndpointSlice informer cache is out of date")

    async def apply(self, client: Client, key: str, plan: endpointplan.SlicePlan) -> None:
        """Write what was planned; creations in a namespace that is going are dropped."""
        waiting = self._generations.setdefault(key, {})
        for slice_ in plan.create:
            try:
                created = await client.create(ENDPOINT_SLICES, slice_)
            except ApiError as error:
                if namespace_terminating(error):
                    return
                raise
            waiting[meta.uid(created)] = meta.generation(created)
        for slice_ in plan.update:
            updated = await client.update(ENDPOINT_SLICES, slice_)
            waiting[meta.uid(updated)] = meta.generation(updated)
        for slice_ in plan.delete:
            await ignoring_absence(client.delete(ENDPOINT_SLICES, meta.name(slice_), meta.namespace(slice_)))
            waiting.pop(meta.uid(slice_), None)


class EndpointSliceController(ServicePods):
    name = "endpointslice-controller"
    aliases = ("endpointslice",)
    source = "endpoint-slice-controller"
    account = "endpointslice-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("nodes", "pods", "services"), ("get", "list", "watch")),
        Rule(("",), ("services/finalizers",), ("update",)),
        Rule(("discovery.k8s.io",), ("endpointslices",), ("create", "delete", "get", "list", "update")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_service_endpoint_syncs
        super().setup()
        self._nodes = self.watch(NODES)
        self._slices = self.watch(
            ENDPOINT_SLICES,
            updated=lambda old, new: self._slice_changed(new),
            deleted=self._slice_changed,
            indexers={"service": service_of_slice},
        )
        self._written = Written()

    def _slice_changed(self, slice_: Obj) -> None:
        """Someone changed or removed what is ours."""
        for key in service_of_slice(slice_):
            if meta.labels(slice_).get(MANAGED_BY) == MANAGER:
                self.enqueue_after(key, BATCH)

    async def reconcile(self, key: str) -> Result | None:
        service = self._services.get(key)
        if service is None:
            # The garbage collector removes the slices, which the Service owns.
            self._written.forget(key)
            return None
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return None
        own = [
            slice_
            for slice_ in self._slices.by_index("service", key)
            if meta.labels(slice_).get(MANAGED_BY) == MANAGER and not meta.deleting(slice_)
        ]
        self._written.check(key, own)
        matched = self.matching_pods(service)
        kinds = endpointplan.families(service, matched)
        try:
            for kind in kinds:
                mine = [slice_ for slice_ in own if slice_.get("addressType") == kind]
                await self._written.apply(self.client, key, self._plan(service, matched, kind, mine))
            for slice_ in own:
                if slice_.get("addressType") not in kinds:
                    await ignoring_absence(
                        self.client.delete(ENDPOINT_SLICES, meta.name(slice_), meta.namespace(slice_))
                    )
        except ApiError as error:
            if error.reason != "Conflict":
                text = f"Error updating Endpoint Slices for Service {key}: {error}"
                self.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        return None

    def _plan(self, service: Obj, matched: list[Obj], kind: str, mine: list[Obj]) -> endpointplan.SlicePlan:
        wanted = []
        for pod in matched:
            if not endpointplan.belongs(pod, terminating=True):
                continue
            node = self._nodes.get(pod["spec"].get("nodeName") or "")
            entry = endpointplan.endpoint(service, pod, kind, node)
            if entry is not None:
                wanted.append((endpointplan.ports_of(service, pod), entry))
        known = next((meta.annotations(slice_).get(endpointplan.TRIGGER_TIME) for slice_ in mine), None)
        moment = endpointplan.trigger_time(service, matched, known)
        template = self._template(service, kind, moment)
        return endpointplan.plan_slices(wanted, mine, template, self.config.max_endpoints_per_slice)

    def _template(self, service: Obj, kind: str, moment: str | None) -> Obj:
        labels = {name: value for name, value in meta.labels(service).items() if name not in (SERVICE_NAME, MANAGED_BY)}
        if endpointplan.is_headless(service):
            labels[endpointplan.HEADLESS] = ""
        else:
            labels.pop(endpointplan.HEADLESS, None)
        labels |= {SERVICE_NAME: meta.name(service), MANAGED_BY: MANAGER}
        metadata: Obj = {
            "generateName": f"{meta.name(service)}-",
            "namespace": meta.namespace(service),
            "labels": labels,
            "ownerReferences": [meta.controller_ref(service, SERVICES)],
        }
        if moment:
            metadata["annotations"] = {endpointplan.TRIGGER_TIME: moment}
        return {"metadata": metadata, "addressType": kind}


def service_of_slice(slice_: Obj) -> list[str]:
    name = meta.labels(slice_).get(SERVICE_NAME)
    return [meta.join_key(meta.namespace(slice_), name)] if name else []
