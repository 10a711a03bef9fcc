"""Priority and fairness through a whole server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from apiserver.flowcontrol.controller import Fairness
from tests.support.apiserver import Api, running

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
POD_LIST = "/api/v1/namespaces/default/pods"


def fairness(api: Api) -> Fairness:
    assert api.server.fairness is not None
    return api.server.fairness


async def test_every_answer_names_its_schema_and_level(api: Api) -> None:
    schema = (await api.get(f"{GROUP}/flowschemas/exempt")).body["metadata"]["uid"]
    level = (await api.get(f"{GROUP}/prioritylevelconfigurations/exempt")).body["metadata"]["uid"]
    for path in ("/api/v1/namespaces", "/api/v1/namespaces/none", "/version"):
        answer = await api.get(path)
        assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == schema
        assert answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] == level


async def test_a_watch_holds_its_seat_until_its_state_is_sent(api: Api) -> None:
    level = fairness(api).levels["exempt"]
    async with api.watch("/api/v1/namespaces") as events:
        await events.next()
        assert level.executing == 0
        assert (await api.get("/api/v1/namespaces")).code == 200
    async with api.watch(POD_LIST, resourceVersion="0"):  # there is nothing to send
        for _ in range(100):
            if not level.executing:
                break
            await asyncio.sleep(0)
        assert level.executing == 0


async def test_configuration_is_followed_and_told(api: Api) -> None:
    spec = {
        "priorityLevelConfiguration": {"name": "mine"},
        "matchingPrecedence": 50,
        "rules": [
            {
                "subjects": [{"kind": "Group", "group": {"name": "system:masters"}}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version"]}],
            }
        ],
    }
    created = await api.post(f"{GROUP}/flowschemas", {"metadata": {"name": "mine"}, "spec": spec})
    assert created.code == 201
    await fairness(api).sync()
    dangling = (await api.get(f"{GROUP}/flowschemas/mine")).body["status"]["conditions"][0]
    assert (dangling["type"], dangling["status"], dangling["reason"]) == ("Dangling", "True", "NotFound")
    limited = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    await api.post(f"{GROUP}/prioritylevelconfigurations", {"metadata": {"name": "mine"}, "spec": limited})
    await fairness(api).sync()
    dangling = (await api.get(f"{GROUP}/flowschemas/mine")).body["status"]["conditions"][0]
    assert (dangling["status"], dangling["reason"]) == ("False", "Found")
    assert fairness(api).levels["mine"].nominal > 0
    gone = await api.delete(f"{GROUP}/prioritylevelconfigurations/mine")
    assert gone.code == 200
    await fairness(api).sync()
    assert "mine" not in fairness(api).levels


async def test_what_it_does_can_be_looked_at(api: Api) -> None:
    dump = "/debug/api_priority_and_fairness/"
    levels = (await api.get(dump + "dump_priority_levels")).raw.decode().splitlines()
    assert levels[0].startswith("PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests,")
    assert [line.split(",")[0] for line in levels[1:]] == sorted(fairness(api).levels)
    queues = (await api.get(dump + "dump_queues")).raw.decode().splitlines()
    assert sum(line.startswith("workload-low,") for line in queues) == 128
    requests = (await api.get(dump + "dump_requests", includeRequestDetails="1")).raw.decode().splitlines()
    assert "/debug/api_priority_and_fairness/dump_requests" in requests[1]
    assert (await api.get(dump + "dump_nothing")).code == 404
    metrics = (await api.get("/metrics")).raw.decode()
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} 245' in metrics
    assert 'apiserver_flowcontrol_dispatched_requests_total{priority_level="exempt",flow_schema="exempt"}' in metrics


async def test_it_can_be_turned_off(server_folder: Path) -> None:
    async with running(server_folder, enable_priority_and_fairness=False) as api:
        answer = await api.get("/api/v1/namespaces")
        assert answer.code == 200
        assert "X-Kubernetes-PF-FlowSchema-UID" not in answer.headers
