"""Objects outside their place: a node's reach, custom resources of the other scope, rehearsals, and endpoints of this machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.apiserver import APPLY, MERGE, Api, Obj
from tests.support.rights import allow, user

DEFAULT = "/api/v1/namespaces/default"


# -- a node touches only what is its own


def pod(name: str, node: str, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], **spec}}


@pytest.fixture
async def node(api: Api) -> Api:
    """The node n1, which runs the pod mine with a Secret, beside n2, which runs theirs with another."""
    for name in ("n1", "n2"):
        assert (await api.post("/api/v1/nodes", {"metadata": {"name": name}})).code == 201
    for name in ("default", "bot", "other"):
        await api.post(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": name}})
    for name, at, account in (("mine", "n1", "bot"), ("theirs", "n2", "other")):
        for kind in ("secrets", "configmaps"):
            await api.post(f"{DEFAULT}/{kind}", {"metadata": {"name": name}})
        volumes = [
            {"name": "s", "secret": {"secretName": name}},
            {"name": "c", "configMap": {"name": name}},
        ]
        made = await api.post(f"{DEFAULT}/pods", pod(name, at, volumes=volumes, serviceAccountName=account))
        assert made.code == 201, made.raw
    return user(api, "nodetoken")


async def test_a_node_reads_only_what_its_pods_need(node: Api) -> None:
    for kind in ("secrets", "configmaps"):
        assert (await node.get(f"{DEFAULT}/{kind}/mine")).code == 200
        assert (await node.get(f"{DEFAULT}/{kind}", fieldSelector="metadata.name=mine")).code == 200
        for path in (f"{kind}/theirs", f"{kind}", f"{kind}?fieldSelector=metadata.name%3Dtheirs", f"{kind}?watch=1"):
            assert (await node.get(f"{DEFAULT}/{path}")).code == 403, path
        for method in ("PUT", "PATCH", "DELETE"):
            body: Obj = {"metadata": {"name": "mine"}}
            answer = await node.ask(method, f"{DEFAULT}/{kind}/mine", body, headers={"Content-Type": MERGE})
            assert answer.code in (403, 415)
    assert (await node.get("/api/v1/secrets")).code == 403
    assert (await node.get("/api/v1/pods")).code == 403
    assert (await node.get("/api/v1/pods", fieldSelector="spec.nodeName=n2")).code == 403
    assert (await node.get("/api/v1/nodes/n2")).code == 403


NODE_CHANGES: list[tuple[str, Obj]] = [
    ("/api/v1/nodes/n2", {"metadata": {"labels": {"a": "b"}}}),
    ("/api/v1/nodes/n2/status", {"status": {"conditions": []}}),
    ("/api/v1/nodes/n1", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
    ("/api/v1/nodes/n1", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": ""}}}),
    ("/api/v1/nodes/n1", {"metadata": {"labels": {"foo.node-restriction.kubernetes.io/x": ""}}}),
    ("/api/v1/nodes/n1", {"metadata": {"labels": {"x.k8s.io/y": ""}}}),
    (
        "/api/v1/nodes/n1",
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "u"}]}},
    ),
    ("/api/v1/nodes/n1", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
    (
        "/api/v1/nodes/n1",
        {"spec": {"configSource": {"configMap": {"name": "a", "namespace": "b", "kubeletConfigKey": "c"}}}},
    ),
    ("/api/v1/nodes/n1/status", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
    ("/api/v1/nodes/n1/status", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": ""}}}),
    (f"{DEFAULT}/pods/theirs/status", {"status": {"phase": "Failed"}}),
    (f"{DEFAULT}/pods/mine/status", {"metadata": {"labels": {"a": "b"}}}),
    (f"{DEFAULT}/pods/mine", {"metadata": {"labels": {"a": "b"}}}),
    (f"{DEFAULT}/pods/mine/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}),
    (f"{DEFAULT}/pods/mine/resize", {"spec": {}}),
    (f"{DEFAULT}/serviceaccounts/bot", {"metadata": {"labels": {"a": "b"}}}),
]


@pytest.mark.parametrize(
    ("path", "change"), NODE_CHANGES, ids=[f"{path} {change}"[:80] for path, change in NODE_CHANGES]
)
async def test_a_node_changes_nothing_that_draws_work_to_it(api: Api, node: Api, path: str, change: Obj) -> None:
    for own in ("/api/v1/nodes/n1/status", f"{DEFAULT}/pods/mine/status"):
        assert (await node.patch(own, {"status": {"message": "x"} if "pods" in own else {}})).code == 200
    found = (
        await api.get(path.removesuffix("/status").removesuffix("/ephemeralcontainers").removesuffix("/resize"))
    ).body
    kind = {"Node": "Node", "Pod": "Pod", "ServiceAccount": "ServiceAccount"}[found["kind"]]
    whole = {**found, **{key: value for key, value in change.items() if key != "metadata"}}
    whole["metadata"] = {**found["metadata"], **change.get("metadata", {})}
    applied = {"apiVersion": "v1", "kind": kind, "metadata": {"name": found["metadata"]["name"]}}
    applied = {**applied, **change, "metadata": {**applied["metadata"], **change.get("metadata", {})}}
    for answer in (
        await node.patch(path, change),
        await node.patch(path, change, "application/strategic-merge-patch+json"),
        await node.put(path, whole),
        await node.patch(path, applied, APPLY, fieldManager="m", force="true"),
        await node.patch(path, change, dryRun="All"),
    ):
        assert answer.code in (403, 422), answer.raw
    assert (await api.get(f"/api/v1/nodes/{'n2' if 'n2' in path else 'n1'}")).body["metadata"].get("labels") in (
        *(None, {}),
        *({"kubernetes.io/hostname": "n1"},),
    )


async def test_a_node_creates_nothing_for_others(api: Api, node: Api) -> None:
    mirror = {"kubernetes.io/config.mirror": "x"}
    uid = (await api.get("/api/v1/nodes/n1")).body["metadata"]["uid"]
    owner = [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}]

    def static(name: str, at: str, annotations: Obj, owners: Any, **spec: Any) -> Obj:
        made = pod(name, at, **spec)
        made["metadata"] |= {"annotations": annotations, "ownerReferences": owners}
        return made

    leases = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
    created: list[tuple[str, Obj]] = [
        (f"{DEFAULT}/pods", static("a", "n1", {}, owner)),
        (f"{DEFAULT}/pods", static("a", "n2", mirror, owner)),
        (f"{DEFAULT}/pods", static("a", "n1", mirror, [])),
        (f"{DEFAULT}/pods", static("a", "n1", mirror, [{**owner[0], "uid": "x"}])),
        (f"{DEFAULT}/pods", static("a", "n1", mirror, [{**owner[0], "name": "n2"}])),
        (f"{DEFAULT}/pods", static("a", "n1", mirror, owner, serviceAccountName="other")),
        (
            f"{DEFAULT}/pods",
            static("a", "n1", mirror, owner, volumes=[{"name": "s", "secret": {"secretName": "theirs"}}]),
        ),
        (f"{DEFAULT}/pods", static("a", "n1", mirror, owner, imagePullSecrets=[{"name": "theirs"}])),
        ("/api/v1/nodes", {"metadata": {"name": "n3"}}),
        (leases.format("kube-node-lease"), {"metadata": {"name": "n2"}}),
        (leases.format("default"), {"metadata": {"name": "n1"}}),
        ("/apis/storage.k8s.io/v1/csinodes", {"metadata": {"name": "n2"}, "spec": {"drivers": []}}),
        (f"{DEFAULT}/serviceaccounts/other/token", {}),
        (f"{DEFAULT}/serviceaccounts/bot/token", {}),
        (f"{DEFAULT}/serviceaccounts/bot/token", token("theirs", "")),
        (f"{DEFAULT}/serviceaccounts/other/token", token("theirs", "")),
        (f"{DEFAULT}/pods/theirs/eviction", {"metadata": {"name": "theirs"}}),
        (f"{DEFAULT}/pods/mine/exec", {}),
        (f"{DEFAULT}/secrets", {"metadata": {"name": "a"}}),
    ]
    device = {"driver": "d.example.com", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": []}
    for other in ({"nodeName": "n2"}, {"allNodes": True}, {}):
        created.append(
            ("/apis/resource.k8s.io/v1/resourceslices", {"metadata": {"name": "s"}, "spec": {**device, **other}})
        )
    for path, body in created:
        for more in ({}, {"dryRun": "All"}):
            answer = await node.post(path, body, **more)
            assert answer.code in (403, 404, 409, 422), (path, body, answer.raw)
    found = (await api.get(f"{DEFAULT}/pods/mine")).body
    assert (
        await node.post(f"{DEFAULT}/serviceaccounts/bot/token", token("mine", found["metadata"]["uid"]))
    ).code == 201
    for path in (f"{DEFAULT}/pods/theirs", f"{DEFAULT}/pods", "/api/v1/nodes/n2", "/api/v1/nodes"):
        assert (await node.delete(path)).code == 403, path


def token(name: str, uid: str) -> Obj:
    return {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}}}


# -- custom resources of the other scope


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROOT = "/apis/x.example.com/v1"


def crd(plural: str, scope: str) -> Obj:
    names = {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].title(), "listKind": plural.title()}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "x.example.com", "scope": scope, "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.x.example.com"}, "spec": spec}


async def test_a_custom_resource_stays_in_its_scope(api: Api) -> None:
    for plural, scope in (("locals", "Namespaced"), ("globals", "Cluster")):
        async with api.watch(CRDS, fieldSelector=f"metadata.name={plural}.x.example.com") as events:
            assert (await api.post(CRDS, crd(plural, scope))).code == 201
            while not any(
                condition["type"] == "Established" and condition["status"] == "True"
                for condition in (await events.next())["object"].get("status", {}).get("conditions") or ()
            ):
                pass
    rule = {"apiGroups": ["x.example.com"], "resources": ["*"], "verbs": ["*"]}
    await allow(api, "plain", rule, namespace="default")
    plain = user(api)
    obj = {"apiVersion": "x.example.com/v1", "kind": "Local", "metadata": {"name": "a"}}
    whole: Obj = {**obj, "kind": "Global"}
    inside = f"{ROOT}/namespaces/default"
    assert (await plain.post(f"{inside}/locals", obj)).code == 201
    assert (await api.post(f"{ROOT}/globals", whole)).code == 201
    # Who rules a namespace does not reach what has none through it, in whatever way.
    for method, path, body in (
        *(
            ("GET", "globals", None),
            ("GET", "globals/a", None),
            ("DELETE", "globals/a", None),
            ("DELETE", "globals", None),
        ),
        *(("POST", "globals", {**whole, "metadata": {"name": "b"}}), ("PUT", "globals/a", whole)),
    ):
        assert (await plain.ask(method, f"{inside}/{path}", body)).code in (403, 404, 405), (method, path)
    assert (await plain.get(f"{ROOT}/globals/a")).code == 403
    assert (await plain.get(f"{ROOT}/locals")).code == 403
    assert (await plain.get(f"{ROOT}/locals/a")).code in (403, 404)
    for elsewhere in ("kube-system", "nowhere"):
        sent = {**obj, "metadata": {"name": "b", "namespace": elsewhere}}
        assert (await plain.post(f"{inside}/locals", sent)).code == 400
        assert (
            await plain.put(f"{inside}/locals/a", {**sent, "metadata": {"name": "a", "namespace": elsewhere}})
        ).code == 400
        assert (await plain.patch(f"{inside}/locals/a", {"metadata": {"namespace": elsewhere}})).code == 400
        assert (await plain.patch(f"{inside}/locals/b", sent, APPLY, fieldManager="m")).code == 400
    assert (await api.post(f"{ROOT}/globals", {**whole, "metadata": {"name": "c", "namespace": "default"}})).code in (
        201,
        400,
    )
    for method, body in (("POST", obj), ("DELETE", None)):
        assert (await api.ask(method, f"{ROOT}/locals", body)).code in (404, 405)
    # And no definition changes its mind.
    answer = await api.patch(f"{CRDS}/locals.x.example.com", {"spec": {"scope": "Cluster"}})
    assert (answer.code, "field is immutable" in answer.message) == (422, True)


# -- endpoints of this machine


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "::", "fe80::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:a9fe:a9fe",
            "0:0:0:0:0:0:0:1",
            "127.1",
            "0x7f000001",
            "2130706433",
        ),
        *("127.000.000.001", "localhost", "", "10.0.0.1 "),
    ],
)
async def test_no_endpoints_on_this_machine_alone(api: Api, address: str) -> None:
    for ready in ("addresses", "notReadyAddresses"):
        subset = {ready: [{"ip": address}], "ports": [{"port": 6443}]}
        assert (await api.post(f"{DEFAULT}/endpoints", {"metadata": {"name": "e"}, "subsets": [subset]})).code in (
            400,
            422,
        )
    for family in ("IPv4", "IPv6"):
        piece = {"metadata": {"name": "e"}, "addressType": family, "endpoints": [{"addresses": [address]}]}
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        assert (await api.post(path, piece)).code in (400, 422)
        good = "10.0.0.1" if family == "IPv4" else "2001:db8::1"
        name = family.lower()
        await api.post(path, {**piece, "metadata": {"name": name}, "endpoints": [{"addresses": [good]}]})
        assert (await api.patch(f"{path}/{name}", {"endpoints": [{"addresses": [address]}]})).code in (400, 422)
