"""Empty lists and maps come back where a client sent them, and nowhere else."""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.kinds.core.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM
from apiserver.registry import as_sent
from tests.support.kindtest import KindTester

tester = KindTester(PERSISTENT_VOLUME_CLAIM)
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def restored(sent: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any] | None:
    ctx = tester.ctx()
    ctx.sent = orjson.dumps(sent)
    return as_sent.restored(PERSISTENT_VOLUME_CLAIM, ctx, kept)


def test_lists_and_maps_that_decoding_dropped() -> None:
    sent = {"spec": {**SPEC, "accessModes": [], "resources": {"requests": {"storage": "1Gi"}, "limits": {}}}}
    kept = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    found = restored(sent, kept)
    assert found == sent
    assert kept == {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}  # a copy, where anything changes


def test_inside_of_lists_that_are_as_long_as_they_were() -> None:
    terms = [{"key": "a", "operator": "In", "values": []}, {"key": "b", "operator": "Exists"}]
    sent = {"spec": {"selector": {"matchExpressions": terms}}}
    kept = [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists"}]
    assert restored(sent, {"spec": {"selector": {"matchExpressions": kept}}}) == sent
    assert restored(sent, {"spec": {"selector": {"matchExpressions": kept[:1]}}}) is None


def test_what_was_filled_in_since_stays_and_empty_structs_are_none() -> None:
    sent = {"spec": {"accessModes": [], "selector": {}, "dataSource": {}, "unknown": []}}
    assert restored(sent, {"spec": SPEC}) is None


def test_bodies_without_any_are_not_read() -> None:
    ctx = tester.ctx()
    ctx.sent = b"{not JSON"
    assert as_sent.restored(PERSISTENT_VOLUME_CLAIM, ctx, {"spec": SPEC}) is None
    ctx.sent = b'{"spec": [] not JSON'
    assert as_sent.restored(PERSISTENT_VOLUME_CLAIM, ctx, {"spec": SPEC}) is None
