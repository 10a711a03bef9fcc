"""Events of events.k8s.io: another shape of core events."""

from __future__ import annotations

from typing import Any

from apiserver.kinds.events.event import Event
from tests.support.kindtest import KindTester

KIND = Event()
GOOD: dict[str, Any] = {
    "metadata": {"name": "e"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "example.com/c",
    "reportingInstance": "c-1",
    "action": "Binding",
    "reason": "Scheduled",
    "regarding": {"kind": "Pod", "name": "p", "namespace": "ns"},
    "note": "all is well",
    "type": "Normal",
}
tester = KindTester(KIND)


def test_there_and_back() -> None:
    obj = tester.decode(GOOD)
    stored = KIND.to_shared(obj)
    assert stored["apiVersion"] == "v1"
    assert (stored["message"], stored["reportingComponent"]) == ("all is well", "example.com/c")
    assert stored["involvedObject"]["name"] == "p"
    assert KIND.from_shared(stored) == obj


def test_selectors_speak_of_the_new_shape() -> None:
    assert KIND.field_label("regarding.name", "p", "v1") == ("involvedObject.name", "p")
    assert KIND.field_label("involvedObject.name", "p", "v1") is None
    assert KIND.selectable_fields(tester.decode(GOOD))["regarding.name"] == "p"


def test_rows_are_those_of_core() -> None:
    cells = KIND.cells(tester.decode(GOOD), tester.clock)
    assert (cells[3], cells[6]) == ("pod/p", "all is well")
