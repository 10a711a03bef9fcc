"""Creating, changing and deleting over a real server: versions, conflicts, dry runs, finalizers, subresources."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.apiserver import APPLY, JSON_PATCH, STRATEGIC, Api

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"

Obj = dict[str, Any]


def deployment(name: str) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def account(api: Api) -> None:
    """What ServiceAccount admission wants before there can be pods."""
    await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})


async def pod(api: Api, name: str, **spec: Any) -> Obj:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    answer = await api.post(PODS, body)
    assert answer.code == 201, answer.raw
    made: Obj = answer.body
    return made


async def test_a_create_sets_what_only_the_server_sets(api: Api) -> None:
    meta = {"name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    made = (await api.post(CMS, {"metadata": meta, "data": {"k": "v"}}, fieldManager="me")).body
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["creationTimestamp"] != meta["creationTimestamp"]
    assert "deletionGracePeriodSeconds" not in made["metadata"]
    assert made["metadata"]["managedFields"][0]["manager"] == "me"


async def test_creates_that_are_refused(api: Api) -> None:
    body = {"metadata": {"name": "a"}}
    assert (await api.post(CMS, body)).code == 201
    again = await api.post(CMS, body)
    assert (again.code, again.reason) == (409, "AlreadyExists")
    versioned = await api.post(CMS, {"metadata": {"name": "b", "resourceVersion": "5"}})
    assert (versioned.code, versioned.reason) == (500, "")
    elsewhere = await api.post(CMS, {"metadata": {"name": "b", "namespace": "other"}})
    assert (elsewhere.code, elsewhere.reason) == (400, "BadRequest")
    missing = await api.post("/api/v1/namespaces/none/configmaps", body)
    assert (missing.code, missing.reason) == (404, "NotFound")


async def test_generated_names_avoid_those_taken(api: Api) -> None:
    made = [(await api.post(CMS, {"metadata": {"generateName": "g-"}})).body for _ in range(5)]
    found = {obj["metadata"]["name"] for obj in made}
    assert len(found) == 5
    assert all(name.startswith("g-") and len(name) == 7 for name in found)


async def test_an_update_needs_the_newest_version_if_it_names_one(api: Api) -> None:
    made = (await api.post(CMS, {"metadata": {"name": "a"}, "data": {"k": "1"}})).body
    changed = {**made, "data": {"k": "2"}}
    first = await api.put(f"{CMS}/a", changed)
    assert first.code == 200
    second = await api.put(f"{CMS}/a", changed)
    assert (second.code, second.reason) == (409, "Conflict")
    assert second.message.endswith("please apply your changes to the latest version and try again")
    del changed["metadata"]["resourceVersion"]
    assert (await api.put(f"{CMS}/a", changed)).code == 200


async def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    made = (await api.post(CMS, {"metadata": {"name": "a"}, "data": {"k": "1"}})).body
    same = (await api.put(f"{CMS}/a", made)).body
    patched = (await api.patch(f"{CMS}/a", {"data": {"k": "1"}})).body
    assert same == patched == made


async def test_put_creates_only_where_the_kind_allows_it(api: Api) -> None:
    assert (await api.put(f"{CMS}/none", {"metadata": {"name": "none"}})).code == 404
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}}
    made = await api.put(f"{LEASES}/l", lease)
    assert made.code == 201
    assert (await api.put(f"{LEASES}/l", made.body)).code == 200
    assert (await api.put(f"{LEASES}/l", lease)).code == 422  # leases are never replaced unseen
    api.token = "plaintoken"
    assert (await api.put(f"{LEASES}/m", {"metadata": {"name": "m"}})).code == 403


async def test_patches_race_without_losing_one(api: Api) -> None:
    await api.post(CMS, {"metadata": {"name": "a"}})
    answers = await asyncio.gather(*(api.patch(f"{CMS}/a", {"data": {f"k{at}": "v"}}) for at in range(20)))
    assert {answer.code for answer in answers} == {200}
    assert len((await api.get(f"{CMS}/a")).body["data"]) == 20


async def test_a_patch_with_an_old_version_conflicts(api: Api) -> None:
    made = (await api.post(CMS, {"metadata": {"name": "a"}})).body
    await api.patch(f"{CMS}/a", {"data": {"k": "1"}})
    old = made["metadata"]["resourceVersion"]
    answer = await api.patch(f"{CMS}/a", {"metadata": {"resourceVersion": old}, "data": {"k": "2"}})
    assert (answer.code, answer.reason) == (409, "Conflict")


async def test_every_kind_of_patch(api: Api) -> None:
    await api.post(DEPLOYMENTS, deployment("d"))
    path = f"{DEPLOYMENTS}/d"
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "new"}]}}}}
    strategic = (await api.patch(path, image, STRATEGIC)).body
    assert strategic["spec"]["template"]["spec"]["containers"][0]["image"] == "new"
    assert strategic["metadata"]["generation"] == 2
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert (await api.patch(path, operations, JSON_PATCH)).body["spec"]["replicas"] == 3
    intent = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 4}}
    conflict = await api.patch(path, intent, APPLY, fieldManager="me")
    assert (conflict.code, conflict.reason) == (409, "Conflict")
    assert conflict.body["details"]["causes"][0]["field"] == ".spec.replicas"
    assert (await api.patch(path, intent, APPLY, fieldManager="me", force="true")).body["spec"]["replicas"] == 4
    assert (await api.patch(path, intent, "application/json")).code == 415


async def test_dry_runs_store_nothing(api: Api) -> None:
    body = {"metadata": {"name": "a"}, "data": {"k": "1"}}
    made = await api.post(CMS, body, dryRun="All")
    assert made.code == 201
    assert "resourceVersion" not in made.body["metadata"]
    assert (await api.get(f"{CMS}/a")).code == 404
    await api.post(CMS, body)
    assert (await api.patch(f"{CMS}/a", {"data": {"k": "2"}}, dryRun="All")).body["data"] == {"k": "2"}
    assert (await api.delete(f"{CMS}/a", dryRun="All")).code == 200
    assert (await api.get(f"{CMS}/a")).body["data"] == {"k": "1"}


async def test_field_validation(api: Api) -> None:
    body = {"metadata": {"name": "a"}, "data": {"k": "v"}, "foo": 1}
    warned = await api.post(CMS, body)
    assert warned.code == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"foo\\""'
    body["metadata"] = {"name": "b"}
    assert (await api.post(CMS, body, fieldValidation="Strict")).code == 400
    assert "Warning" not in (await api.post(CMS, body, fieldValidation="Ignore")).headers


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "unexpected end of JSON input"),
        (b"[]", "cannot unmarshal array"),
        (b"", "<empty>"),
        (b'{"metadata":[]}', "cannot unmarshal array"),
        (b'{"kind":"Nosuch","apiVersion":"v1"}', 'no kind "Nosuch" is registered'),
        (b'{"data":{"k":5}}', "cannot unmarshal number"),
        (b"\xff\xfe", "invalid character"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "exceeded max depth"),
    ],
)
async def test_bodies_that_cannot_be_read(api: Api, body: bytes, text: str) -> None:
    answer = await api.ask("POST", CMS, body)
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert text in answer.message


# -- deleting


async def test_finalizers_hold_an_object(api: Api) -> None:
    await api.post(CMS, {"metadata": {"name": "a", "finalizers": ["example.com/x"]}})
    marked = await api.delete(f"{CMS}/a")
    assert marked.code == 200
    assert marked.body["metadata"]["deletionTimestamp"]
    assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 0
    more = await api.patch(f"{CMS}/a", {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}})
    assert more.code == 422
    exists = await api.post(CMS, {"metadata": {"name": "a"}})
    assert exists.message.startswith("object is being deleted: ")
    gone = await api.patch(f"{CMS}/a", {"metadata": {"finalizers": None}})
    assert gone.code == 200
    assert (await api.get(f"{CMS}/a")).code == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
async def test_propagation_marks_the_object_for_the_collector(api: Api, policy: str, finalizer: str) -> None:
    await api.post(CMS, {"metadata": {"name": "a"}})
    marked = await api.delete(f"{CMS}/a", {"propagationPolicy": policy})
    assert marked.body["metadata"]["finalizers"] == [finalizer]


async def test_preconditions(api: Api) -> None:
    made = (await api.post(CMS, {"metadata": {"name": "a"}})).body["metadata"]
    wrong = await api.delete(f"{CMS}/a", {"preconditions": {"uid": "another"}})
    assert (wrong.code, wrong.reason) == (409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    gone = await api.delete(f"{CMS}/a", {"preconditions": right})
    assert gone.body["status"] == "Success"
    assert gone.body["details"] == {"name": "a", "kind": "configmaps", "uid": made["uid"]}


async def test_pods_are_given_time_once_they_run_somewhere(api: Api) -> None:
    await account(api)
    await pod(api, "waits")
    assert (await api.delete(f"{PODS}/waits")).code == 200
    assert (await api.get(f"{PODS}/waits")).code == 404
    await pod(api, "runs", nodeName="n1")
    async with api.watch(PODS, fieldSelector="metadata.name=runs") as events:
        await events.next()
        marked = (await api.delete(f"{PODS}/runs")).body
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
        assert marked["metadata"]["generation"] == 2
        longer = (await api.delete(f"{PODS}/runs", {"gracePeriodSeconds": 60})).body
        assert longer["metadata"]["deletionGracePeriodSeconds"] == 30
        shorter = (await api.delete(f"{PODS}/runs", {"gracePeriodSeconds": 5})).body
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
        await api.delete(f"{PODS}/runs", {"gracePeriodSeconds": 0})
        told = [(await events.next())["type"] for _ in range(4)]
    assert told == ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.post(CMS, {"metadata": {"name": name, "labels": {"app": app}}})
    answer = await api.delete(CMS, labelSelector="app=x")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in (await api.get(CMS)).body["items"]] == ["c"]


async def test_a_namespace_stays_until_it_is_finalized(api: Api) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
    marked = (await api.delete("/api/v1/namespaces/n")).body
    assert marked["status"]["phase"] == "Terminating"
    late = await api.post("/api/v1/namespaces/n/configmaps", {"metadata": {"name": "a"}})
    assert (late.code, late.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    finalized = await api.put("/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}, "spec": {"finalizers": []}})
    assert finalized.code == 200
    assert (await api.get("/api/v1/namespaces/n")).code == 404


# -- subresources


async def test_status_and_object_are_written_apart(api: Api) -> None:
    await api.post(DEPLOYMENTS, deployment("d"))
    path = f"{DEPLOYMENTS}/d"
    both = {"spec": {"replicas": 7}, "status": {"replicas": 5}}
    spec = (await api.patch(path, both)).body
    assert (spec["spec"]["replicas"], spec["status"].get("replicas")) == (7, None)
    status = (await api.patch(f"{path}/status", {"spec": {"replicas": 9}, "status": {"replicas": 5}})).body
    assert (status["spec"]["replicas"], status["status"]["replicas"]) == (7, 5)
    assert status["metadata"]["generation"] == spec["metadata"]["generation"] == 2


async def test_scale(api: Api) -> None:
    await api.post(DEPLOYMENTS, deployment("d"))
    path = f"{DEPLOYMENTS}/d/scale"
    scale = (await api.get(path)).body
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 0, "selector": "app=d"},
    )
    assert (await api.patch(path, {"spec": {"replicas": 3}})).body["spec"]["replicas"] == 3
    assert (await api.put(path, scale)).code == 409
    assert (await api.patch(path, {"spec": {"replicas": -1}})).code == 422
    parent = (await api.get(f"{DEPLOYMENTS}/d")).body
    assert parent["spec"]["replicas"] == 3
    assert any(entry.get("subresource") == "scale" for entry in parent["metadata"]["managedFields"])


async def test_binding_puts_a_pod_on_a_node_once(api: Api) -> None:
    await account(api)
    await pod(api, "p")
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    for key in ("uid", "resourceVersion"):
        other = {**binding, "metadata": {"name": "p", key: "1"}}
        refused = await api.post(f"{PODS}/p/binding", other)
        assert (refused.code, refused.body["details"]["kind"]) == (409, "pods")
    assert (await api.post(f"{PODS}/p/binding", binding)).code == 201
    bound = (await api.get(f"{PODS}/p")).body
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    assert (await api.post(f"{PODS}/p/binding", binding)).code == 409


async def test_evictions_spend_the_budget(api: Api) -> None:
    await account(api)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    await api.post(budgets, {"metadata": {"name": "b"}, "spec": spec})
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    for name in ("p", "q"):
        body = {
            "metadata": {"name": name, "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        await api.post(PODS, body)
        await api.patch(f"{PODS}/{name}/status", running, STRATEGIC)
    refused = await api.post(f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert (refused.code, refused.headers["Retry-After"]) == (429, "10")
    odd = {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["Some"]}}
    assert (await api.post(f"{PODS}/p/eviction", odd)).code == 429  # the budget is asked first, as in the original
    status = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
    }
    await api.patch(f"{budgets}/b/status", {"status": status})
    answers = await asyncio.gather(
        *(api.post(f"{PODS}/{name}/eviction", {"metadata": {"name": name}}) for name in "pq")
    )
    assert sorted(answer.code for answer in answers) == [201, 429]
    charged = (await api.get(f"{budgets}/b")).body["status"]
    assert charged["disruptionsAllowed"] == 0
    assert len(charged["disruptedPods"]) == 1


async def test_a_token_for_a_service_account_works(api: Api) -> None:
    await account(api)
    answer = await api.post("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    assert answer.code == 201
    api.token = answer.body["status"]["token"]
    me = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
