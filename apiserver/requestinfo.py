"""Method and raw request target -> frozen RequestInfo: what a request is about, parsed once, by hand.

Called by app.py before any filter runs; authentication, authorisation, audit and dispatch all read the same result, so
that none of them can be led to see another resource than the one that is served. The rules are those of the original's
apiserver/pkg/endpoints/request (verbs, namespaces, legacy watch paths). One difference is deliberate: segments are cut
from the raw path and decoded one by one, so an encoded slash never becomes a separator of resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from apimachinery.selectors import SelectorError, parse_fields

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_LONG_RUNNING = frozenset(("exec", "attach", "portforward", "log", "proxy"))
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request's target.

    path: decoded path, as authorisation and logs show it. verb: the API's verb for resources ("list",
    "deletecollection", ...), the lower-case method otherwise. parts: decoded segments from the resource on. subpath: for
    connect verbs, the raw (still encoded) rest after the subresource, with its leading slash, or "". watch_prefix: a
    legacy /watch/ path. inside: the path names a namespace before the resource (a namespace itself is not inside one, and is
    what `namespace` says too). bad: no route can match this path (doubled slashes, dot segments, encoded slashes). odd_name: the
    name is one that no object can have ("..", "a%b").
    field_selector, label_selector: as sent, where the verb has them. long_running: a watch, or a connection that outlives
    the request timeout.
    """

    path: str
    verb: str
    is_resource: bool = False
    prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    subpath: str = ""
    watch_prefix: bool = False
    inside: bool = False
    proxy_prefix: bool = False
    bad: bool = False
    odd_name: bool = False
    field_selector: str = ""
    label_selector: str = ""
    long_running: bool = False


def split_target(target: str) -> tuple[str, str]:
    """(raw path, raw query) of a request target, which may be an absolute URI."""
    if not target.startswith("/"):
        scheme, found, rest = target.partition("://")
        if found and scheme.isalpha():
            slash = rest.find("/")
            question = rest.find("?")
            if slash < 0 or 0 <= question < slash:
                target = "/" + (rest[question:] if question >= 0 else "")
            else:
                target = rest[slash:]
    target, _, _ = target.partition("#")
    path, _, query = target.partition("?")
    return path, query


def parse_query(raw: str) -> dict[str, list[str]]:
    """Query parameters as Go's url.ParseQuery reads them: a pair with a semicolon or a broken escape is dropped."""
    out: dict[str, list[str]] = {}
    if not raw:
        return out
    for pair in raw.split("&"):
        if not pair or ";" in pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            if not (_well_escaped(name) and _well_escaped(value)):
                continue
            name, value = unquote(name.replace("+", " ")), unquote(value.replace("+", " "))
        out.setdefault(name, []).append(value)
    return out


_HEX = frozenset("0123456789abcdefABCDEF")


def _well_escaped(text: str) -> bool:
    at = text.find("%")
    while at >= 0:
        if len(text) < at + 3 or text[at + 1] not in _HEX or text[at + 2] not in _HEX:
            return False
        at = text.find("%", at + 3)
    return True


def parse_bool(values: list[str] | None) -> bool:
    """A boolean parameter: anything but "", "0" and "false" (in any case) is true; present without a value is true."""
    if not values:
        return False
    return values[0].lower() not in ("false", "0")


_SELECTING = ("watch", "fieldSelector", "labelSelector")
_CACHED_PATH = 256  # characters; longer paths are parsed each time, so that nobody can fill memory with them


def parse(method: str, raw_path: str, query: dict[str, list[str]]) -> RequestInfo:
    """The request's target; never fails: what cannot be understood is a non-resource request or `bad`."""
    if len(raw_path) < _CACHED_PATH and not (query and any(name in query for name in _SELECTING)):
        return _parse_path(method, raw_path)
    return _parse(method, raw_path, query)


@lru_cache(8192)
def _parse_path(method: str, raw_path: str) -> RequestInfo:
    return _parse(method, raw_path, {})


