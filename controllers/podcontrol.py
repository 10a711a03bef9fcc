"""Creating and deleting pods for a controller, with the events that the original records.

Called by the workload controllers.
"""

from __future__ import annotations

from typing import Any

from apimachinery import meta
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.api import Client
from client.events import EventRecorder
from client.resources import PODS
from controllers.base import namespace_terminating

Obj = dict[str, Any]


def pod_from_template(template: Obj, owner: Obj, resource: Resource) -> Obj:
    """The pod that a template describes, owned by `owner` and named after it."""
    described = template.get("metadata") or {}
    metadata: Obj = {
        "generateName": f"{meta.name(owner)}-",
        "namespace": meta.namespace(owner),
        "ownerReferences": [meta.controller_ref(owner, resource)],
    }
    for name in ("labels", "annotations", "finalizers"):
        if described.get(name):
            metadata[name] = described[name]
    return {"metadata": metadata, "spec": template.get("spec") or {}}


class PodControl:
    """Pod writes on behalf of owners of one kind."""

    def __init__(self, client: Client, recorder: EventRecorder, owner_resource: Resource) -> None:
        self._client = client
        self._recorder = recorder
        self._resource = owner_resource

    async def create(self, owner: Obj, pod: Obj) -> Obj:
        """Create it and say so on the owner; a failure is told too, unless the namespace is going."""
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            if not namespace_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(created)}")
        return created

    async def delete(self, owner: Obj, pod: Obj) -> None:
        """Delete it and say so on the owner. NotFound is raised without an event."""
        try:
            await self._client.delete(PODS, meta.name(pod), meta.namespace(pod))
        except ApiError as error:
            if error.reason != "NotFound":
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
