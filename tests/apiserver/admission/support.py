"""Asks admission plugins as the store would, over objects in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apimachinery.clock import ControlledClock
from apiserver import admission, authz
from apiserver.admission.base import Attributes
from apiserver.admission.chain import Chain
from apiserver.authn.user import User
from apiserver.registry.kind import Kind
from tests.support.reader import MemoryObjects

Obj = dict[str, Any]
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))


class World:
    """A namespace "ns" with the account "default", and the plugins that are on by default plus the named ones."""

    def __init__(self, *also: str, only: bool = False, file: Path | None = None) -> None:
        """file: of --admission-control-config-file."""
        self.objects = MemoryObjects()
        self.clock = ControlledClock()
        self.authz = authz.build(authz.Config(), self.objects, self.clock)
        off = [entry.name for entry in admission.ORDER if entry.default and entry.name not in also] if only else []
        on = [entry.name for entry in admission.ORDER if not entry.default and entry.name in also]
        self.chain: Chain = admission.build(
            admission.Config(
                enable_admission_plugins=on, disable_admission_plugins=off, admission_control_config_file=file
            ),
            reader=self.objects,
            writer=self.objects,
            authorizer=self.authz,
            clock=self.clock,
        )
        self.put("namespaces", {"metadata": {"name": "ns"}, "status": {"phase": "Active"}})
        self.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "ns"}})

    def put(self, plural: str, obj: Obj, group: str = "") -> Obj:
        return self.objects.put(group, plural, obj)

    async def run(
        self,
        operation: Any,
        plural: str,
        obj: Obj | None = None,
        old: Obj | None = None,
        *,
        group: str = "",
        subresource: str = "",
        user: User = ADMIN,
        namespace: str | None = "ns",
        name: str = "",
        dry_run: bool = False,
        kind: Kind | None = None,
        **services: Any,
    ) -> Attributes:
        """Both halves; what came of it. Raises the refusal."""
        meta = (obj or old or {}).get("metadata") or {}
        a = Attributes(
            operation=operation,
            group=group,
            version="v1",
            plural=plural,
            subresource=subresource,
            namespace=namespace,
            name=name or meta.get("name", ""),
            kind=kind,
            obj=obj,
            old=old,
            user=user,
            clock=self.clock,
            reader=self.objects,
            dry_run=dry_run,
            services=services,
        )
        await self.chain.admit(a)
        await self.chain.validate(a)
        return a

    async def create_pod(self, user: User = ADMIN, **spec: Any) -> Obj:
        """The pod as admission leaves it."""
        a = await self.run("CREATE", "pods", pod(**spec), user=user)
        assert a.obj is not None
        return a.obj


def pod(name: str = "p", **spec: Any) -> Obj:
    spec.setdefault("containers", [{"name": "c", "image": "i"}])
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec}
