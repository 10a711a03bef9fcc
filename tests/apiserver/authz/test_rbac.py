"""RBAC: what rules allow, what texts say, and that changes are seen at once."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from apimachinery.errors import ApiError
from apiserver import authz
from apiserver.authn.user import User
from apiserver.authz import base
from apiserver.authz.base import Attributes
from apiserver.authz.service import Authorization
from apiserver.registry.kind import Ctx
from tests.support.reader import MemoryObjects

GROUP = "rbac.authorization.k8s.io"
JANE = User("jane", groups=("devs", "system:authenticated"))
Rule = dict[str, list[str]]


def rule(verbs: str, resources: str = "", *, groups: str = "", names: str = "", urls: str = "") -> Rule:
    out = {"verbs": verbs.split()}
    if resources:
        out |= {"apiGroups": groups.split(",") if groups else [""], "resources": resources.split()}
    if names:
        out["resourceNames"] = names.split()
    if urls:
        out["nonResourceURLs"] = urls.split()
    return out


class World:
    def __init__(self, *modes: str) -> None:
        self.objects = MemoryObjects()
        self.clock = ControlledClock()
        self.authz: Authorization = authz.build(authz.Config(modes or ("RBAC",)), self.objects, self.clock)

    def role(self, name: str, *rules: Rule, namespace: str | None = None, **rest: Any) -> None:
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.objects.put(
            GROUP, "roles" if namespace else "clusterroles", {"metadata": meta, "rules": list(rules), **rest}
        )

    def bind(self, name: str, role: str, *subjects: str, namespace: str | None = None, kind: str = "") -> None:
        found = []
        for subject in subjects:
            subject_kind, _, who = subject.partition(":")
            entry = {"kind": subject_kind, "name": who}
            if subject_kind == "ServiceAccount" and "/" in who:
                entry["namespace"], entry["name"] = who.split("/")
            found.append(entry)
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        ref = {"kind": kind or ("Role" if namespace else "ClusterRole"), "name": role, "apiGroup": GROUP}
        plural = "rolebindings" if namespace else "clusterrolebindings"
        self.objects.put(GROUP, plural, {"metadata": meta, "roleRef": ref, "subjects": found})

    async def may(self, verb: str, plural: str, user: User = JANE, **rest: Any) -> bool:
        name, _, subresource = plural.partition("/")
        return (
            await self.authz.authorize(Attributes(user, verb, plural=name, subresource=subresource, **rest))
        ).allowed

    async def may_path(self, path: str, user: User = JANE, verb: str = "get") -> bool:
        return (await self.authz.authorize(Attributes(user, verb, resource_request=False, path=path))).allowed

    def ctx(self, user: User, namespace: str | None = None) -> Ctx:
        return Ctx(user, self.clock, self.objects, "v1", namespace or "")


@pytest.fixture
def world() -> World:
    return World()


async def test_rules(world: World) -> None:
    world.role(
        "r", rule("get list", "pods pods/log"), rule("*", "*/scale", groups="apps"), rule("get", "*", groups="batch")
    )
    world.bind("b", "r", "User:jane")
    assert await world.may("get", "pods", namespace="a")
    assert await world.may("list", "pods")
    assert await world.may("get", "pods/log", namespace="a")
    assert not await world.may("get", "pods/status", namespace="a")
    assert not await world.may("create", "pods", namespace="a")
    assert not await world.may("get", "pods", group="apps")
    assert await world.may("update", "deployments/scale", group="apps")
    assert not await world.may("update", "deployments", group="apps")
    assert await world.may("get", "jobs/status", group="batch")
    assert not await world.may("get", "pods", User("joe"))


async def test_names(world: World) -> None:
    world.role("r", rule("get list", "configmaps", names="a b"), rule("delete", "configmaps"))
    world.bind("b", "r", "Group:devs")
    assert await world.may("get", "configmaps", name="a")
    assert await world.may("get", "configmaps", name="b")
    assert not await world.may("get", "configmaps", name="c")
    assert not await world.may("list", "configmaps")
    assert await world.may("delete", "configmaps", name="c")


async def test_paths(world: World) -> None:
    world.role("r", rule("get", urls="/version /apis/*"))
    world.bind("b", "r", "Group:system:authenticated")
    assert await world.may_path("/version")
    assert await world.may_path("/apis/apps")
    assert not await world.may_path("/apis")
    assert not await world.may_path("/version/")
    assert not await world.may_path("/version", verb="post")
    assert not await world.may("get", "version")


async def test_a_role_holds_in_its_namespace_only(world: World) -> None:
    world.role("r", rule("get", "pods"), namespace="a")
    world.role("cr", rule("get", "secrets"))
    world.bind("b", "r", "User:jane", namespace="a")
    world.bind("c", "cr", "User:jane", namespace="a", kind="ClusterRole")
    assert await world.may("get", "pods", namespace="a")
    assert await world.may("get", "secrets", namespace="a")
    assert not await world.may("get", "pods", namespace="b")
    assert not await world.may("get", "pods")
    assert not await world.may("get", "secrets")


async def test_service_accounts(world: World) -> None:
    world.role("r", rule("get", "pods"), namespace="a")
    world.bind("b", "r", "ServiceAccount:bot", "ServiceAccount:b/other", namespace="a")
    assert await world.may("get", "pods", User("system:serviceaccount:a:bot"), namespace="a")
    assert await world.may("get", "pods", User("system:serviceaccount:b:other"), namespace="a")
    assert not await world.may("get", "pods", User("system:serviceaccount:b:bot"), namespace="a")
    assert not await world.may("get", "pods", User("bot"), namespace="a")


async def test_changes_are_seen_at_once(world: World) -> None:
    assert not await world.may("get", "pods")
    world.role("r", rule("get", "pods"))
    assert not await world.may("get", "pods")
    world.bind("b", "r", "User:jane")
    assert await world.may("get", "pods")
    world.role("r", rule("list", "pods"))
    assert not await world.may("get", "pods")
    assert await world.may("list", "pods")
    world.bind("b", "r", "User:joe")
    assert not await world.may("list", "pods")
    assert await world.may("list", "pods", User("joe"))
    world.objects.remove(GROUP, "clusterrolebindings", None, "b")
    assert not await world.may("list", "pods", User("joe"))


async def test_decisions_are_remembered(world: World) -> None:
    world.role("r", rule("get", "pods"))
    world.bind("b", "r", "User:jane")
    await world.may("get", "pods")
    before = world.objects.reads
    for _ in range(3):
        await world.may("get", "pods", name="x")
    assert world.objects.reads == before


async def test_reasons(world: World) -> None:
    world.role("r", rule("get", "pods"), namespace="a")
    world.bind("b", "r", "User:jane", namespace="a")
    world.bind("broken", "nothing", "User:jane")
    decision = await world.authz.authorize(Attributes(JANE, "get", plural="pods", namespace="a"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/a" of Role "r" to User "jane"'
    asked = Attributes(JANE, "list", plural="pods", namespace="a")
    decision = await world.authz.authorize(asked)
    assert base.forbidden(asked, decision.reason).message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "a": '
        'RBAC: clusterrole.rbac.authorization.k8s.io "nothing" not found'
    )


def test_refusals_in_the_originals_words() -> None:
    asked = Attributes(JANE, "get", group="apps", plural="deployments", subresource="scale", name="d")
    assert base.forbidden(asked).message == (
        'deployments.apps "d" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" '
        "at the cluster scope"
    )
    path = Attributes(User('<b>"'), "get", resource_request=False, path="/metrics")
    assert base.forbidden(path).message == 'forbidden: User "&lt;b&gt;\\"" cannot get path "/metrics"'


async def test_masters_may_do_anything() -> None:
    world = World("AlwaysDeny")
    assert await world.may("delete", "nodes", User("root", groups=("system:masters",)))
    assert not await world.may("delete", "nodes")


@pytest.mark.parametrize("modes", [("Webhoop",), ("RBAC", "RBAC"), ()])
def test_modes_that_are_refused(modes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="mode"):
        authz.build(authz.Config(modes), MemoryObjects(), ControlledClock())


# -- escalation


def role_object(*rules: Rule, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": "new"}, "rules": list(rules), **rest}


async def test_nobody_grants_what_they_do_not_hold(world: World) -> None:
    world.role("r", rule("get list", "pods"), rule("*", "roles", groups=GROUP))
    world.bind("b", "r", "User:jane")
    check = world.authz.services()["rbac-role-check"]
    ctx = world.ctx(JANE)
    await check(ctx, "ClusterRole", role_object(rule("get", "pods")), None)
    with pytest.raises(ApiError) as caught:
        await check(
            ctx, "ClusterRole", role_object(rule("get delete create", "pods secrets"), rule("get", urls="/x")), None
        )
    assert caught.value.code == 403
    assert caught.value.message == (
        'clusterroles.rbac.authorization.k8s.io "new" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "create"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}'
    )
    masters = world.ctx(User("root", groups=("system:masters",)))
    await check(masters, "ClusterRole", role_object(rule("*", "*", groups="*")), None)


async def test_unchanged_rules_may_be_kept_by_the_collector(world: World) -> None:
    check = world.authz.services()["rbac-role-check"]
    old = role_object(rule("get", "pods"))
    new = {**old, "metadata": {**old["metadata"], "finalizers": []}}
    await check(world.ctx(JANE), "ClusterRole", new, old)
    with pytest.raises(ApiError):
        await check(world.ctx(JANE), "ClusterRole", {**new, "rules": [rule("get", "secrets")]}, old)


async def test_aggregation_needs_everything(world: World) -> None:
    check = world.authz.services()["rbac-role-check"]
    obj = role_object(aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
    with pytest.raises(ApiError, match="must have cluster-admin privileges to use the aggregationRule"):
        await check(world.ctx(JANE), "ClusterRole", obj, None)
    world.role("all", rule("*", "*", groups="*"), rule("*", urls="*"))
    world.bind("all", "all", "User:jane")
    await check(world.ctx(JANE), "ClusterRole", obj, None)


async def test_escalate_and_bind_are_verbs(world: World) -> None:
    services = world.authz.services()
    obj = role_object(rule("delete", "nodes"))
    binding = {"metadata": {"name": "nb"}, "roleRef": {"kind": "ClusterRole", "name": "power"}, "subjects": []}
    world.role("power", rule("delete", "nodes"))
    ctx = world.ctx(JANE)
    with pytest.raises(ApiError, match="attempting to grant"):
        await services["rbac-role-check"](ctx, "ClusterRole", obj, None)
    with pytest.raises(ApiError, match="attempting to grant"):
        await services["rbac-binding-check"](ctx, "ClusterRoleBinding", binding, None)
    world.role(
        "r", rule("escalate", "clusterroles", groups=GROUP), rule("bind", "clusterroles", groups=GROUP, names="power")
    )
    world.bind("b", "r", "User:jane")
    await services["rbac-role-check"](ctx, "ClusterRole", obj, None)
    await services["rbac-binding-check"](ctx, "ClusterRoleBinding", binding, None)
    missing = {**binding, "roleRef": {"kind": "ClusterRole", "name": "none"}}
    with pytest.raises(ApiError) as caught:
        await services["rbac-binding-check"](ctx, "ClusterRoleBinding", missing, None)
    assert caught.value.code == 404


# -- reviews


async def test_subject_access_review(world: World) -> None:
    world.role("r", rule("get", "pods"))
    world.bind("b", "r", "Group:devs")
    services = world.authz.services()
    ask = {"spec": {"user": "x", "groups": ["devs"], "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = await services["subject-access-review"](world.ctx(JANE), ask)
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "devs"',
    }
    mine = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/x"}}}
    answer = await services["self-subject-access-review"](world.ctx(JANE), mine)
    assert answer["status"] == {"allowed": False}
    with pytest.raises(ApiError) as caught:
        await services["self-subject-access-review"](world.ctx(JANE), {"spec": {}})
    assert caught.value.message == (
        '.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: '
        "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    )
    with pytest.raises(ApiError, match="at least one of user or group must be specified"):
        await services["subject-access-review"](world.ctx(JANE), mine)


async def test_local_review_stays_in_its_namespace(world: World) -> None:
    services = world.authz.services()
    spec = {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}}
    ask = {"metadata": {"namespace": "a"}, "spec": spec}
    answer = await services["local-subject-access-review"](world.ctx(JANE, "a"), ask)
    assert answer["status"] == {"allowed": False}
    other = {"metadata": {"namespace": "b"}, "spec": spec}
    with pytest.raises(ApiError, match=r"must match metadata\.namespace"):
        await services["local-subject-access-review"](world.ctx(JANE, "b"), other)


async def test_rules_review(world: World) -> None:
    world.role("r", rule("get", "pods", names="p"), rule("get", urls="/x"))
    world.bind("b", "r", "User:jane")
    services = world.authz.services()
    answer = await services["self-subject-rules-review"](world.ctx(JANE), {"spec": {"namespace": "a"}})
    assert answer["status"] == {
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}],
        "incomplete": False,
    }
    with pytest.raises(ApiError, match="no namespace on request"):
        await services["self-subject-rules-review"](world.ctx(JANE), {"spec": {}})
