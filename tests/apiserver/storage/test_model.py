"""Random histories: at any revision, every store lists, pages and tells what a dictionary per revision says."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery.clock import ControlledClock
from apiserver.storage import base
from tests.apiserver.storage.subjects import Bare, Cached, Told, opened

KEYS = st.sampled_from(["a/x", "a/y", "a-b/x", "a/x1", "b/x", "b/é"])
STEPS = st.one_of(
    st.tuples(st.just("create"), KEYS),
    st.tuples(st.just("update"), KEYS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("compact"), st.integers(0, 5)),
)


@dataclass
class Model:
    """The state at each revision, and what was told."""

    states: list[dict[str, tuple[str, int]]] = field(default_factory=lambda: [{}, {}])  # by revision
    told: list[Told] = field(default_factory=list)
    compacted: int = 1

    @property
    def now(self) -> dict[str, tuple[str, int]]:
        return self.states[-1]

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def write(self, key: str, data: str | None) -> int:
        state = dict(self.now)
        revision = self.revision + 1
        if data is None:
            self.told.append(("DELETED", key, state.pop(key)[0], revision))
        else:
            self.told.append(("MODIFIED" if key in state else "ADDED", key, data, revision))
            state[key] = (data, revision)
        self.states.append(state)
        return revision


async def step(store: Bare | Cached, model: Model, action: str, argument: str | int, serial: int) -> None:
    if action == "compact":
        assert isinstance(argument, int)
        model.compacted = max(model.compacted, model.revision - argument)
        await store.backend.compact(model.compacted)
        return
    assert isinstance(argument, str)
    known = model.now.get(argument)
    data = str(serial)
    if action == "create":
        if known is not None:
            with pytest.raises(base.KeyExists):
                await store.create(argument, data)
        else:
            assert await store.create(argument, data) == model.write(argument, data)
    elif known is None:
        with pytest.raises(base.NotFound):
            await (store.update(argument, data, 2) if action == "update" else store.delete(argument, 2))
    elif action == "update":
        assert await store.update(argument, data, known[1]) == model.write(argument, data)
    else:
        assert await store.delete(argument, known[1]) == model.write(argument, None)
    assert await store.get(argument) == model.now.get(argument)


async def check(store: Bare | Cached, model: Model) -> None:
    for namespace in ("", "a", "b"):
        prefix = namespace + "/" if namespace else ""
        for revision in range(model.compacted, model.revision + 1):
            wanted = [(k, *v) for k, v in sorted(model.states[revision].items()) if k.startswith(prefix)]
            items, _, _, _ = await store.list(namespace, revision=revision)
            assert items == wanted
            paged, after = [], ""
            while True:
                items, at, after, _ = await store.list(namespace, revision=revision, after=after, limit=2)
                assert at == revision
                paged += items
                if not after:
                    break
            assert paged == wanted
        for after_revision in range(model.compacted, model.revision + 1):
            told = [event for event in model.told if event[3] > after_revision and event[1].startswith(prefix)]
            assert await store.changes(after_revision, namespace) == told


@pytest.mark.parametrize("cached", ["bare", "cached", "cached, with a short ring"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=25))
def test_a_store_is_its_history(cached: str, steps: list[tuple[str, str | int]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened("memory", cached != "bare", Path(folder), ControlledClock()) as store:
                assert isinstance(store, (Bare, Cached))
                if isinstance(store, Cached) and "short" in cached:
                    store.cacher._image.ring._limit = 3
                model = Model()
                for serial, (action, argument) in enumerate(steps):
                    await step(store, model, action, argument, serial)
                await check(store, model)

    asyncio.run(run())


@settings(max_examples=15, deadline=None)
@given(histories=st.lists(st.lists(STEPS, max_size=12), min_size=2, max_size=4))
def test_a_store_is_its_history_over_restarts(histories: list[list[tuple[str, str | int]]]) -> None:
    async def run() -> None:
        model = Model()
        with tempfile.TemporaryDirectory() as folder:
            for i, steps in enumerate(histories):
                async with opened("sqlite", i % 2 == 1, Path(folder), ControlledClock()) as store:
                    assert isinstance(store, (Bare, Cached))
                    for serial, (action, argument) in enumerate(steps):
                        await step(store, model, action, argument, 1000 * i + serial)
                    await check(store, model)

    asyncio.run(run())
