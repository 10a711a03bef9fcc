"""Putting a pod on a node: POST pods/<name>/binding, and the older POST bindings."""

from __future__ import annotations

from apimachinery import errors, field, times
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apiserver.filters.base import Request
from apiserver.handlers.scope import Expected, Scope
from apiserver.handlers.subresources import body
from apiserver.registry import metadata
from apiserver.registry.kind import Obj
from serving.reply import Reply

_EXPECTED = Expected("Binding", "", "v1")


async def bind(scope: Scope, request: Request) -> Reply:
    """201 once the pod's spec.nodeName is set; 409 when it has a node, is gated or is being deleted."""
    posted = await body.read(scope, request, _EXPECTED)
    meta = posted.obj["metadata"]
    name = request.info.name or meta.get("name") or ""
    if meta.get("name") != name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    binding = await body.admit(scope, request, posted, name)
    found = _validate(binding)
    if found:
        raise metadata.plain_failure(_aggregate(found))
    store = scope.server.store_of("", "pods")
    dry_run = bool(posted.options.get("dryRun"))
    await store.replace(request.info.namespace, name, lambda pod: _assign(scope, pod, binding), dry_run=dry_run)
    return body.success(scope, posted)


ENDPOINTS = {"POST": bind}


def _validate(binding: Obj) -> list[FieldError]:
    target = binding.get("target") or {}
    found = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(field.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        found.append(field.required("target.name"))
    return found


def _aggregate(found: list[FieldError]) -> str:
    texts = [str(error) for error in found]
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def _assign(scope: Scope, pod: Obj, binding: Obj) -> Obj:
    meta, spec, wanted = pod["metadata"], pod["spec"], binding["metadata"]
    name = meta["name"]
    for key in ("uid", "resourceVersion"):
        if wanted.get(key) and wanted[key] != meta.get(key):
            raise _conflict(
                name, f"the {key} in the binding ({wanted[key]}) does not match the pod's ({meta.get(key)})"
            )
    if meta.get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f"pod {name} is already assigned to node {field.go_quote(spec['nodeName'])}")
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for key in ("annotations", "labels"):
        if wanted.get(key):
            meta[key] = {**(meta.get(key) or {}), **wanted[key]}
    _set_scheduled(pod, times.now(scope.server.clock))
    return pod


def _set_scheduled(pod: Obj, now: str) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    for condition in conditions:
        if condition.get("type") == "PodScheduled":
            if condition.get("status") != "True":
                condition["lastTransitionTime"] = now
            condition["status"] = "True"
            condition.pop("reason", None)
            condition.pop("message", None)
            return
    conditions.append({"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now})


def _conflict(name: str, text: str) -> ApiError:
    return errors.conflict("", "pods/binding", name, text)
