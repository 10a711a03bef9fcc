"""What estimates need to know of stored resources, asked of their watch caches."""

from __future__ import annotations

from itertools import islice

from apimachinery.clock import Clock
from apiserver.registry.registry import Registry

_SAMPLE = 64  # objects whose average size stands for all
_KEPT_SECONDS = 10.0


class StoredResources:
    """estimate.Resources over the registry's caches."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._sizes: dict[tuple[str, str], tuple[float, int, int]] = {}  # -> (until, count, average bytes)

    def stored(self, group: str, plural: str) -> tuple[int, int] | None:
        store = self._registry.get(group, plural)
        if store is None or not store.kind.stored:
            return None
        count, now = len(store.whole), self._clock.monotonic()
        known = self._sizes.get((group, plural))
        if known is None or known[0] < now or count > 2 * known[1]:
            sizes = [len(entry.body) for entry in islice(store.whole.entries(), _SAMPLE)]
            known = (now + _KEPT_SECONDS, count, sum(sizes) // len(sizes) if sizes else 0)
            self._sizes[group, plural] = known
        return count, known[2]

    def watchers(self, group: str, plural: str, namespace: str, name: str) -> int:
        store = self._registry.get(group, plural)
        return store.whole.interested(namespace, name) if store is not None and store.kind.stored else 0
