from typing import Any

from aiohttp import web

from client.api import Client
from client.events import EventRecorder
from client.resources import EVENTS, EVENTS_V1
from tests.support.memoryapi import MemoryApi

Served = tuple[MemoryApi, Client]
POD: dict[str, Any] = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


async def test_repetition_is_counted(served: Served) -> None:
    server, client = served
    async with EventRecorder(client, "test-controller", client.clock, host="n1") as recorder:
        for _ in range(3):
            recorder.event(POD, "Normal", "Started", "it started")
        await recorder.flush()
    (event,) = server.all(EVENTS)
    assert event["count"] == 3
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "p",
        "uid": "u",
        "apiVersion": "v1",
    }
    assert event["source"] == {"component": "test-controller", "host": "n1"}
    assert event["reportingComponent"] == "test-controller"
    assert event["metadata"]["name"].startswith("p.")


async def test_similar_events_are_combined_and_spam_is_cut(served: Served) -> None:
    server, client = served
    async with EventRecorder(client, "c", client.clock) as recorder:
        for number in range(40):
            recorder.event(POD, "Warning", "Failed", f"message {number}")
        await recorder.flush()
    events = server.all(EVENTS)
    assert len(events) == 10
    combined = [event for event in events if event["message"].startswith("(combined from similar events): ")]
    assert [event["count"] for event in combined] == [16]  # 25 in all: 9 alone, 16 combined


async def test_an_event_that_expired_is_written_anew(served: Served) -> None:
    server, client = served
    async with EventRecorder(client, "c", client.clock) as recorder:
        recorder.event(POD, "Normal", "A", "b")
        await recorder.flush()
        (event,) = server.all(EVENTS)
        server.remove(EVENTS, f"default/{event['metadata']['name']}")
        recorder.event(POD, "Normal", "A", "b")
        await recorder.flush()
    assert [event["count"] for event in server.all(EVENTS)] == [2]


async def test_cluster_scoped_objects_go_to_default_and_rejection_is_final(served: Served) -> None:
    server, client = served
    refuse = True
    server.faults.append(lambda request: web.Response(status=403) if refuse else None)
    async with EventRecorder(client, "c", client.clock) as recorder:
        recorder.event(POD, "Normal", "A", "refused")
        await recorder.flush()
        refuse = False
        recorder.event({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}}, "Normal", "A", "b")
        await recorder.flush()
    assert [event["metadata"]["namespace"] for event in server.all(EVENTS)] == ["default"]


async def test_series(served: Served) -> None:
    server, client = served
    async with EventRecorder(client, "default-scheduler", client.clock, host="h", series=True) as recorder:
        for _ in range(3):
            recorder.event(POD, "Warning", "FailedScheduling", "no node", action="Scheduling")
        await recorder.flush()
    (event,) = server.all(EVENTS_V1)
    assert event["series"]["count"] == 2  # told once; later ones are counted until the series is told again
    assert event["reportingInstance"] == "default-scheduler-h"
    assert (event["note"], event["action"]) == ("no node", "Scheduling")
