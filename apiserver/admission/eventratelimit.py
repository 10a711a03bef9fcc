"""EventRateLimit: events that come too fast are refused, for the server, a namespace, a user or a source and its object.

Each limit has a bucket of `burst` tokens that fills with `qps` tokens a second; an event takes one of each limit's. Buckets
other than the server's are kept for the last `cacheSize` keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apimachinery.tokenbucket import TokenBucket
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, aggregate

_CACHE = 4096
_TYPES: Types = {
    "Configuration": {"limits": [["l", "#Limit", "atomic"], "[]Limit", 0]},
    "Limit": {
        "type": ["s", "string"],
        "qps": ["i32", "int32"],
        "burst": ["i32", "int32"],
        "cacheSize": ["i32", "int32"],
    },
}
_SCHEME = Scheme(
    "pkg/admission/eventratelimit/config.go:31",
    _TYPES,
    {("eventratelimit.admission.k8s.io/v1alpha1", "Configuration"): Entry("Configuration", "")},
    strict=False,
)


def _of_source(a: Attributes) -> str:
    event = a.obj or {}
    # An event of the new group has the same things under other names.
    source = event.get("source") or event.get("deprecatedSource") or {}
    involved = event.get("involvedObject") or event.get("regarding") or {}
    parts = [source.get("component"), source.get("host")]
    parts += [involved.get(name) for name in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


_KEYS: Mapping[str, Callable[[Attributes], str]] = {
    "Server": lambda a: "",
    "Namespace": lambda a: a.namespace or "",
    "User": lambda a: a.user.name,
    "SourceAndObject": _of_source,
}


class Limit:
    """One limit with its buckets."""

    def __init__(self, stated: Mapping[str, Any], clock: Clock) -> None:
        self.type: str = stated["type"]
        self._key = _KEYS[self.type]
        self._qps, self._burst = stated["qps"], stated["burst"]
        self._size = 1 if self.type == "Server" else stated.get("cacheSize") or _CACHE
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def refusal(self, a: Attributes) -> str:
        """ "" when the event may pass."""
        key = self._key(a)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._clock, self._qps, self._burst)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return "" if bucket.take() else f"limit reached on type {self.type} for key {key}"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._limits = [Limit(stated, env.clock) for stated in _load(env.configuration)]

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and group in ("", "events.k8s.io") and plural == "events"

    async def validate(self, a: Attributes) -> None:
        if a.dry_run:
            return
        refusals = [refusal for limit in self._limits if (refusal := limit.refusal(a))]
        if refusals:
            raise ApiError(429, "TooManyRequests", f"Too many requests: {aggregate(refusals)}")


def _load(raw: bytes | None) -> list[dict[str, Any]]:
    limits = _SCHEME.read(raw).obj.get("limits") if raw is not None else None
    problems: list[FieldError] = []
    if not limits:
        problems.append(field.invalid("limits", limits, "must not be empty"))
    for at, limit in enumerate(limits or ()):
        path, kind = f"limits[{at}]", limit.get("type") or ""
        if kind not in _KEYS:
            problems.append(field.not_supported(f"{path}.type", kind, _KEYS))
        for name in ("burst", "qps"):
            if limit.get(name, 0) <= 0:
                problems.append(field.invalid(f"{path}.{name}", limit.get(name, 0), "must be positive"))
        if kind != "Server" and limit.get("cacheSize", 0) < 0:
            problems.append(field.invalid(f"{path}.cacheSize", limit["cacheSize"], "must not be negative"))
    if problems:
        raise ConfigError(aggregate(problems))
    return list(limits or ())
