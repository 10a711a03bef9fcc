"""Impersonation: who one may act as, who one then is, and what refusals say."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from apimachinery.clock import ControlledClock
from apimachinery.errors import ApiError
from apiserver import authz
from apiserver.authn.user import User
from apiserver.authz.base import Attributes
from apiserver.filters.impersonation import ImpersonationFilter, requested
from tests.apiserver.authz.test_rbac import World, rule
from tests.support.reader import MemoryObjects

ROOT = User("root", groups=("system:masters", "system:authenticated"))
BOT = User(
    "system:serviceaccount:ns:agent",
    groups=("system:serviceaccounts",),
    extra={"authentication.kubernetes.io/node-name": ("n1",)},
)


def doing(user: User, verb: str = "list", plural: str = "pods", namespace: str = "ns") -> Attributes:
    return Attributes(user, verb, version="v1", plural=plural, namespace=namespace)


async def become(wanted: User, user: User = ROOT, world: World | None = None) -> User:
    authorization = (
        (world or World()).authz
        if user is not ROOT
        else authz.build(authz.Config(), MemoryObjects(), ControlledClock())
    )
    return (await ImpersonationFilter(authorization).impersonate(wanted, doing(user)))[0]


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (User("jane"), ["system:authenticated"]),
        (User("jane", groups=("devs",)), ["devs", "system:authenticated"]),
        (User("jane", groups=("system:unauthenticated",)), ["system:unauthenticated"]),
        (User("system:anonymous"), ["system:unauthenticated"]),
        (
            User("system:serviceaccount:ns:bot"),
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
        ),
        (User("system:serviceaccount:x"), ["system:authenticated"]),
        (User("system:node:n1"), ["system:nodes", "system:authenticated"]),
        (User("jane", groups=("system:masters",)), ["system:masters", "system:authenticated"]),
    ],
)
async def test_groups(wanted: User, groups: list[str]) -> None:
    assert list((await become(wanted)).groups) == groups


def test_headers() -> None:
    assert requested(CIMultiDict()) is None
    headers = CIMultiDict(
        [
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "a"),
            ("impersonate-group", "b"),
            ("Impersonate-Uid", "u"),
            ("Impersonate-Extra-Acme.com%2Fproject", "p"),
        ]
    )
    user = requested(headers)
    assert user is not None
    assert (user.name, user.uid, tuple(user.groups)) == ("jane", "u", ("a", "b"))
    assert user.extra == {"acme.com/project": ["p"]}
    with pytest.raises(ApiError) as caught:
        requested(CIMultiDict({"Impersonate-Group": "devs"}))
    assert (caught.value.code, caught.value.message) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name",
    )


async def test_without_rights_the_first_mode_refuses() -> None:
    with pytest.raises(ApiError) as caught:
        await become(User("jane"), User("plain"))
    assert caught.value.message == (
        'pods is forbidden: User "plain" cannot impersonate-on:user-info:list resource "pods" in API group "" '
        'in the namespace "ns"'
    )


async def test_the_old_verb_still_works() -> None:
    world = World()
    world.role("r", rule("impersonate", "users groups", names="jane devs"))
    world.bind("b", "r", "User:plain")
    plain = User("plain")
    assert (await become(User("jane", groups=("devs",)), plain, world)).name == "jane"
    for wanted in (
        User("joe"),
        User("jane", groups=("system:masters",)),
        User("jane", uid="u"),
        User("jane", extra={"a": ("b",)}),
    ):
        with pytest.raises(ApiError):
            await become(wanted, plain, world)


async def test_narrow_modes_need_both_rights() -> None:
    world = World()
    plain, group = User("plain"), "authentication.k8s.io"
    world.role("who", rule("impersonate:user-info", "users groups", groups=group))
    world.bind("who", "who", "User:plain")
    with pytest.raises(ApiError, match="impersonate-on:user-info:list"):
        await become(User("jane"), plain, world)
    world.role("what", rule("impersonate-on:user-info:list", "pods"))
    world.bind("what", "what", "User:plain")
    assert (await become(User("jane"), plain, world)).name == "jane"
    with pytest.raises(ApiError, match="impersonating the system:masters group is not allowed"):
        await become(User("jane", groups=("system:masters",)), plain, world)
    with pytest.raises(ApiError, match="impersonate-on:serviceaccount:list"):
        await become(User("system:serviceaccount:ns:bot"), plain, world)


async def test_an_account_acts_as_its_own_node_only() -> None:
    world = World()
    world.role(
        "r",
        rule("impersonate:associated-node", "nodes", groups="authentication.k8s.io"),
        rule("impersonate-on:associated-node:list", "pods"),
    )
    world.bind("b", "r", "ServiceAccount:ns/agent")
    node = await become(User("system:node:n1"), BOT, world)
    assert (node.name, list(node.groups)) == ("system:node:n1", ["system:nodes", "system:authenticated"])
    with pytest.raises(ApiError):
        await become(User("system:node:n2"), BOT, world)
