"""Pod statuses on their way to the API: the newest of each pod, one write at a time, only what differs.

    set(pod, status)      note the newest status; it is written soon
    latest(pod)           the newest status known, written or not: the base of the next one
    await flush(uid)      return once what was set is written, or cannot be

A write is a strategic merge patch of the fields that changed, with the pod's uid as a precondition, so that conditions
of others stay and a namesake is never touched. Called by workers; nothing else writes pod statuses on this node.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client.api import STRATEGIC, Client, Unreachable
from client.resources import PODS
from nodeagent.status import CONDITIONS_OF_KUBELET

log = logging.getLogger(__name__)

Obj = dict[str, Any]

_WRITERS = 4
_FIRST_RETRY, _LAST_RETRY = 0.2, 10.0
# Conditions of ours that go again.
_PASSING = ("PodResizePending", "PodResizeInProgress")
# Lists with a merge key whose whole content is ours.
_REPLACED = ("podIPs", "hostIPs")
_OWNED = (
    "observedGeneration", "phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "qosClass",
    "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses",
)  # fmt: skip


@dataclass(slots=True)
class _Entry:
    namespace: str
    name: str
    status: Obj
    known: Obj
    version: int = 0
    dirty: bool = True
    queued: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


def patch_of(old: Obj, new: Obj) -> Obj:
    """The patch of status that turns old into new; empty when nothing of ours differs."""
    patch: Obj = {}
    for name in _OWNED:
        if old.get(name) == new.get(name):
            continue
        value = new.get(name)
        patch[name] = [{"$patch": "replace"}, *value] if name in _REPLACED and value else value
    before = {entry["type"]: entry for entry in old.get("conditions") or ()}
    changed: list[Obj] = []
    for entry in new.get("conditions") or ():
        ours = entry["type"] in (*CONDITIONS_OF_KUBELET, "DisruptionTarget")
        if ours and not _same_condition(before.get(entry["type"]), entry):
            changed.append(entry)
    present = {entry["type"] for entry in new.get("conditions") or ()}
    changed += [{"type": kind, "$patch": "delete"} for kind in _PASSING if kind in before and kind not in present]
    if changed:
        patch["conditions"] = changed
    return patch


def _same_condition(old: Obj | None, new: Obj) -> bool:
    names = ("status", "reason", "message", "observedGeneration", "lastTransitionTime")
    return old is not None and all((old.get(name) or None) == (new.get(name) or None) for name in names)


def _version(pod: Obj) -> int:
    """Only to tell an older view from a newer one, as the API allows since 1.35; 0 when it is no number."""
    text = pod["metadata"].get("resourceVersion") or ""
    return int(text) if text.isdigit() else 0


class StatusWriter:
    """Writes through one client; run() must be running."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def latest(self, pod: Obj) -> Obj:
        entry = self._entries.get(pod["metadata"]["uid"])
        return entry.status if entry else pod.get("status") or {}

    def set(self, pod: Obj, status: Obj) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        entry = self._entries.get(uid)
        if entry is None:
            known = pod.get("status") or {}
            entry = self._entries[uid] = _Entry(metadata["namespace"], metadata["name"], status, known)
        elif entry.status == status:
            return
        entry.status = status
        entry.dirty = True
        entry.idle.clear()
        self._enqueue(uid, entry)

    def _enqueue(self, uid: str, entry: _Entry) -> None:
        if not entry.queued:
            entry.queued = True
            self._queue.put_nowait(uid)

    async def flush(self, uid: str) -> None:
        entry = self._entries.get(uid)
        if entry is not None:
            await entry.idle.wait()

    def seen(self, pod: Obj) -> None:
        """The API's newest view of a pod arrived: somebody else may have changed its status."""
        entry = self._entries.get(pod["metadata"]["uid"])
        if entry is not None and not entry.dirty and _version(pod) > entry.version:
            entry.known, entry.version = pod.get("status") or {}, _version(pod)
            if patch_of(entry.known, entry.status):
                entry.dirty = True
                entry.idle.clear()
                self._enqueue(pod["metadata"]["uid"], entry)

    def forget(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.idle.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._write_forever(), name=f"pod status writer {number}")

    async def _write_forever(self) -> None:
        while True:
            uid = await self._queue.get()
            entry = self._entries.get(uid)
            if entry is not None:
                await self._write(uid, entry)
                entry.queued = False
                if entry.dirty:
                    self._enqueue(uid, entry)

    async def _write(self, uid: str, entry: _Entry) -> None:
        delay = _FIRST_RETRY
        while self._entries.get(uid) is entry:
            status = entry.status
            patch = patch_of(entry.known, status)
            try:
                if patch:
                    body = {"metadata": {"uid": uid}, "status": patch}
                    answer = await self._client.patch(
                        PODS, entry.name, body, entry.namespace, content_type=STRATEGIC, subresource="status"
                    )
                    entry.known, entry.version = answer.get("status") or {}, _version(answer)
            except (Unreachable, TimeoutError) as error:
                log.debug("status of pod %s/%s: %s", entry.namespace, entry.name, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_RETRY)
                continue
            except ApiError as error:
                if error.code >= 500 or error.code == 429:
                    await self._clock.sleep(delay)
                    delay = min(delay * 2, _LAST_RETRY)
                    continue
                # 404 or a uid conflict: the pod is gone. Anything else would be answered the same again.
                if error.code not in (404, 409):
                    log.warning("the status of pod %s/%s was refused: %s", entry.namespace, entry.name, error)
                entry.known = status
            if entry.status is status:
                entry.dirty = False
                entry.idle.set()
                return
