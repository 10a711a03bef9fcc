"""Rights of the users that tests attack with: who may do what, and requests made as them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.apiserver import Api

RBAC = "rbac.authorization.k8s.io/v1"
ROLES = f"/apis/{RBAC}/clusterroles"


def user(api: Api, token: str = "plaintoken") -> Api:
    """The same server, asked with another token."""
    return replace(api, token=token)


async def grant(api: Api, name: str, role: str, *, namespace: str = "", kind: str = "User") -> None:
    """Bind a ClusterRole to a user, in a namespace or everywhere."""
    scope, what = (f"namespaces/{namespace}/", "rolebindings") if namespace else ("", "clusterrolebindings")
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"generateName": "grant-"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": name}],
    }
    answer = await api.post(f"/apis/{RBAC}/{scope}{what}", binding)
    assert answer.code == 201, answer.raw


async def allow(api: Api, name: str, *rules: dict[str, Any], namespace: str = "") -> None:
    """Let a user do what the rules say: (apiGroups, resources, verbs …), "" for the core group unless they say another."""
    complete = [{"apiGroups": [""], **rule} if "nonResourceURLs" not in rule else rule for rule in rules]
    made = await api.post(ROLES, {"metadata": {"generateName": "allow-"}, "rules": complete})
    assert made.code == 201, made.raw
    await grant(api, name, made.body["metadata"]["name"], namespace=namespace)
