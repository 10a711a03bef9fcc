"""Dry runs: every check is made, nothing is stored, and nothing is used up: no quota, no address, no port, no name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.apiserver import APPLY, JSON_PATCH, MERGE, Api, Obj
from tests.support.rights import allow, user

DEFAULT = "/api/v1/namespaces/default"
CMS = f"{DEFAULT}/configmaps"
DRY = {"dryRun": "All"}


async def everything(api: Api) -> dict[str, Any]:
    """All that a dry run could have changed, as it is stored."""
    paths = (
        CMS,
        f"{DEFAULT}/services",
        f"{DEFAULT}/pods",
        f"{DEFAULT}/secrets",
        f"{DEFAULT}/resourcequotas",
        "/api/v1/namespaces",
    )
    paths += (
        "/apis/networking.k8s.io/v1/ipaddresses",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/api/v1/events",
    )
    return {path: (await api.get(path)).body["items"] for path in paths}


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_nothing_is_stored_and_nothing_used_up(api: Api) -> None:
    await api.post(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "default"}})
    pod: Obj = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert (await api.post(CMS, config_map("a", x="1"))).code == 201
    assert (await api.post(f"{DEFAULT}/pods", pod)).code == 201
    hard = {"configmaps": "5", "services": "1", "services.nodeports": "1"}
    assert (
        await api.post(f"{DEFAULT}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    ).code == 201
    await api.patch(f"{DEFAULT}/resourcequotas/q/status", {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    before, revision = await everything(api), (await api.get(CMS)).body["metadata"]["resourceVersion"]
    service: Obj = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]}}
    service["spec"]["clusterIP"] = "10.96.0.77"
    for _ in range(
        3
    ):  # the third would be too much for the quota, and each after the first would find port and address taken
        assert (await api.post(f"{DEFAULT}/services", service, **DRY)).code == 201
    for method, path, body, media_type in (
        ("POST", CMS, config_map("b"), ""),
        ("POST", CMS, {"metadata": {"generateName": "b-"}}, ""),
        ("PUT", f"{CMS}/a", config_map("a", x="2"), ""),
        ("PATCH", f"{CMS}/a", {"data": {"x": "2"}}, MERGE),
        ("PATCH", f"{CMS}/a", [{"op": "remove", "path": "/data/x"}], JSON_PATCH),
        ("PATCH", f"{CMS}/a?fieldManager=m&force=true", config_map("a", x="2"), APPLY),
        ("PATCH", f"{CMS}/c?fieldManager=m", config_map("c"), APPLY),
        ("DELETE", f"{CMS}/a", None, ""),
        ("DELETE", CMS, None, ""),
        ("DELETE", f"{DEFAULT}/pods/p", None, ""),
        ("DELETE", "/api/v1/namespaces/default", None, ""),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}, ""),
        ("POST", f"{DEFAULT}/pods/p/eviction", {"metadata": {"name": "p"}}, ""),
        ("POST", f"{DEFAULT}/pods/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}}, ""),
        ("PATCH", f"{DEFAULT}/pods/p/status", {"status": {"message": "m"}}, MERGE),
    ):
        sign = "&" if "?" in path else "?"
        headers = {"Content-Type": media_type or "application/json"}
        answer = await api.ask(method, f"{path}{sign}dryRun=All", body, headers=headers)
        assert answer.code in (200, 201, 202, 403), (method, path, answer.raw)
        if method == "DELETE":  # and said in the body
            told = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}
            assert (await api.ask(method, path, told)).code in (200, 202, 403)
    assert await everything(api) == before
    assert (await api.get(CMS)).body["metadata"]["resourceVersion"] == revision
    assert (await api.post(f"{DEFAULT}/services", service)).code == 201  # what was rehearsed is still free
    assert (await api.post(f"{DEFAULT}/services", {**service, "metadata": {"name": "t"}}, **DRY)).code in (403, 422)


@pytest.mark.parametrize("value", ["all", "None", "true", "All,All"])
async def test_another_word_is_no_dry_run_and_no_write(api: Api, value: str) -> None:
    answer = await api.ask("POST", f"{CMS}?dryRun={value}", config_map("b"))
    assert answer.code == 422
    for more in ("dryRun=All&dryRun=x", "dryRun=x&dryRun=All"):
        assert (await api.ask("POST", f"{CMS}?{more}", config_map("c"))).code == 422
    for name in ("b", "c"):
        assert (await api.get(f"{CMS}/{name}")).code == 404


async def test_rights_are_asked_for_as_for_a_write(api: Api) -> None:
    await allow(api, "plain", {"resources": ["configmaps", "pods"], "verbs": ["get", "list", "watch"]})
    plain = user(api)
    await api.post(CMS, config_map("a"))
    for method, path, body in (
        ("POST", CMS, config_map("b")),
        ("PUT", f"{CMS}/a", config_map("a")),
        ("PATCH", f"{CMS}/a", {}),
        ("DELETE", f"{CMS}/a", None),
        ("DELETE", CMS, None),
        ("POST", f"{DEFAULT}/pods/p/eviction", {}),
        ("POST", f"{DEFAULT}/serviceaccounts/default/token", {}),
    ):
        assert (await plain.ask(method, path, body, headers={"Content-Type": MERGE}, **DRY)).code == 403, path
    await allow(api, "plain", {"resources": ["configmaps"], "verbs": ["patch"]})
    applied = await plain.patch(f"{CMS}/new", config_map("new"), APPLY, fieldManager="m", **DRY)
    assert (applied.code, "cannot create" in applied.message) == (403, True)


async def test_admission_judges_and_side_effects_are_refused(api: Api) -> None:
    security = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "strict", "labels": security}})).code == 201
    await api.post("/api/v1/namespaces/strict/serviceaccounts", {"metadata": {"name": "default"}})
    pod: Obj = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}}
    for path, code in (("strict", 403), ("nowhere", 404)):
        assert (await api.post(f"/api/v1/namespaces/{path}/pods", pod, **DRY)).code == code
    invalid = {"metadata": {"name": "a"}, "data": {"../x": "y"}}
    assert (await api.post(CMS, invalid, **DRY)).code == 422
    assert (await api.post(CMS, config_map("Not_A_Name"), **DRY)).code == 422
    for effects, code in (("Some", 0), ("Unknown", 0), ("NoneOnDryRun", 500), ("None", 500)):
        webhook = {
            "name": "w.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"]}],
            "sideEffects": effects,
            "admissionReviewVersions": ["v1"],
        }
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        made = await api.post(path, {"metadata": {"name": "w"}, "webhooks": [webhook]})
        assert made.code == (422 if code == 0 else 201)  # v1 takes no webhook with side effects in the first place
        if made.code == 201:
            assert (await api.post(CMS, config_map("z"), **DRY)).code == code  # asked, not passed over
            await api.delete(f"{path}/w")
    assert (await api.get(f"{CMS}/z")).code == 404
