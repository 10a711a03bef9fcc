"""Adoption and release: a controller owns what its selector matches, exactly once.

Called by the workload controllers. What an object's controller reference says wins over labels; orphans that match are
adopted, owned objects that match no longer are released (the original's ControllerRefManager).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from apimachinery import meta
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from apimachinery.selectors import LabelSelector
from client.api import STRATEGIC, Client
from controllers.base import Retry

log = logging.getLogger(__name__)

Obj = dict[str, Any]
OWN, ADOPT, RELEASE, IGNORE = "own", "adopt", "release", "ignore"


def decide(obj: Obj, owner: Obj, selector: LabelSelector) -> str:
    """What the owner does with the object: own, adopt, release or ignore it."""
    matches = selector.matches(meta.labels(obj))
    reference = meta.controller_of(obj)
    if reference is not None:
        if reference["uid"] != owner["metadata"]["uid"]:
            return IGNORE
        if matches:
            return OWN
        return IGNORE if meta.deleting(owner) else RELEASE
    if meta.deleting(owner) or not matches or meta.deleting(obj):
        return IGNORE
    return ADOPT


async def claim(
    client: Client,
    objs: Iterable[Obj],
    *,
    resource: Resource,
    owner: Obj,
    owner_resource: Resource,
    selector: LabelSelector,
    finalizers: Iterable[str] = (),
) -> list[Obj]:
    """The objects that the owner owns, after adopting orphans and releasing what no longer matches.

    finalizers: put on what is adopted. Before the first adoption the owner is read afresh: one that is being deleted, or
    was replaced under its name, adopts nothing.
    """
    owned = []
    checked = False
    for obj in objs:
        decision = decide(obj, owner, selector)
        if decision == OWN:
            owned.append(obj)
        elif decision == RELEASE:
            await _release(client, resource, obj, owner)
        elif decision == ADOPT:
            if not checked:
                await _recheck(client, owner, owner_resource)
                checked = True
            adopted = await _adopt(client, resource, obj, owner, owner_resource, list(finalizers))
            if adopted is not None:
                owned.append(adopted)
    return owned


async def _recheck(client: Client, owner: Obj, resource: Resource) -> None:
    fresh = await client.get(resource, meta.name(owner), meta.namespace(owner))
    name = f"{resource.kind} {meta.key(owner)}"
    if meta.uid(fresh) != meta.uid(owner):
        raise Retry(f"original {name} is gone: got uid {meta.uid(fresh)}, wanted {meta.uid(owner)}")
    if meta.deleting(fresh):
        raise Retry(f"{meta.key(owner)} has just been deleted at {fresh['metadata']['deletionTimestamp']}")


async def _adopt(
    client: Client, resource: Resource, obj: Obj, owner: Obj, owner_resource: Resource, finalizers: list[str]
) -> Obj | None:
    metadata: Obj = {"ownerReferences": [meta.controller_ref(owner, owner_resource)], "uid": meta.uid(obj)}
    if finalizers:
        metadata["finalizers"] = finalizers
    try:
        return await client.patch(
            resource, meta.name(obj), {"metadata": metadata}, meta.namespace(obj), content_type=STRATEGIC
        )
    except ApiError as error:
        if error.reason == "NotFound":
            return None
        raise


async def _release(client: Client, resource: Resource, obj: Obj, owner: Obj) -> None:
    log.debug("releasing %s %s from %s", resource.plural, meta.key(obj), meta.key(owner))
    reference = {"$patch": "delete", "uid": meta.uid(owner)}
    patch = {"metadata": {"ownerReferences": [reference], "uid": meta.uid(obj)}}
    try:
        await client.patch(resource, meta.name(obj), patch, meta.namespace(obj), content_type=STRATEGIC)
    except ApiError as error:
        # Invalid: the object was replaced, or has no owner references any more; either way it is not ours.
        if error.reason not in ("NotFound", "Invalid"):
            raise
