"""What an authorizer is, what it is asked, and what it answers.

    class Authorizer:                          one file each, listed in apiserver/authz/service.py
        async def authorize(self, a) -> Decision
        async def rules(self, user, namespace) -> Rules         what it would allow, as far as it can tell

An authorizer that has no opinion passes the question on; the first that allows or denies decides; when nobody decides,
the request is forbidden with the reasons of all who had none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apimachinery.selectors import FieldSelector, LabelSelector
from apiserver.authn.user import User

Verdict = Literal["allow", "deny", "none"]


@dataclass(frozen=True, slots=True)
class Attributes:
    """A request as authorisation sees it.

    verb: "get", "list", "create", ... for resources, the lower-case HTTP method otherwise. plural: the resource's path
    segment. namespace, name: "" when there is none. resource_request: False for paths outside /api and /apis, which
    have `path` alone. field_selector, label_selector: None when absent or unparsable.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    resource_request: bool = True
    path: str = ""
    field_selector: FieldSelector | None = None
    label_selector: LabelSelector | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """verdict; reason as the client may see it; error: what went wrong while deciding ("" usually)."""

    verdict: Verdict
    reason: str = ""
    error: str = ""

    @property
    def allowed(self) -> bool:
        return self.verdict == "allow"


NO_OPINION = Decision("none")


@dataclass(frozen=True, slots=True)
class Rules:
    """What an authorizer allows a user: resource rules and path rules as SelfSubjectRulesReview shows them.

    incomplete: it may allow more. problems: what could not be found out.
    """

    resources: Sequence[dict[str, Any]] = ()
    paths: Sequence[dict[str, Any]] = ()
    incomplete: bool = False
    problems: Sequence[str] = ()


class Authorizer(Protocol):
    """What others ask of authorization as a whole."""

    async def authorize(self, a: Attributes) -> Decision: ...


class Resolver(Authorizer, Protocol):
    """One authorizer of the chain."""

    async def rules(self, user: User, namespace: str) -> Rules: ...


def sanitize(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cannot(a: Attributes) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "y"`: how every refusal begins."""
    who = go_quote(a.user.name)
    if not a.resource_request:
        return sanitize(f"User {who} cannot {a.verb} path {go_quote(a.path)}")
    what = f"{a.plural}/{a.subresource}" if a.subresource else a.plural
    scope = f"in the namespace {go_quote(a.namespace)}" if a.namespace else "at the cluster scope"
    return sanitize(f"User {who} cannot {a.verb} resource {go_quote(what)} in API group {go_quote(a.group)} {scope}")


def forbidden(a: Attributes, reason: str = "") -> ApiError:
    """The 403 that a refused request is answered with."""
    text = f"{cannot(a)}: {reason}" if reason else cannot(a)
    return errors.forbidden(a.group, a.plural, a.name, text)
