"""Targets that could mean one thing to who authorises and another to who serves: what is served is what was authorised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.apiserver import Api
from tests.support.rights import RBAC, allow, grant, user
from tests.support.wire import Wire

NAMESPACED = "/api/v1/namespaces/default"


async def test_whoever_rules_one_namespace_reaches_no_other_through_it(api: Api) -> None:
    """A namespace does not lie inside a namespace: its path would be authorised in the one and serve the other."""
    await grant(api, "plain", "cluster-admin", namespace="default")
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "victim"}})).code == 201
    plain = user(api, "plaintoken")
    assert (await plain.get(f"{NAMESPACED}/secrets")).code == 200
    assert (await plain.get("/api/v1/namespaces/default")).code == 200
    assert (await plain.get("/api/v1/namespaces/victim")).code == 403
    victim = {"metadata": {"name": "victim", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    for method, path, body in (
        ("GET", "namespaces", None),
        ("GET", "namespaces/victim", None),
        ("GET", "namespaces/default", None),
        ("GET", "namespaces/victim/status", None),
        ("POST", "namespaces", {"metadata": {"name": "made"}}),
        ("PUT", "namespaces/victim", victim),
        ("PUT", "namespaces/victim/finalize", victim),
        ("DELETE", "namespaces/victim", None),
        ("DELETE", "namespaces", None),
        ("GET", "nodes", None),
        ("GET", "persistentvolumes", None),
    ):
        answer = await plain.ask(method, f"{NAMESPACED}/{path}", body)
        assert answer.code == 404, (method, path)
    assert (await plain.get("/api/v1/watch/namespaces/default/namespaces")).code == 404
    assert (await plain.get(f"/apis/{RBAC}/namespaces/default/clusterroles")).code == 404
    assert "labels" not in (await api.get("/api/v1/namespaces/made")).body["details"]
    assert (await api.get("/api/v1/namespaces/victim")).body["status"] == {"phase": "Active"}


TRICKS = (
    "default%2fsecrets",
    "default%2Fsecrets/canary",
    "default/configmaps/..%2fsecrets%2fcanary",
    "default/configmaps/%2e%2e/secrets/canary",
    "default/configmaps/../secrets/canary",
    "default/configmaps/%2e%2e%2fsecrets/canary",
    "default/configmaps%2f..%2fsecrets/canary",
    "default/configmaps;/../secrets/canary",
    "default/configmaps/x;/secrets/canary",
    "default/./secrets/canary",
    "default//secrets/canary",
    "/default/secrets/canary",
    "/secrets",
    "default/configmaps%00/../secrets/canary",
    "default/configmaps/%c0%ae%c0%ae/secrets/canary",
    "default/configmaps/%252e%252e/secrets/canary",
    "default/configmaps/..%5csecrets%5ccanary",
    "default/configmaps?x/../../secrets/canary",
    "default/configmaps%3f/../secrets/canary",
    "default/configmaps#/../secrets/canary",
    "default/secr%65ts/canary",
    "d%65fault/secrets",
    "kube%2dsystem/secrets",
    "default/secrets/canary/",
    "default/secrets/canary//",
    "default/secrets/canary/.",
    "default/secrets/canary/status",
)
BEGINNINGS = (
    "/api/v1/namespaces/",
    "//api/v1/namespaces/",
    "/api//v1/namespaces/",
    "/%61pi/v1/namespaces/",
    "/api%2fv1/namespaces/",
    "/api/v1%2fnamespaces/",
    "/version/../api/v1/namespaces/",
    "/healthz/%2e%2e/api/v1/namespaces/",
    "/apis/../api/v1/namespaces/",
    "/openapi/v3/../../api/v1/namespaces/",
    "/api/v1/watch/namespaces/",
    "/api/v1/proxy/namespaces/",
    "https://elsewhere/api/v1/namespaces/",
    "HTTP://elsewhere:1/api/v1/namespaces/",
    "https://elsewhere?/../api/v1/namespaces/",
)


@pytest.mark.parametrize("token", ["plaintoken", ""])
async def test_no_spelling_of_a_path_shows_a_secret(api: Api, token: str) -> None:
    """The user may read config maps of the namespace and every path that is no resource."""
    await api.post(f"{NAMESPACED}/secrets", {"metadata": {"name": "canary"}, "stringData": {"a": "tweet"}})
    everything = {"nonResourceURLs": ["*"], "verbs": ["*"]}
    who = "plain" if token else "system:anonymous"
    await allow(api, who, {"resources": ["configmaps"], "verbs": ["get", "list"]}, everything)
    async with Wire.to(replace(api, token=token) if token else api) as wire:
        for beginning in BEGINNINGS:
            for trick in TRICKS:
                request = wire.request("GET", beginning + trick)
                if not token:
                    request = request.replace(b"Authorization: Bearer admintoken\r\n", b"")
                answer = await wire.ask(request)
                assert b"dHdlZXQ" not in answer.raw, beginning + trick
                assert b"SecretList" not in answer.raw, beginning + trick


SPELLINGS: list[tuple[str, str, int]] = [
    # (as sent, as it is authorised, the answer's code): names may be encoded, separators may not
    ("/liv%65z", "/livez", 200),
    ("/readyz/%70ing", "/readyz/ping", 200),
    ("/vers%69on", "/version", 200),
    ("/apis/%61pps/v1", "/apis/apps/v1", 200),
    ("/openapi/v3/%61pi/v1", "/openapi/v3/api/v1", 200),
    ("/version;x", "/version;x", 404),
    ("/version/..", "/version/..", 404),
    ("/livez/%2e%2e/api", "/livez/../api", 404),
    ("//version", "//version", 404),
]


@pytest.mark.parametrize(("target", "path", "code"), SPELLINGS, ids=[target for target, *_ in SPELLINGS])
async def test_a_path_that_is_no_resource_is_served_as_it_was_authorised(
    api: Api, target: str, path: str, code: int
) -> None:
    for name in ("system:public-info-viewer", "system:discovery"):
        assert (await api.delete(f"/apis/{RBAC}/clusterrolebindings/{name}")).code == 200
    plain = user(api, "plaintoken")
    async with Wire.to(plain) as wire:
        refused = await wire.ask(wire.request("GET", target))
        assert refused.code == 403
        assert f'cannot get path "{path}"' in refused.message.replace("&#34;", '"')
        await allow(api, "plain", {"nonResourceURLs": [path], "verbs": ["get"]})
        assert (await wire.ask(wire.request("GET", target))).code == code


async def test_a_name_with_control_characters_is_quoted(api: Api) -> None:
    """Line ends in a refusal's text could forge lines in whatever prints it."""
    for who in (api, user(api, "plaintoken")):
        async with Wire.to(who) as wire:
            answer = await wire.ask(wire.request("GET", f"{NAMESPACED}/configmaps/a%0d%0aFAKE%1b%5b2J"))
            assert answer.code in (403, 404)
            assert 'configmaps "a\\r\\nFAKE\\x1b[2J" ' in answer.message


