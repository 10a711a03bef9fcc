"""url("https://...") and its parts, as Go's net/url splits them (request URIs: absolute, or a path)."""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from apimachinery import memo
from apimachinery.cel import types
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import Opaque
from apimachinery.field import go_quote

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_HOST_CHARS = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff]*")
_PATH_SAFE = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@/\[\]%]*")


class URL(Opaque):
    """raw_path: still escaped."""

    __slots__ = ("host", "query", "raw_path", "scheme", "text")
    cel_type: ClassVar[types.Type] = types.URL

    def __init__(self, text: str, scheme: str, host: str, raw_path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.raw_path = raw_path
        self.query = query

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _refusal(text: str, problem: str) -> EvalError:
    return EvalError(f"URL parse error during conversion from string: parse {go_quote(text)}: {problem}")


@memo.short(256)
def parse(text: str) -> URL:
    """The URL; EvalError in Go's words for what is no request URI."""
    if not text:
        raise _refusal(text, "empty url")
    if any(char < " " or char == "\x7f" for char in text):
        raise _refusal(text, "net/url: invalid control character in URL")
    scheme, rest = _split_scheme(text)
    before, _, _fragment = rest.partition("#")
    path, _, query = before.partition("?")
    if not path.startswith("/"):
        if scheme:  # an opaque URL (mailto:x) has no path
            return URL(text, scheme, "", "", query)
        raise _refusal(text, "invalid URI for request")
    host = ""
    if path.startswith("//") and (scheme or not path.startswith("///")):
        authority, slash, path = path[2:].partition("/")
        path = slash + path
        host = _host(text, authority)
    bad = _BAD_ESCAPE.search(path)
    if bad is not None:
        raise _refusal(text, f"invalid URL escape {go_quote(bad[0])}")
    return URL(text, scheme.lower(), host, path, query)


def _split_scheme(text: str) -> tuple[str, str]:
    head, colon, rest = text.partition(":")
    if colon and not head:
        raise _refusal(text, "missing protocol scheme")
    if colon and _SCHEME.fullmatch(head):
        return head, rest
    first_segment = text.split("/", 1)[0]
    if ":" in first_segment and not text.startswith("/"):
        raise _refusal(text, "first path segment in URL cannot contain colon")
    return "", text


def _host(text: str, authority: str) -> str:
    user, at, host = authority.rpartition("@")
    if at and not re.fullmatch(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", user):
        raise _refusal(text, "net/url: invalid userinfo")
    if host.startswith("["):
        closing = host.rfind("]")
        if closing < 0:
            raise _refusal(text, "missing ']' in host")
        port = host[closing + 1 :]
    else:
        port = host[host.rfind(":") :] if ":" in host else ""
    if port and not (port.startswith(":") and (port[1:].isdigit() or port == ":")):
        raise _refusal(text, f"invalid port {go_quote(port)} after host")
    bad = next((char for char in host if not _HOST_CHARS.fullmatch(char)), None)
    if bad is not None:
        raise _refusal(text, f"invalid character {go_quote(bad)} in host name")
    return host if "%" not in host else unquote_to_bytes(host).decode("utf-8", "replace")


def is_url(text: str) -> bool:
    try:
        parse(text)
    except EvalError:
        return False
    return True


def _hostname(url: URL) -> str:
    host = url.host
    if host.startswith("["):
        return host[1 : host.rfind("]")]
    return host.rpartition(":")[0] if ":" in host else host


def _port(url: URL) -> str:
    host = url.host
    if host.startswith("["):
        host = host[host.rfind("]") + 1 :]
    return host.rpartition(":")[2] if ":" in host else ""


def _escaped_path(url: URL) -> str:
    if _PATH_SAFE.fullmatch(url.raw_path):
        return url.raw_path
    out = []
    for char in url.raw_path:
        safe = char == "%" or _PATH_SAFE.fullmatch(char)
        out.append(char if safe else "".join(f"%{byte:02X}" for byte in char.encode()))
    return "".join(out)


def _unescape(text: str) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def _query(url: URL) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        if not pair or ";" in pair:
            continue
        raw_name, _, raw_value = pair.partition("=")
        name, value = _unescape(raw_name), _unescape(raw_value)
        if name is not None and value is not None:
            out.setdefault(name, []).append(value)
    return out


OVERLOADS = [
    Overload("url", "string_to_url", "(string) url", parse),
    Overload("getScheme", "url_get_scheme", "url.() string", lambda url: url.scheme),
    Overload("getHost", "url_get_host", "url.() string", lambda url: url.host),
    Overload("getHostname", "url_get_hostname", "url.() string", _hostname),
    Overload("getPort", "url_get_port", "url.() string", _port),
    Overload("getEscapedPath", "url_get_escaped_path", "url.() string", _escaped_path),
    Overload("getQuery", "url_get_query", "url.() map(string, list(string))", _query),
    Overload("isURL", "is_url_string", "(string) bool", is_url),
]
