"""Metadata helpers: keys, owners, finalizers, labels, conditions. Pure; nothing here changes the object it is given.

Called by every component. Objects are dicts in the API's JSON shape.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.gvk import Resource

Obj = dict[str, Any]
Condition = dict[str, Any]


# -- names


def key(obj: Mapping[str, Any]) -> str:
    """ "namespace/name", or "name" for a cluster-scoped object (client-go's MetaNamespaceKeyFunc)."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def join_key(namespace: str | None, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def split_key(text: str) -> tuple[str, str]:
    """(namespace or "", name)."""
    namespace, _, name = text.rpartition("/")
    return namespace, name


def name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def namespace(obj: Mapping[str, Any]) -> str:
    """The namespace, "" for a cluster-scoped object."""
    return obj["metadata"].get("namespace") or ""


def uid(obj: Mapping[str, Any]) -> str:
    return obj["metadata"].get("uid") or ""


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """The labels; empty if there are none. Not to be changed."""
    return obj["metadata"].get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """The annotations; empty if there are none. Not to be changed."""
    return obj["metadata"].get("annotations") or {}


def generation(obj: Mapping[str, Any]) -> int:
    return obj["metadata"].get("generation") or 0


def created(obj: Mapping[str, Any]) -> float:
    """Seconds since the epoch of its creation; 0 when it has no timestamp yet."""
    text = obj["metadata"].get("creationTimestamp")
    return times.parse_time(text) if text else 0.0


def deleting(obj: Mapping[str, Any]) -> bool:
    """Whether its deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


# -- owners


def owners(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The owner reference with controller: true, or None."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == owner["metadata"].get("uid")


def controller_ref(owner: Mapping[str, Any], resource: Resource) -> dict[str, Any]:
    """The reference by which `owner` controls an object and blocks on its deletion (metav1.NewControllerRef)."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


# -- finalizers


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def has_finalizer(obj: Mapping[str, Any], finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or ())


def without_finalizer(obj: Mapping[str, Any], finalizer: str) -> list[str]:
    """Its finalizers but that one."""
    return [entry for entry in finalizers(obj) if entry != finalizer]


# -- conditions


def conditions(obj: Mapping[str, Any]) -> list[Condition]:
    return (obj.get("status") or {}).get("conditions") or []


def find_condition(entries: Iterable[Condition] | None, type_: str) -> Condition | None:
    return next((entry for entry in entries or () if entry.get("type") == type_), None)


def condition(obj: Mapping[str, Any], type_: str) -> Condition | None:
    """The object's condition of that type, or None."""
    return find_condition(conditions(obj), type_)


def is_condition_true(obj: Mapping[str, Any], type_: str) -> bool:
    found = condition(obj, type_)
    return found is not None and found.get("status") == "True"


def set_condition(entries: Iterable[Condition] | None, new: Condition, clock: Clock) -> list[Condition]:
    """The conditions with `new` in place of its type's. lastTransitionTime is now when the status changed and the old
    one's otherwise, unless `new` brings its own (meta.SetStatusCondition)."""
    result = list(entries or ())
    for position, old in enumerate(result):
        if old.get("type") == new["type"]:
            same = old.get("status") == new.get("status")
            moved = old.get("lastTransitionTime") if same else new.get("lastTransitionTime")
            result[position] = {**new, "lastTransitionTime": moved or times.now(clock)}
            return result
    result.append({**new, "lastTransitionTime": new.get("lastTransitionTime") or times.now(clock)})
    return result


def without_condition(entries: Iterable[Condition] | None, type_: str) -> list[Condition]:
    return [entry for entry in entries or () if entry.get("type") != type_]


# -- references


def object_reference(obj: Mapping[str, Any], resource: Resource | None = None) -> dict[str, Any]:
    """A core/v1 ObjectReference to the object. List items and informer objects have no kind of their own: pass resource."""
    metadata = obj["metadata"]
    reference = {
        "kind": resource.kind if resource else obj.get("kind", ""),
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "uid": metadata.get("uid"),
        "apiVersion": resource.api_version if resource else obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {name: value for name, value in reference.items() if value}
