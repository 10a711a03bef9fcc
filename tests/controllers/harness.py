"""Runs controllers against the API server in memory, with a stand-in for scheduler and node agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apimachinery import meta, times
from apimachinery.gvk import Resource
from client.api import Client
from client.informer import Informer, Informers
from client.resources import PODS
from controllers.base import Context, Controller
from controllers.config import Config
from tests.support.memoryapi import MemoryApi

Obj = dict[str, Any]


class Harness:
    """Controllers, a pod runner, and waiting for what should come about.

    pods_become: the phase that new pods reach at once ("Running", "Succeeded", "Failed"), None to leave them pending.
    """

    def __init__(self, api: MemoryApi, client: Client, **options: Any) -> None:
        self.api = api
        self.client = client
        self.pods_become: str | None = "Running"
        self.config = Config(kubeconfig=Path("/nonexistent"), **options)
        self.controllers: list[Controller] = []
        self._group = asyncio.TaskGroup()
        self._informers = Informers(client)
        self._pods = Informer(client, PODS)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._pods.add_handler(added=self._pod, updated=lambda old, new: self._pod(new))
        self._tasks.append(self._group.create_task(self._informers.run()))
        self._tasks.append(self._group.create_task(self._pods.run()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(self, *classes: type[Controller]) -> list[Controller]:
        """Start these controllers."""
        context = Context(
            config=self.config,
            clock=self.api.clock,
            informers=self._informers,
            client_for=lambda name: self.client,
        )
        started = [cls(context) for cls in classes]
        for controller in started:
            self._tasks.append(self._group.create_task(controller.run()))
        self.controllers += started
        return started

    def _pod(self, pod: Obj) -> None:
        if meta.deleting(pod) or (pod.get("status") or {}).get("phase"):
            return
        if self.pods_become is not None:
            self.set_pod(pod, self.pods_become)

    def set_pod(self, pod: Obj, phase: str, **status: Any) -> None:
        """Report a pod's phase as a node agent would."""
        key = meta.key(pod)
        current = self.api.get(PODS, key)
        if current is None:
            return
        ready = "True" if phase == "Running" else "False"
        now = times.now(self.api.clock)
        conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": now}]
        self.api.put(PODS, {**current, "status": {"phase": phase, "conditions": conditions, **status}})

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """The condition's result once it is true; looks again whenever anything in the API changes."""
        try:
            async with asyncio.timeout(8):
                while True:
                    changed = self.api._changed
                    if result := condition():
                        return result
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(f"never came true: {what or condition}") from None

    def events(self, reason: str) -> list[str]:
        """Messages of the events recorded with that reason."""
        from client.resources import EVENTS

        return [event["message"] for event in self.api.all(EVENTS) if event["reason"] == reason]

    def all(self, resource: Resource, namespace: str = "default") -> list[Obj]:
        return [obj for obj in self.api.all(resource) if meta.namespace(obj) == namespace]

    def get(self, resource: Resource, name: str, namespace: str | None = "default") -> Obj | None:
        return self.api.get(resource, meta.join_key(namespace, name))

    def status(self, resource: Resource, name: str, namespace: str | None = "default") -> Obj:
        return (self.get(resource, name, namespace) or {}).get("status") or {}

    def condition(self, resource: Resource, name: str, type_: str, namespace: str | None = "default") -> Obj:
        return meta.condition(self.get(resource, name, namespace) or {}, type_) or {}


def template(app: str, image: str = "one") -> Obj:
    """A pod template labelled app=<app>."""
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}]}}
