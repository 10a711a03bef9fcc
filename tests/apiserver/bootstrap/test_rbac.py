"""Bootstrap roles: complete, as the original's, and reconciled without undoing what operators did."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import ControlledClock
from apiserver import authz
from apiserver.authn.user import ANONYMOUS, User
from apiserver.authz.base import Attributes
from apiserver.bootstrap import rbac
from tests.support.reader import MemoryObjects

GROUP = "rbac.authorization.k8s.io"


def test_rules_are_sorted_and_complete() -> None:
    by_name = {role["metadata"]["name"]: role for role in rbac.cluster_roles()}
    assert by_name["cluster-admin"]["rules"] == [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]
    assert by_name["system:basic-user"]["rules"][0]["resources"] == [
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
    ]
    assert by_name["system:node"]["rules"][6] == {
        "verbs": ["create", "patch", "update"],
        "apiGroups": ["", "events.k8s.io"],
        "resources": ["events"],
    }
    assert by_name["view"]["metadata"]["labels"] == {
        "kubernetes.io/bootstrapping": "rbac-defaults",
        "rbac.authorization.k8s.io/aggregate-to-edit": "true",
    }
    for role in by_name.values():
        assert role["metadata"]["annotations"] == {"rbac.authorization.kubernetes.io/autoupdate": "true"}
        assert (role["rules"] is None) == ("aggregationRule" in role)
        for rule in role["rules"] or ():
            assert all(values for values in rule.values())
            assert not any(word == ":" for values in rule.values() for word in values)


def test_bindings_name_roles_that_exist() -> None:
    names = {role["metadata"]["name"] for role in rbac.cluster_roles()}
    assert {binding["roleRef"]["name"] for binding in rbac.cluster_role_bindings()} <= names
    local = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in rbac.roles()}
    assert {(b["metadata"]["namespace"], b["roleRef"]["name"]) for b in rbac.role_bindings()} <= local


async def test_a_new_cluster() -> None:
    objects = MemoryObjects()
    await rbac.reconcile(objects, objects)
    authorization = authz.build(authz.Config(), objects, ControlledClock())

    async def may(user: User, verb: str, plural: str = "", path: str = "", **rest: Any) -> bool:
        asked = Attributes(user, verb, plural=plural, path=path, resource_request=bool(plural), **rest)
        return (await authorization.authorize(asked)).allowed

    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert await may(ANONYMOUS, "get", path=path)
    assert not await may(ANONYMOUS, "get", path="/api")
    assert not await may(ANONYMOUS, "get", path="/metrics")
    assert await may(User("jane", groups=("system:authenticated",)), "get", path="/apis/apps")
    assert not await may(User("jane", groups=("system:authenticated",)), "list", "pods")
    manager = User("system:kube-controller-manager")
    assert await may(manager, "list", "pods")
    assert await may(manager, "create", "serviceaccounts", subresource="token", namespace="kube-system")
    assert not await may(manager, "create", "pods", namespace="a")
    jobs = User("system:serviceaccount:kube-system:job-controller")
    assert await may(jobs, "create", "pods", namespace="a")
    assert not await may(jobs, "update", "deployments", group="apps", namespace="a")
    scheduler = User("system:kube-scheduler")
    assert await may(scheduler, "create", "pods", namespace="a", subresource="binding")
    assert await may(
        scheduler, "update", "leases", group="coordination.k8s.io", namespace="kube-system", name="kube-scheduler"
    )
    objects.put(
        GROUP,
        "rolebindings",
        {
            "metadata": {"namespace": "a", "name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-edit"},
            "subjects": [{"kind": "User", "name": "ed"}],
        },
    )
    assert await may(User("ed"), "create", "deployments", group="apps", namespace="a")
    assert await may(User("ed"), "get", "secrets", namespace="a")
    assert not await may(User("ed"), "create", "rolebindings", group=GROUP, namespace="a")


async def test_reconciling_adds_what_is_missing_and_keeps_the_rest() -> None:
    objects = MemoryObjects()
    await rbac.reconcile(objects, objects)
    settled = objects.put("", "x", {"metadata": {"name": "x"}})["metadata"]["resourceVersion"]
    await rbac.reconcile(objects, objects)
    assert int(objects.put("", "x", {"metadata": {"name": "x"}})["metadata"]["resourceVersion"]) == int(settled) + 1

    async def get(plural: str, name: str) -> dict[str, object]:
        found = await objects.get(GROUP, plural, None, name)
        assert found is not None
        return found

    role = await get("clusterroles", "system:discovery")
    mine = {"verbs": ["get"], "nonResourceURLs": ["/mine"]}
    objects.put(GROUP, "clusterroles", {**role, "rules": [mine]})
    binding = await get("clusterrolebindings", "system:discovery")
    objects.put(GROUP, "clusterrolebindings", {**binding, "roleRef": {**binding["roleRef"], "name": "view"}})  # type: ignore[dict-item]
    protected = await get("clusterroles", "system:monitoring")
    protected["metadata"]["annotations"] = {rbac.AUTOUPDATE: "false"}  # type: ignore[index]
    objects.put(GROUP, "clusterroles", {**protected, "rules": []})
    await rbac.reconcile(objects, objects)
    rules = (await get("clusterroles", "system:discovery"))["rules"]
    assert isinstance(rules, list)
    assert rules[0] == mine
    assert len(rules) == 12
    assert (await get("clusterrolebindings", "system:discovery"))["roleRef"]["name"] == "system:discovery"  # type: ignore[index]
    assert (await get("clusterroles", "system:monitoring"))["rules"] == []
