"""Endpoints, the old form of EndpointSlices: one object per Service, at most a thousand addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import ApiError
from client.resources import ENDPOINTS
from controllers import endpointplan
from controllers.base import EVENTS_RULE, Result, Rule, copy, ignoring_absence, namespace_terminating
from controllers.endpointslice import ServicePods

Obj = dict[str, Any]

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


class EndpointsController(ServicePods):
    name = "endpoints-controller"
    aliases = ("endpoint", "endpoints")
    source = "endpoint-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("pods", "services"), ("get", "list", "watch")),
        Rule(("",), ("endpoints",), ("create", "delete", "get", "list", "update")),
        Rule(("",), ("endpoints/restricted",), ("create",)),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_endpoint_syncs
        super().setup()
        self._endpoints = self.watch(ENDPOINTS, deleted=self.enqueue_object)

    async def background(self) -> None:
        """Remove Endpoints of ours whose Service went while nobody looked."""
        for endpoints in self._endpoints.list():
            if meta.labels(endpoints).get(MANAGED_BY) == MANAGER:
                self.enqueue_object(endpoints)

    async def reconcile(self, key: str) -> Result | None:
        service = self._services.get(key)
        namespace, name = meta.split_key(key)
        present = self._endpoints.get(key)
        if service is None:
            if present is not None and MANAGED_BY in meta.labels(present):
                await ignoring_absence(self.client.delete(ENDPOINTS, name, namespace, uid=meta.uid(present)))
            return None
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return None
        wanted = self._describe(service, present)
        if present is not None and _same(present, wanted):
            return None
        try:
            if present is None:
                await self.client.create(ENDPOINTS, wanted)
            else:
                await self.client.update(ENDPOINTS, wanted)
        except ApiError as error:
            if namespace_terminating(error):
                return None
            if error.reason not in ("Conflict", "AlreadyExists"):
                what = "create" if present is None else "update"
                text = f"Failed to {what} endpoint {key}: {error}"
                reason = "FailedToCreateEndpoint" if present is None else "FailedToUpdateEndpoint"
                self.recorder.event(present or service, "Warning", reason, text)
            raise
        return None

    def _describe(self, service: Obj, present: Obj | None) -> Obj:
        matched = self.matching_pods(service)
        subsets, truncated = endpointplan.subsets_of(service, matched, CAPACITY)
        labels = {**meta.labels(service), MANAGED_BY: MANAGER}
        if endpointplan.is_headless(service):
            labels[endpointplan.HEADLESS] = ""
        else:
            labels.pop(endpointplan.HEADLESS, None)
        wanted: Obj = copy(present) if present is not None else {"metadata": {}}
        metadata = wanted["metadata"]
        metadata.update(name=meta.name(service), namespace=meta.namespace(service), labels=labels)
        annotations = dict(metadata.get("annotations") or {})
        moment = endpointplan.trigger_time(service, matched, annotations.get(endpointplan.TRIGGER_TIME))
        if moment:
            annotations[endpointplan.TRIGGER_TIME] = moment
        if truncated:
            annotations[OVER_CAPACITY] = "truncated"
        else:
            annotations.pop(OVER_CAPACITY, None)
        if annotations:
            metadata["annotations"] = annotations
        wanted["subsets"] = subsets
        return wanted


def _same(present: Obj, wanted: Obj) -> bool:
    """Whether nothing that matters differs; a new trigger time alone is no reason to write."""
    before, after = meta.annotations(present), meta.annotations(wanted)
    return (
        (present.get("subsets") or []) == wanted["subsets"]
        and meta.labels(present) == meta.labels(wanted)
        and before.get(OVER_CAPACITY) == after.get(OVER_CAPACITY)
    )
