"""AlwaysPullImages: every image is pulled anew, so that nobody uses a private image just because a node has it."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        wanted = ("", "ephemeralcontainers")
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and subresource in wanted

    async def admit(self, a: Attributes) -> None:
        if a.obj is None or _unchanged(a):
            return
        for _, container in _containers(a.obj):
            container["imagePullPolicy"] = "Always"
        for volume in (a.obj.get("spec") or {}).get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = "Always"

    async def validate(self, a: Attributes) -> None:
        if a.obj is None or _unchanged(a):
            return
        for path, container in _containers(a.obj):
            policy = container.get("imagePullPolicy", "")
            if policy != "Always":
                text = f'{path}.imagePullPolicy: Unsupported value: {go_quote(policy)}: supported values: "Always"'
                raise forbidden(a, text)


def _containers(pod: Obj) -> Iterator[tuple[str, Obj]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for position, container in enumerate((pod.get("spec") or {}).get(field) or ()):
            yield f"spec.{field}[{position}]", container


def _unchanged(a: Attributes) -> bool:
    """An update that brings no new image is left alone: the policies of a pod that runs cannot be changed."""
    if a.operation != "UPDATE" or a.obj is None or a.old is None:
        return False
    new = {container.get("image") for _, container in _containers(a.obj)}
    return new <= {container.get("image") for _, container in _containers(a.old)}
