"""Putting a pod on a node: POST pods/<name>/binding, and the older POST bindings."""

from __future__ import annotations

from apimachinery import errors, field
from apimachinery.field import FieldError
from apiserver.filters.base import Request
from apiserver.handlers.scope import Expected, Scope
from apiserver.handlers.subresources import body
from apiserver.kinds.core import pod_binding
from apiserver.registry import metadata
from apiserver.registry.kind import Obj
from apiserver.validation import names
from serving.reply import Reply

_EXPECTED = Expected("Binding", "", "v1")


async def bind(scope: Scope, request: Request) -> Reply:
    """201 once the pod's spec.nodeName is set; 409 when it has a node, is gated or is being deleted."""
    posted = await body.read(scope, request, _EXPECTED, preconditions=bool(request.info.name))
    meta = posted.obj["metadata"]
    name = request.info.name or meta.get("name") or ""
    if (meta.get("name") or "") != name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    binding = await body.admit(scope, request, body.own(scope, request, posted, _EXPECTED), name)
    found = pod_binding.validate_binding(binding)
    if found:
        raise metadata.plain_failure(_aggregate(found))
    if not name:
        raise errors.bad_request("Name parameter required.")
    if wrong := names.path_segment(name):
        raise errors.bad_request(f"Name parameter invalid: {field.go_quote(name)}: {';'.join(wrong)}")
    store = scope.server.store_of("", "pods")
    dry_run = bool(posted.options.get("dryRun"))
    await store.replace(request.info.namespace, name, lambda pod: _assign(scope, pod, binding), dry_run=dry_run)
    return body.success(scope, posted)


ENDPOINTS = {"POST": bind}


def _aggregate(found: list[FieldError]) -> str:
    texts = [str(error) for error in found]
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def _assign(scope: Scope, pod: Obj, binding: Obj) -> Obj:
    meta, wanted = pod["metadata"], binding["metadata"]
    name = meta["name"]
    for key, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(key) and wanted[key] != meta.get(key):
            raise errors.conflict(
                "",
                "pods",
                name,
                f"StorageError: invalid object, Code: 4, Key: /registry/pods/{meta['namespace']}/{name}, "
                f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {shown} in precondition: {wanted[key]}, "
                f"{shown} in object meta: {meta.get(key)}",
            )
    pod_binding.bind(pod, binding, scope.server.clock)
    return pod