# -- rights by name


ONE = f"{NAMESPACED}/secrets"
SELECTORS: list[tuple[str, int]] = [
    ("metadata.name=mine", 200),
    ("metadata.name==mine", 200),
    ("metadata.name=mine,type=Opaque", 200),
    ("type!=x,metadata.name=mine", 200),
    ("metadata.name=mine,metadata.name=other", 200),  # which nothing can be
    ("metadata.name!=mine", 403),
    ("metadata.name=other", 403),
    ("metadata.name=", 403),
    ("metadata.name=mine\\,metadata.name=other", 403),
    ("type!=x\\,metadata.name=mine", 403),
    ("type!=x\\,metadata.name==mine", 403),
    ("metadata.namespace!=metadata.name=mine", 403),
    (" metadata.name=mine", 403),
    ("metadata.name= mine", 403),
    ("metadata.name=mine ", 403),
    ("metadata.name=MINE", 403),
    ("", 403),
]


@pytest.fixture
async def named(api: Api) -> Api:
    """Who may do anything to the Secret "mine", and nothing else."""
    for name in ("mine", "other"):
        secret: dict[str, Any] = {"metadata": {"name": name, "labels": {"of": name}}}
        assert (await api.post(ONE, secret)).code == 201
    rule = {"resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["*"]}
    await allow(api, "plain", rule, namespace="default")
    return user(api, "plaintoken")


@pytest.mark.parametrize(("selector", "code"), SELECTORS)
async def test_a_right_to_one_name_lists_that_name_alone(named: Api, selector: str, code: int) -> None:
    watch = ("&watch=1",) if code == 403 else ()  # one that is allowed is in the test below
    for more in ("", "&limit=1", "&labelSelector=of%3Dother", "&fieldSelector=type%3DOpaque", *watch):
        answer = await named.get(f"{ONE}?fieldSelector={quote(selector)}{more}")
        assert answer.code == code, more
        assert code == 403 or b'"other"' not in answer.raw
    # The first of several counts, for who authorises and who serves alike.
    answer = await named.get(f"{ONE}?fieldSelector=type%3DOpaque&fieldSelector={quote(selector)}")
    assert answer.code == 403


async def test_a_right_to_one_name_ends_with_it(api: Api, named: Api) -> None:
    assert (await named.get("/api/v1/secrets?fieldSelector=metadata.name%3Dmine")).code == 403
    assert (await named.get("/api/v1/namespaces/kube-system/secrets?fieldSelector=metadata.name%3Dmine")).code == 403
    assert (await named.get("/api/v1/watch/namespaces/default/secrets/other")).code == 403
    assert (await named.delete(f"{ONE}?labelSelector=of%3Dother")).code == 403
    assert (await named.post(ONE, {"metadata": {"name": "mine"}})).code == 403  # a create has no name yet
    page = await api.get(ONE, limit=1)
    answer = await named.get(ONE, fieldSelector="metadata.name=mine", **{"continue": page.body["metadata"]["continue"]})
    assert b'"other"' not in answer.raw
    async with named.watch(ONE, fieldSelector="metadata.name=mine") as events:
        assert await events.take(1) == [("ADDED", "mine")]
        await api.patch(f"{ONE}/other", {"metadata": {"labels": {"x": "y"}}})
        await api.patch(f"{ONE}/mine", {"metadata": {"labels": {"x": "y"}}})
        assert await events.take(1) == [("MODIFIED", "mine")]
    # A deletion of many is not narrowed by what it selects, in the original neither.
    assert (await named.delete(f"{ONE}?fieldSelector=metadata.name%3Dmine")).code == 403
    assert (await named.delete(f"{ONE}/mine")).code == 200
    assert [item["metadata"]["name"] for item in (await api.get(ONE)).body["items"]] == ["other"]
