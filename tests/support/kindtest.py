"""Kinds without a server: an object goes through the hooks in the store's order, and what comes out is compared.

tester = KindTester(POD)
outcome = tester.create(changed(POD_OBJECT, {"spec.containers[0].image": ""}))
assert outcome.errors == ["spec.containers[0].image: Required value"]
"""

from __future__ import annotations

import asyncio
import copy
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from apimachinery import times
from apimachinery.clock import ControlledClock
from apiserver.authn.user import User
from apiserver.registry import updating
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import meta
from tests.support.reader import MemoryObjects

GONE = object()  # as a value for changed(): remove the field
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]+)\]")


def changed(obj: Obj, edits: dict[str, Any]) -> Obj:
    """A copy with values at paths like "spec.containers[0].image"; a key with dots is in brackets: "metadata.labels[a.b]"."""
    out = copy.deepcopy(obj)
    for path, value in edits.items():
        steps: list[Any] = [int(n) if n.isdigit() else (n or name) for name, n in _STEP.findall(path)]
        target: Any = out
        for position, step in enumerate(steps[:-1]):
            if isinstance(step, str) and target.get(step) is None:
                target[step] = [] if isinstance(steps[position + 1], int) else {}
            elif isinstance(step, int) and step == len(target):
                target.append({})
            target = target[step]
        last = steps[-1]
        if value is GONE:
            del target[last]
        elif isinstance(last, int) and last == len(target):
            target.append(value)
        else:
            target[last] = value
    return out


@dataclass
class Outcome:
    """The object as it would be stored, and what was said about it."""

    obj: Obj
    errors: list[str]
    warnings: list[str] = field(default_factory=list)


class KindTester:
    """Creates and updates of one kind. objects: what the hooks find when they look."""

    def __init__(self, kind: Kind, *, objects: MemoryObjects | None = None, **services: Any) -> None:
        self.kind = kind
        self.clock = ControlledClock()
        self.objects = objects or MemoryObjects()
        self.services = services

    def ctx(self, subresource: str = "", group: str | None = None, *, dry_run: bool = False) -> Ctx:
        return Ctx(
            user=User("tester"),
            clock=self.clock,
            reader=self.objects,
            version=self.kind.storage_version,
            group=self.kind.group if group is None else group,
            namespace="ns" if self.kind.namespaced else None,
            subresource=subresource,
            dry_run=dry_run,
            services=self.services,
        )

    def decode(self, obj: Obj) -> Obj:
        """The object as a handler brings it: decoded, with defaults."""
        kind = self.kind
        body = {"apiVersion": kind.api_version(), "kind": kind.kind, **copy.deepcopy(obj)}
        decoded: Obj = kind.type_info(kind.storage_version).decode(body)[0]
        meta_ = decoded.setdefault("metadata", {})
        if kind.namespaced:
            meta_.setdefault("namespace", "ns")
        kind.default(decoded, kind.storage_version)
        once = copy.deepcopy(decoded)
        kind.default(decoded, kind.storage_version)
        assert decoded == once, "defaulting is not idempotent"
        return decoded

    def create(self, obj: Obj, **ctx: Any) -> Outcome:
        return asyncio.run(self.create_in_loop(obj, self.ctx(**ctx)))

    async def create_in_loop(self, obj: Obj, ctx: Ctx) -> Outcome:
        kind, new = self.kind, self.decode(obj)
        if any(sub.name == "status" for sub in kind.subresources) and not kind.status_at_creation:
            for name in kind.status_fields:
                new.pop(name, None)
            new.update(kind.initial_status())
        if kind.has_generation:
            new["metadata"]["generation"] = 1
        new["metadata"].setdefault("creationTimestamp", times.now(self.clock))
        new["metadata"].setdefault("uid", str(uuid.UUID(int=1)))
        kind.prepare_create(ctx, new)
        await kind.begin_create(ctx, new)
        found = updating.validate_new_metadata(kind, new["metadata"]) + kind.validate(ctx, new)
        warnings = [] if found else kind.warn(ctx, new, None)
        kind.canonicalize(new)
        return Outcome(new, [str(error) for error in found], warnings)

    def update(self, obj: Obj, old: Obj, **ctx: Any) -> Outcome:
        """obj: as a client writes it; old: as create() returned it."""
        return asyncio.run(self.update_in_loop(obj, old, self.ctx(**ctx)))

    async def update_in_loop(self, obj: Obj, old: Obj, ctx: Ctx) -> Outcome:
        kind, new = self.kind, self.decode(obj)
        new["metadata"]["resourceVersion"] = "1"
        for name in set(old) | set(new):
            own = name in kind.status_fields and any(sub.name == "status" for sub in kind.subresources)
            if name not in ("metadata", "kind", "apiVersion") and own is (ctx.subresource != "status"):
                if name in old:
                    new[name] = copy.deepcopy(old[name])
                else:
                    del new[name]
        for name in ("uid", "creationTimestamp", "generation"):
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        kind.prepare_update(ctx, new, old)
        counts = kind.has_generation and ctx.subresource != "status"
        if counts and kind.generation_view(new) != kind.generation_view(old):
            new["metadata"]["generation"] += 1
        await kind.begin_update(ctx, new, old)
        found = meta.validate_object_meta_update(new["metadata"], old["metadata"])
        found += kind.validate_update(ctx, new, old)
        warnings = [] if found else kind.warn(ctx, new, old)
        kind.canonicalize(new)
        return Outcome(new, [str(error) for error in found], warnings)
