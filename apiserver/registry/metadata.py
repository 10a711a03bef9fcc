"""What the write path does to metadata, whatever the kind: names, system fields, owner references, scopes.

Called by registry/store.py and the handlers. The rules are those of the original's registry/rest package.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import orjson

from apimachinery import errors, times, uids
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apiserver.registry.kind import Kind, Obj

_SUFFIX_CHARS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_BASE_LENGTH = 63 - _SUFFIX_LENGTH

NAMESPACE_MISMATCH = "the namespace of the provided object does not match the namespace sent on the request"
_DUPLICATES = "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests"


def generate_name(prefix: str) -> str:
    """The prefix, cut to leave room, and five random characters that spell no words."""
    return prefix[:_BASE_LENGTH] + "".join(secrets.choice(_SUFFIX_CHARS) for _ in range(_SUFFIX_LENGTH))


def wipe_system_fields(metadata: Obj) -> None:
    """Forget what only the server sets, as sent with a create."""
    for name in ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(name, None)


def fill_system_fields(metadata: Obj, clock: Clock) -> None:
    metadata["creationTimestamp"] = times.now(clock)
    metadata["uid"] = uids.new()


def match_namespace(metadata: Obj, expected: str) -> None:
    """Give the object the request's namespace ("" for cluster-scoped kinds); 400 when it names another one."""
    found = metadata.get("namespace") or ""
    if found == expected:
        return
    if not found:
        metadata["namespace"] = expected
    elif not expected:
        metadata.pop("namespace", None)
    else:
        raise errors.bad_request(NAMESPACE_MISMATCH)


def check_name(obj: Obj, name: str, namespace: str) -> None:
    """400 unless the object's name (and namespace, if it has one) is that of the URL."""
    metadata = obj.get("metadata") or {}
    found = metadata.get("name") or ""
    if not found:
        raise errors.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if found != name:
        raise errors.bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")
    own = metadata.get("namespace") or ""
    if namespace and own and own != namespace:
        raise errors.bad_request(
            f"the namespace of the object ({own}) does not match the namespace on the request ({namespace})"
        )


def dedup_owner_references(metadata: Obj, warnings: list[str], *, after_admission: bool) -> None:
    """Drop owner references that are there twice, with a warning."""
    references: Sequence[Obj] | None = metadata.get("ownerReferences")
    if not references or len(references) < 2:
        return
    kept: dict[bytes, Obj] = {}
    duplicates = []
    for reference in references:
        key = orjson.dumps(reference, option=orjson.OPT_SORT_KEYS)
        if key in kept:
            duplicates.append(str(reference.get("uid", "")))
        else:
            kept[key] = reference
    if duplicates:
        when = " after mutating admission happens" if after_admission else ""
        warnings.append(
            f".metadata.ownerReferences contains duplicate entries{when}; {_DUPLICATES}; "
            f"duplicate UID(s) observed: {', '.join(duplicates)}"
        )
        metadata["ownerReferences"] = list(kept.values())


def generated_name_conflict(kind: Kind, name: str) -> ApiError:
    text = f'{kind.group_resource} "{name}" already exists, the server was not able to generate a unique name for the object'
    details: Obj = {"name": name}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    return ApiError(409, "AlreadyExists", text, details=details, retry_after=1)


_KEYS = {"replicationcontrollers": "controllers", "endpoints": "services/endpoints", "nodes": "minions"}
_KEYS |= {"services": "services/specs", "ingresses.networking.k8s.io": "ingress"}
_WITH_GROUP = ("apiextensions.k8s.io", "apiregistration.k8s.io")


def storage_path(kind: Kind, key: str, *, dry_run: bool) -> str:
    """Where the original keeps an object, for messages that tell it; a dry run does not know the whole of it."""
    if kind.custom or kind.group in _WITH_GROUP:
        prefix = f"{kind.group}/{kind.plural}"
    else:
        prefix = _KEYS.get(kind.group_resource, kind.plural)
    return f"{'' if dry_run else '/registry'}/{prefix}/{key}"


def plain_failure(text: str) -> ApiError:
    """What the original answers when an error reaches the client that is no Status of its own: 500 without a reason."""
    return ApiError(500, "", text)


def parse_revision(text: str | None, *, of: str = "") -> int:
    """A resourceVersion as a number, 0 when absent; 500 as the original for what is none. of: the parameter that it is."""
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) < 40 and int(text) < 1 << 64:
        return int(text)
    problem = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    where = f'{of}: Invalid value: "{text}": ' if of else ""
    raise plain_failure(f'{where}strconv.ParseUint: parsing "{text}": {problem}')


def names_revision(metadata: Obj) -> bool:
    """Whether a new object comes with a resourceVersion that is one; what is none does not matter there."""
    try:
        return parse_revision(metadata.get("resourceVersion")) != 0
    except ApiError:
        return False
