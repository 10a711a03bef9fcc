"""What `steersman token create` lays down, in a real API server: who may then do what, and what the token's Secret says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apimachinery import bootstraptokens
from apimachinery.clock import RealClock
from client.api import Client
from client.kubeconfig import Credentials
from client.resources import CONFIG_MAPS, SECRETS
from steersman import joining
from steersman.options import OptionError
from steersman.tokens import TokenConfig, secret_of
from tests.support.apiserver import Api, running
from tests.support.devserver import config_for

TOKEN = "abcdef.0123456789abcdef"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
CSR = {"group": "certificates.k8s.io", "resource": "certificatesigningrequests"}


async def may(api: Api, user: str, groups: list[str], **attributes: str) -> bool:
    spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
    answer = await api.post(REVIEWS, {"spec": spec})
    return bool(answer.body["status"]["allowed"])


async def test_what_joining_machines_and_nodes_may_do_from_the_first_token_on(tmp_path: Path) -> None:
    config = config_for(tmp_path, 0, storage="memory:")
    bearers = ["system:bootstrappers", joining.GROUP, "system:authenticated"]
    nodes = ["system:nodes", "system:authenticated"]
    info = {"resource": "configmaps", "namespace": "kube-public", "name": "cluster-info"}

    async def rights() -> list[bool]:
        return [
            await may(api, "system:anonymous", ["system:unauthenticated"], verb="get", **info),
            await may(api, "system:bootstrap:abcdef", bearers, verb="create", **CSR),
            await may(api, "system:bootstrap:abcdef", bearers, verb="create", subresource="nodeclient", **CSR),
            await may(api, "system:node:n", nodes, verb="create", subresource="selfnodeclient", **CSR),
            await may(api, "system:node:n", nodes, verb="create", subresource="selfnodeserver", **CSR),
        ]

    async with running(tmp_path, authn=replace(config.authn, enable_bootstrap_token_auth=True)) as api:
        assert await rights() == [False, False, False, False, False]
        ca = (tmp_path / "pki" / "ca.crt").read_bytes()
        credentials = Credentials(server=api.url, ca=ca, token=api.token)
        async with Client(credentials, clock=RealClock(), user_agent="test") as client:
            for _ in range(2):  # the second time changes nothing
                await joining.ensure(client, "https://cluster:6443", ca)
            await client.create(SECRETS, secret_of(TOKEN, TokenConfig(), RealClock().time()))
        assert await rights() == [True, True, True, True, True]
        assert not await may(api, "system:anonymous", ["system:unauthenticated"], verb="list", resource="configmaps")
        assert not await may(
            api, "system:bootstrap:abcdef", bearers, verb="create", subresource="selfnodeserver", **CSR
        )
        assert not await may(api, "system:bootstrap:abcdef", bearers, verb="get", resource="secrets")
        async with Client(replace(credentials, token=None), clock=RealClock(), user_agent="test") as stranger:
            found = await stranger.get(CONFIG_MAPS, "cluster-info", "kube-public")
        assert found["data"][bootstraptokens.KUBECONFIG_KEY] == joining.cluster_info("https://cluster:6443", ca)
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": TOKEN}}
        answer = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
        user: dict[str, Any] = answer.body["status"]["user"]
        assert user["username"] == "system:bootstrap:abcdef"
        assert set(bearers) <= set(user["groups"])


def test_what_a_tokens_secret_says() -> None:
    made = secret_of(TOKEN, TokenConfig(ttl=60, description="mine"), 1_700_000_000.0)
    assert made["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert made["stringData"] == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "description": "mine",
        "expiration": "2023-11-14T22:14:20Z",
        "usage-bootstrap-signing": "true",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": joining.GROUP,
    }
    assert "expiration" not in secret_of(TOKEN, TokenConfig(ttl=0), 0.0)["stringData"]
    assert "auth-extra-groups" not in secret_of(TOKEN, TokenConfig(usages=("signing",)), 0.0)["stringData"]


@pytest.mark.parametrize(
    ("text", "told", "problem"),
    [
        ("abcdef", TokenConfig(), "six characters, a dot and sixteen"),
        (TOKEN, TokenConfig(usages=("signing", "flying")), "--usages: 'flying' is not one of"),
        (TOKEN, TokenConfig(groups=("system:masters",)), "--groups: 'system:masters' does not begin with"),
    ],
)
def test_tokens_that_are_refused(text: str, told: TokenConfig, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        secret_of(text, told, 0.0)