def _parse(method: str, raw_path: str, query: dict[str, list[str]]) -> RequestInfo:
    raw_parts = raw_path.strip("/").split("/") if raw_path.strip("/") else []
    plain = "%" not in raw_path
    parts = raw_parts if plain else [unquote(part) for part in raw_parts]
    path = raw_path if plain else unquote(raw_path)
    verb = method.lower()
    bad = not raw_path.startswith("/") or raw_path.startswith("//") or (not plain and not _well_escaped(raw_path))
    if len(parts) < 3 or parts[0] not in ("api", "apis") or (parts[0] == "apis" and len(parts) < 4):
        return RequestInfo(path=path, verb=verb, bad=bad or _bad_segment(raw_parts, parts, plain))
    prefix = parts[0]
    group = parts[1] if prefix == "apis" else ""
    at = 2 if prefix == "apis" else 1
    version = parts[at]
    at += 1
    watch_prefix = proxy_prefix = False
    if parts[at] in ("watch", "proxy"):
        if len(parts) < at + 2:
            return RequestInfo(
                path=path, verb=verb, is_resource=True, prefix=prefix, group=group, version=version, bad=True
            )
        watch_prefix = parts[at] == "watch"
        proxy_prefix = not watch_prefix
        verb = parts[at]
        at += 1
    else:
        verb = _VERBS.get(method, "")
    namespace, inside = "", False
    if parts[at] == "namespaces" and len(parts) > at + 1:
        namespace = parts[at + 1]
        if len(parts) > at + 2 and parts[at + 2] not in _NAMESPACE_SUBRESOURCES:
            at += 2
            inside = bool(namespace)
    rest = parts[at:]
    resource = rest[0]
    name = rest[1] if len(rest) >= 2 else ""
    subresource = rest[2] if len(rest) >= 3 and not proxy_prefix else ""
    subpath = ""
    if len(rest) >= 4:
        subpath = _raw_tail(raw_path, at + 3)
        checked = at + 3
    else:
        if len(rest) == 3 and raw_path.endswith("/"):
            subpath = "/"
        checked = len(parts)
    dots = name in (".", "..")
    at_name = at + 1  # a name of dots has a refusal of its own
    bad = bad or _bad_segment(
        raw_parts[:checked], parts[:at_name] + parts[at_name + 1 : checked] if dots else parts[:checked], plain
    )
    if not name and verb == "get":
        verb = "watch" if parse_bool(query.get("watch")) else "list"
        name = _exact_name(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    selects = not watch_prefix and verb in ("list", "watch", "deletecollection")
    return RequestInfo(
        path=path,
        verb=verb,
        is_resource=True,
        prefix=prefix,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        subresource=subresource,
        name=name,
        parts=tuple(rest),
        subpath=subpath,
        watch_prefix=watch_prefix,
        inside=inside,
        proxy_prefix=proxy_prefix,
        bad=bad,
        field_selector=query["fieldSelector"][0] if selects and "fieldSelector" in query else "",
        label_selector=query["labelSelector"][0] if selects and "labelSelector" in query else "",
        odd_name=dots or "%" in name,
        long_running=verb in ("watch", "proxy") or subresource in _LONG_RUNNING,
    )


def _bad_segment(raw_parts: list[str], parts: list[str], plain: bool) -> bool:
    for part in parts:
        if not part or part == "." or part == "..":
            return True
    return not plain and any("/" in part or "\0" in part for part in parts)


def _raw_tail(raw_path: str, count: int) -> str:
    """What follows the first `count` segments of a raw path, from its slash on."""
    at = len(raw_path) - len(raw_path.lstrip("/"))
    for _ in range(count):
        at = raw_path.find("/", at)
        if at < 0:
            return ""
        at += 1
    return raw_path[at - 1 :]


def _exact_name(query: dict[str, list[str]]) -> str:
    """The name that a field selector pins (metadata.name=x): authorisation may grant by it."""
    selector = query.get("fieldSelector")
    if not selector or "metadata.name" not in selector[0]:
        return ""
    try:
        name = parse_fields(selector[0]).exact("metadata.name") or ""
    except SelectorError:
        return ""
    return "" if "/" in name or "%" in name or name in (".", "..") else name
