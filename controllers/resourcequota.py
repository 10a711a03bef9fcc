"""ResourceQuotas: what a namespace uses of what it may. Admission counts up; this counts anew when something is gone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, quantity, quota
from apimachinery.gvk import Resource
from client.informer import Informer
from client.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_CLAIMS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
)
from controllers.base import EVENTS_RULE, Controller, Result, Retry, Rule, copy
from controllers.discovery import discover

log = logging.getLogger(__name__)

Obj = dict[str, Any]

RESYNC = 300.0  # seconds after which every quota is counted anew
# Usage of these depends on more than their number.
_MEASURED = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS)
_KNOWN = (*_MEASURED, CONFIG_MAPS, SECRETS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS)


class ResourceQuotaController(Controller):
    name = "resourcequota-controller"
    aliases = ("resourcequota",)
    source = "resourcequota-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("*",), ("*",), ("list", "watch")),
        Rule(("",), ("resourcequotas/status",), ("update",)),
        EVENTS_RULE,
    )
    workers = 5

    def setup(self) -> None:
        self._counted: dict[tuple[str, str], Informer] = {}
        self._served: dict[tuple[str, str], Resource] = {
            (resource.group, resource.plural): resource for resource in _KNOWN
        }
        self._quotas = self.watch_own(RESOURCE_QUOTAS)

    async def background(self) -> None:
        while True:
            await self.clock.sleep(RESYNC)
            for resource_quota in self._quotas.list():
                self.enqueue_object(resource_quota)

    async def reconcile(self, key: str) -> Result | None:
        resource_quota = self._quotas.get(key)
        if resource_quota is None:
            return None
        hard = resource_quota["spec"].get("hard") or {}
        used = await self._usage(resource_quota, hard)
        status = {"hard": hard, "used": quantity.draw_list(used)}
        if status != (resource_quota.get("status") or {}):
            changed = copy(resource_quota)
            changed["status"] = status
            await self.client.update(RESOURCE_QUOTAS, changed, subresource="status")
        return None

    async def _usage(self, resource_quota: Obj, hard: Obj) -> quantity.ResourceList:
        """What the namespace uses of the quota's resources."""
        total: quantity.ResourceList = dict.fromkeys(hard, quantity.ZERO)
        now = self.clock.time()
        namespace = meta.namespace(resource_quota)
        for group, plural in await self._concerned(hard):
            informer = await self._informer(group, plural)
            if informer is None:
                continue
            for obj in informer.list(namespace):
                if quota.matches_scopes(resource_quota, group, plural, obj):
                    used = quota.usage(group, plural, obj, now)
                    quantity.add_list(total, {name: value for name, value in used.items() if name in total})
        return total

    async def _concerned(self, hard: Obj) -> list[tuple[str, str]]:
        """The resources that the quota's names count."""
        found = [
            (resource.group, resource.plural)
            for resource in _KNOWN
            if quota.matching_names(resource.group, resource.plural, hard)
        ]
        for name in hard:
            if name.startswith("count/"):
                plural, _, group = name.removeprefix("count/").partition(".")
                if (group, plural) not in found:
                    found.append((group, plural))
        return found

    async def _informer(self, group: str, plural: str) -> Informer | None:
        """A synced cache of the resource; None if nothing of that name is served."""
        known = self._counted.get((group, plural))
        if known is not None and known.synced:
            return known
        if known is not None:
            raise Retry(f"the cache of {plural}.{group} is not there yet")
        resource = self._served.get((group, plural))
        if resource is None:
            await self._learn()
            resource = self._served.get((group, plural))
        if resource is None:
            log.info("a quota counts %s.%s, which is not served", plural, group)
            return None
        informers = self.context.informers
        informer = informers.known(resource)
        if informer is None:
            # Others are counted only: their metadata is enough, and the garbage collector has it already.
            informer = informers.get(resource, metadata_only=resource not in _MEASURED)
        informer.add_handler(updated=self._changed, deleted=self._released)
        self._counted[(group, plural)] = informer
        await informer.wait_synced()
        return informer

    async def _learn(self) -> None:
        served = (await discover(self.client)).served
        self._served.update({(entry.resource.group, entry.resource.plural): entry.resource for entry in served})

    def _changed(self, old: Obj, new: Obj) -> None:
        """A pod that ends gives back what it used; a Service may need fewer ports, a claim another size."""
        ended = new.get("kind") == "Pod" and pods.is_terminal(new) and not pods.is_terminal(old)
        resized = new.get("kind") in ("Service", "PersistentVolumeClaim") and old.get("spec") != new.get("spec")
        if ended or resized:
            self._released(new)

    def _released(self, obj: Obj) -> None:
        for resource_quota in self._quotas.list(meta.namespace(obj)):
            self.enqueue_object(resource_quota)
