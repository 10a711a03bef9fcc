"""Decisions are remembered, and yet none outlives the objects it came from: through a whole server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.apiserver import Api, running

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
GROUP = "rbac.authorization.k8s.io"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


async def code(api: Api, token: str, path: str) -> int:
    api.token = token
    answer = await api.get(path)
    api.token = "admintoken"
    return answer.code


async def reviewed(api: Api) -> bool:
    attributes = {"verb": "list", "resource": "secrets", "namespace": "default"}
    answer = await api.post(REVIEWS, {"spec": {"user": "plain", "resourceAttributes": attributes}})
    return bool(answer.body["status"]["allowed"])


async def test_a_right_ends_with_the_write_that_revokes_it(tmp_path: Path) -> None:
    role = {"metadata": {"name": "r"}, "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["secrets"]}]}
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "plain"}],
    }
    secrets = "/api/v1/namespaces/default/secrets"
    async with running(tmp_path) as api:

        async def may(expected: bool) -> None:
            assert await code(api, "plaintoken", secrets) == (200 if expected else 403)
            assert await reviewed(api) is expected

        await may(False)
        assert (await api.post(f"{RBAC}/roles", role)).code == 201
        for _ in range(3):
            assert (await api.post(f"{RBAC}/rolebindings", binding)).code == 201
            await may(True)
            assert (await api.patch(f"{RBAC}/roles/r", {"rules": []})).code == 200
            await may(False)
            assert (await api.patch(f"{RBAC}/roles/r", {"rules": role["rules"]})).code == 200
            await may(True)
            assert (await api.patch(f"{RBAC}/rolebindings/b", {"subjects": []})).code == 200
            await may(False)
            assert (await api.delete(f"{RBAC}/rolebindings/b")).code == 200
            await may(False)


async def test_a_node_loses_what_only_its_pods_needed(tmp_path: Path) -> None:
    pods, secret = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/secrets/s"
    volume = {"name": "v", "secret": {"secretName": "s"}}
    spec: dict[str, Any] = {
        "nodeName": "n1",
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [volume],
    }
    async with running(tmp_path) as api:
        assert (
            await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        ).code == 201
        assert (await api.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})).code == 201
        assert await code(api, "nodetoken", secret) == 403
        for _ in range(2):
            made = await api.post(pods, {"metadata": {"name": "p"}, "spec": spec})
            assert made.code == 201, made.raw
            assert await code(api, "nodetoken", secret) == 200
            assert (await api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})).code == 200
            assert await code(api, "nodetoken", secret) == 403
