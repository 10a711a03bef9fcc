"""Which FlowSchema a request belongs to: the rules of flowcontrol/v1 as predicates over the user and the request.

Callers keep the answers (see controller.py); this is the slow way, followed once per user and kind of request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiserver.authn.user import User
from apiserver.requestinfo import RequestInfo

_ACCOUNT = "system:serviceaccount:"


def matches(schema: dict[str, Any], user: User, info: RequestInfo) -> bool:
    """Does one of the FlowSchema's rules match?"""
    return any(_rule(rule, user, info) for rule in schema["spec"].get("rules") or ())


def _rule(rule: dict[str, Any], user: User, info: RequestInfo) -> bool:
    if not any(_subject(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if info.is_resource:
        return any(_resource(entry, info) for entry in rule.get("resourceRules") or ())
    return any(_path(entry, info) for entry in rule.get("nonResourceRules") or ())


def _subject(subject: dict[str, Any], user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        name = (subject.get("user") or {}).get("name")
        return bool(name == "*" or name == user.name)
    if kind == "Group":
        name = (subject.get("group") or {}).get("name")
        return bool(name == "*" or name in user.groups)
    if kind == "ServiceAccount":
        account = subject.get("serviceAccount") or {}
        namespace, name = account.get("namespace", ""), account.get("name", "")
        prefix = f"{_ACCOUNT}{namespace}:"
        return user.name.startswith(prefix) if name == "*" else user.name == prefix + name
    return False


def _among(value: str, values: Sequence[str]) -> bool:
    return value in values or (len(values) == 1 and values[0] == "*")


def _resource(rule: dict[str, Any], info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _among(info.verb, rule.get("verbs") or ())
        and _among(resource, rule.get("resources") or ())
        and _among(info.group, rule.get("apiGroups") or ())
    ):
        return False
    if not info.namespace:
        return bool(rule.get("clusterScope"))
    return _among(info.namespace, rule.get("namespaces") or ())


def _path(rule: dict[str, Any], info: RequestInfo) -> bool:
    if not _among(info.verb, rule.get("verbs") or ()):
        return False
    for url in rule.get("nonResourceURLs") or ():
        if url in ("*", info.path):
            return True
        prefix = url.removesuffix("*")
        if info.path.startswith(prefix if prefix.endswith("/") else prefix + "/"):
            return True
    return False


def distinguisher(schema: dict[str, Any], user: User, info: RequestInfo) -> str:
    """What tells the flows of a schema apart."""
    method = (schema["spec"].get("distinguisherMethod") or {}).get("type")
    return user.name if method == "ByUser" else info.namespace if method == "ByNamespace" else ""
