"""What a request is about, from its method and raw target."""

from __future__ import annotations

import pytest

from apiserver.requestinfo import RequestInfo, parse, parse_bool, parse_query, split_target


def info(target: str, method: str = "GET") -> RequestInfo:
    path, query = split_target(target)
    return parse(method, path, parse_query(query))


@pytest.mark.parametrize(
    ("target", "method", "expected"),
    [
        ("/api/v1/pods", "GET", ("list", "", "v1", "", "pods", "", "")),
        ("/api/v1/pods?watch=1", "GET", ("watch", "", "v1", "", "pods", "", "")),
        ("/api/v1/pods?watch=perhaps", "GET", ("watch", "", "v1", "", "pods", "", "")),
        ("/api/v1/pods?watch=false", "GET", ("list", "", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces/a/pods", "GET", ("list", "", "v1", "a", "pods", "", "")),
        ("/api/v1/namespaces/a/pods/p", "GET", ("get", "", "v1", "a", "pods", "p", "")),
        ("/api/v1/namespaces/a/pods/p/log", "GET", ("get", "", "v1", "a", "pods", "p", "log")),
        ("/api/v1/namespaces/a/pods/p", "PATCH", ("patch", "", "v1", "a", "pods", "p", "")),
        ("/api/v1/namespaces/a/pods", "DELETE", ("deletecollection", "", "v1", "a", "pods", "", "")),
        ("/api/v1/namespaces/a", "DELETE", ("delete", "", "v1", "a", "namespaces", "a", "")),
        ("/api/v1/namespaces/a/status", "PUT", ("update", "", "v1", "a", "namespaces", "a", "status")),
        ("/api/v1/namespaces", "POST", ("create", "", "v1", "", "namespaces", "", "")),
        (
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "PUT",
            ("update", "apps", "v1", "a", "deployments", "d", "scale"),
        ),
        ("/api/v1/watch/namespaces/a/pods/p", "GET", ("watch", "", "v1", "a", "pods", "p", "")),
        ("/api/v1/pods?fieldSelector=metadata.name%3Dx", "GET", ("list", "", "v1", "", "pods", "x", "")),
        ("/api/v1/nodes/n/", "GET", ("get", "", "v1", "", "nodes", "n", "")),
        ("/api/v1/pods", "FOO", ("", "", "v1", "", "pods", "", "")),
    ],
)
def test_resources(target: str, method: str, expected: tuple[str, ...]) -> None:
    found = info(target, method)
    assert found.is_resource
    assert not found.bad
    got = (found.verb, found.group, found.version, found.namespace, found.resource, found.name, found.subresource)
    assert got == expected


@pytest.mark.parametrize("target", ["/", "/api", "/api/v1", "/apis/apps/v1", "/apis", "/healthz/ping", "/version?x=y"])
def test_everything_else_is_no_resource(target: str) -> None:
    found = info(target)
    assert not found.is_resource
    assert found.verb == "get"


@pytest.mark.parametrize(
    "target",
    [
        "//api/v1/pods",
        "/api/v1//pods",
        "/api/v1/namespaces/../secrets",
        "/api/v1/namespaces/a%2Fsecrets/pods",
        "/api/v1/namespaces/a/pods/p%2Fexec",
        "/api/v1/pods/%zz",
        "/api/v1/namespaces/a/pods/%00",
    ],
)
def test_tricks_match_no_route(target: str) -> None:
    assert info(target).bad


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "a%25b"])
def test_names_that_no_object_can_have(name: str) -> None:
    for path in (f"/api/v1/namespaces/a/pods/{name}", f"/api/v1/nodes/{name}/status"):
        found = info(path)
        assert found.odd_name
        assert not found.bad


def test_an_encoded_slash_never_separates() -> None:
    found = info("/api/v1/namespaces/a/pods/p%2Fstatus")
    assert (found.name, found.subresource) == ("p/status", "")


def test_proxied_paths_stay_as_they_were_sent() -> None:
    found = info("/api/v1/namespaces/a/services/s:80/proxy/x%2Fy/../z/?q=1")
    assert (found.name, found.subresource, found.subpath) == ("s:80", "proxy", "/x%2Fy/../z/")
    assert not found.bad
    assert info("/api/v1/nodes/n/proxy").subpath == ""
    assert info("/api/v1/nodes/n/proxy/").subpath == "/"


def test_an_absolute_target_is_its_path() -> None:
    assert split_target("https://host:6443/api/v1/pods?x=1#f") == ("/api/v1/pods", "x=1")
    assert split_target("http://host") == ("/", "")
    assert split_target("http://host?x=/y") == ("/", "x=/y")


def test_selectors_are_kept_where_the_verb_has_them() -> None:
    found = info("/api/v1/pods?labelSelector=a%3Db&fieldSelector=spec.nodeName%3Dn")
    assert (found.label_selector, found.field_selector) == ("a=b", "spec.nodeName=n")
    assert info("/api/v1/namespaces/a/pods/p?labelSelector=x").label_selector == ""


def test_queries_are_read_as_go_reads_them() -> None:
    assert parse_query("a=1&a=2&b&c=x+y%21&bad=%zz&semi;colon=1&=e") == {
        "a": ["1", "2"],
        "b": [""],
        "c": ["x y!"],
        "": ["e"],
    }


@pytest.mark.parametrize(
    ("values", "expected"), [(None, False), (["0"], False), (["FALSE"], False), ([""], True), (["1"], True)]
)
def test_booleans_are_lenient(values: list[str] | None, expected: bool) -> None:
    assert parse_bool(values) is expected


def test_what_lives_on_is_told_apart() -> None:
    assert info("/api/v1/pods?watch=1").long_running
    assert info("/api/v1/namespaces/a/pods/p/exec?command=x", "POST").long_running
    assert not info("/api/v1/pods").long_running
