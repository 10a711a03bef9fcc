"""What log, exec and proxy refuse before any connection is made, and where they would connect to."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.handlers import podlog, podtarget, proxy


def pod(*names: str, init: tuple[str, ...] = ()) -> dict[str, Any]:
    spec = {"containers": [{"name": name} for name in names], "initContainers": [{"name": name} for name in init]}
    return {"metadata": {"name": "p"}, "spec": spec}


def test_the_only_container_need_not_be_named() -> None:
    assert podtarget.container_of(pod("main"), "") == "main"
    assert podtarget.container_of(pod("main", init=("first",)), "first") == "first"


@pytest.mark.parametrize(
    ("target", "wanted", "text"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (
            pod("a", "b", init=("c",)),
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [c]",
        ),
        (pod("a"), "x", "container x is not valid for pod p"),
    ],
)
def test_a_container_that_is_unclear_or_wrong(target: dict[str, Any], wanted: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        podtarget.container_of(target, wanted)
    assert (caught.value.code, caught.value.message) == (400, text)


def test_exec_needs_a_node() -> None:
    with pytest.raises(ApiError, match="pod p does not have a host assigned"):
        podtarget.assigned_node(pod("a"))


@pytest.mark.parametrize(
    ("values", "field_names"),
    [
        ({"tailLines": -1}, ["tailLines"]),
        ({"limitBytes": 0}, ["limitBytes"]),
        ({"sinceSeconds": 0}, ["sinceSeconds"]),
        ({"sinceSeconds": 5, "sinceTime": "2026-01-01T00:00:00Z"}, ["[]"]),
        ({"stream": "All"}, ["stream"]),
        ({"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}, []),
    ],
)
def test_log_options(values: dict[str, str | int], field_names: list[str]) -> None:
    assert [error.field for error in podlog._problems(values)] == field_names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("web", ("http", "web", "")),
        ("web:80", ("http", "web", "80")),
        ("https:web:admin", ("https", "web", "admin")),
    ],
)
def test_proxy_names(name: str, parts: tuple[str, str, str]) -> None:
    assert proxy.split_name(name, "service") == parts


@pytest.mark.parametrize("name", ["ftp:web:80", "a:b:c:d"])
def test_proxy_names_that_are_none(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        proxy.split_name(name, "pod")
    assert (caught.value.code, caught.value.message) == (400, f'invalid pod request "{name}"')


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "224.0.0.1",
        "",
        "x",
    ],
)
def test_the_proxy_goes_nowhere_that_only_this_machine_should_reach(address: str) -> None:
    with pytest.raises(ApiError, match="address not allowed"):
        proxy.check_address(address)


def test_the_proxy_goes_to_pods() -> None:
    proxy.check_address("10.244.0.7")
    proxy.check_address("2001:db8::7")
