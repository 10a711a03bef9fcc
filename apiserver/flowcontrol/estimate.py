"""How many seats a request takes: one, but for lists (and watches that begin with one) and writes that many watch.

The original's work estimator with its defaults: a seat for each 100 kB that a list holds in memory at once, of which
lists from the watch cache never hold more than 1 MB (ours always are); after a write, a seat for each ten watchers it is
told to, for 5 ms. No request is wider than the level lets it be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from apiserver.requestinfo import RequestInfo

_BYTES_PER_SEAT = 100_000
_STREAMED = 1_000_000  # bytes
_WATCHES_PER_SEAT = 10
_EVENT_SECONDS = 0.005
_WIDEST_LIST, _WIDEST_WRITE = 100, 10
_WRITES = frozenset(("create", "update", "patch", "delete"))

ONE = (1, 0, 0.0)


class Resources(Protocol):
    """What is known of stored resources."""

    def stored(self, group: str, plural: str) -> tuple[int, int] | None:
        """(how many objects, average bytes), None for resources that are not kept here."""

    def watchers(self, group: str, plural: str, namespace: str, name: str) -> int:
        """How many watches a change of that object is told to."""


def work(
    info: RequestInfo, query: Mapping[str, Sequence[str]], resources: Resources, widest: int
) -> tuple[int, int, float]:
    """(seats while it runs, seats afterwards, for how many seconds). widest: what the level allows, 0 for anything."""
    verb = info.verb
    if verb in _WRITES:
        return _write(info, resources, min(widest or _WIDEST_WRITE, _WIDEST_WRITE))
    if verb == "list" or (verb == "watch" and _begins_with_list(query)):
        return (_list(info, query, resources, min(widest or _WIDEST_LIST, _WIDEST_LIST)), 0, 0.0)
    return ONE


def _begins_with_list(query: Mapping[str, Sequence[str]]) -> bool:
    initial = (query.get("sendInitialEvents") or ("",))[0].lower()
    return initial in ("true", "1") or (query.get("resourceVersion") or ("",))[0] in ("", "0")


def _list(info: RequestInfo, query: Mapping[str, Sequence[str]], resources: Resources, widest: int) -> int:
    known = resources.stored(info.group, info.resource)
    if known is None:
        return 1
    count, size = known
    if info.name:
        count = 1
    else:
        limit = (query.get("limit") or ("",))[0]
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) < count:
            count = int(limit[:9])
    return max(1, min(math.ceil(min(count * size, _STREAMED) / _BYTES_PER_SEAT), widest))


def _write(info: RequestInfo, resources: Resources, widest: int) -> tuple[int, int, float]:
    if info.subresource == "token" and info.resource == "serviceaccounts":
        return ONE
    watchers = resources.watchers(info.group, info.resource, info.namespace, info.name)
    if watchers < _WATCHES_PER_SEAT:
        return ONE
    seats = math.ceil(watchers / _WATCHES_PER_SEAT)
    given = min(seats, widest)
    return (1, given, seats * _EVENT_SECONDS / given)
