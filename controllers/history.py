"""ControllerRevisions: what pod templates a DaemonSet or StatefulSet has had, for rolling back (kubectl rollout undo).

Called by those two controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apimachinery import meta
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.api import Client
from client.resources import CONTROLLER_REVISIONS
from controllers import rollout
from controllers.base import ignoring_absence

Obj = dict[str, Any]


def template_patch(owner: Obj) -> Obj:
    """What a revision keeps: the strategic merge patch that puts the owner's template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def by_revision(revisions: Iterable[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(revisions, key=lambda entry: (entry.get("revision") or 0, meta.created(entry), meta.name(entry)))


def next_revision(revisions: Sequence[Obj]) -> int:
    return max((entry.get("revision") or 0 for entry in revisions), default=0) + 1


def describe(owner: Obj, resource: Resource, *, revision: int, collisions: int, hash_label: str) -> Obj:
    """The revision of the owner's present template, named by its hash."""
    data = template_patch(owner)
    digest = rollout.template_hash(data, collisions)
    template_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return {
        "metadata": {
            "name": f"{meta.name(owner)[:223]}-{digest}",
            "namespace": meta.namespace(owner),
            "labels": {**template_labels, hash_label: digest},
            "annotations": dict(meta.annotations(owner)),
            "ownerReferences": [meta.controller_ref(owner, resource)],
        },
        "data": data,
        "revision": revision,
    }


class Collision(Exception):
    """Another template has the same hash: count it and try again."""


async def create(client: Client, wanted: Obj) -> Obj:
    """The revision as created, or as it is there already with the same data. Collision when it has other data."""
    try:
        return await client.create(CONTROLLER_REVISIONS, wanted)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    present = await client.get(CONTROLLER_REVISIONS, meta.name(wanted), meta.namespace(wanted))
    if present["data"] == wanted["data"]:
        return present
    raise Collision(meta.name(wanted))


async def renumber(client: Client, entry: Obj, revision: int) -> Obj:
    """The revision as the newest."""
    if entry.get("revision") == revision:
        return entry
    return await client.update(CONTROLLER_REVISIONS, {**entry, "revision": revision})


async def truncate(client: Client, old: Sequence[Obj], live: Iterable[str], limit: int) -> None:
    """Delete the oldest beyond the limit, sparing those that are in use (by name or by hash)."""
    used = set(live)
    spare = [
        entry
        for entry in by_revision(old)
        if meta.name(entry) not in used and not used & set(meta.labels(entry).values())
    ]
    for entry in spare[: max(0, len(spare) - limit)]:
        await ignoring_absence(client.delete(CONTROLLER_REVISIONS, meta.name(entry), meta.namespace(entry)))
