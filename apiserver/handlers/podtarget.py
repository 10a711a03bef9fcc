"""What log, exec, attach and port-forward share: the pod, its node, one of its containers, and CONNECT admission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery import errors
from apiserver.admission.base import Attributes
from apiserver.filters.base import Request
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj

if TYPE_CHECKING:
    from apiserver.kubelet import Kubelets


def kubelets(scope: Scope) -> Kubelets:
    """The server's connections to node agents."""
    found: Kubelets = scope.server.services["kubelet"]
    return found


async def pod_of(scope: Scope, request: Request) -> Obj:
    """The pod of the request's path; 404 when there is none."""
    entry = await scope.store.get(request.info.namespace, request.info.name)
    return scope.store.decode(entry)


def node_of(pod: Obj) -> str:
    """Where it runs, "" while nowhere."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def assigned_node(pod: Obj) -> str:
    """Where it runs; 400 while that is nowhere."""
    node = node_of(pod)
    if not node:
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return node


def container_of(pod: Obj, wanted: str) -> str:
    """The container asked for, or the only one there is; 400 when that is unclear or wrong."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    regular, init, ephemeral = (
        [container["name"] for container in spec.get(field) or ()]
        for field in ("containers", "initContainers", "ephemeralContainers")
    )
    if not wanted:
        if len(regular) == 1:
            return str(regular[0])
        text = f"a container name must be specified for pod {name}"
        if regular:
            text += f", choose one of: [{' '.join(regular)}]"
            if init:
                text += f" or one of the init containers: [{' '.join(init)}]"
            if ephemeral:
                text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
        raise errors.bad_request(text)
    if wanted not in regular + init + ephemeral:
        raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


async def admit(scope: Scope, request: Request, options: Obj) -> Obj:
    """The connection's options after admission; what a plugin refuses raises its error."""
    info, environment = request.info, scope.store.environment
    attributes = Attributes(
        operation="CONNECT",
        group=scope.kind.group,
        version=scope.version,
        plural=scope.kind.plural,
        subresource=scope.sub,
        namespace=info.namespace or None,
        name=info.name,
        kind=None,
        obj=options,
        old=None,
        user=request.user,
        clock=scope.server.clock,
        reader=environment.reader,
        warnings=request.warnings,
        annotations=request.annotations,
        services=scope.server.services,
    )
    await environment.admission.admit(attributes)
    await environment.admission.validate(attributes)
    return attributes.obj or options
