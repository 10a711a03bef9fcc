"""authorizer.group('').resource('pods').check('list').allowed(): authorization checks inside expressions.

The environment's host gives the variable `authorizer` an Authorizer with a callback; the callback decides, and is called
once per check().
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from apimachinery.cel import types
from apimachinery.cel.declarations import Overload, named
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import Opaque


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked. path: of a request outside the resources, "" for resources. service_account: (namespace, name) or None
    for the user of the request. Selectors are as written; one that does not parse is left out of the question."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided. error: of the decision itself, or ""."""

    allowed: bool
    reason: str = ""
    error: str = ""


Decide = Callable[[Check], Answer]


class _Value(Opaque):
    __slots__ = ("check", "decide")

    def __init__(self, decide: Decide, check: Check) -> None:
        self.decide = decide
        self.check = check

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and self.__class__ is other.__class__ and self.check == other.check

    def __hash__(self) -> int:
        return hash(self.check)


class Authorizer(_Value):
    """The value of the variable `authorizer`."""

    __slots__ = ()
    cel_type: ClassVar[types.Type] = named("Authorizer")

    def __init__(self, decide: Decide, check: Check | None = None) -> None:
        super().__init__(decide, check or Check(""))


class PathCheck(_Value):
    __slots__ = ()
    cel_type: ClassVar[types.Type] = named("PathCheck")


class GroupCheck(_Value):
    __slots__ = ()
    cel_type: ClassVar[types.Type] = named("GroupCheck")


class ResourceCheck(_Value):
    """Also the value of the variable `authorizer.requestResource`."""

    __slots__ = ()
    cel_type: ClassVar[types.Type] = named("ResourceCheck")


class Decision(Opaque):
    __slots__ = ("answer",)
    cel_type: ClassVar[types.Type] = named("Decision")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and self.answer == other.answer

    def __hash__(self) -> int:
        return hash(self.answer)


_LABEL = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise EvalError("path must not be empty")
    return PathCheck(authorizer.decide, replace(authorizer.check, path=path))


def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer.decide, replace(authorizer.check, group=group))


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        raise EvalError("Invalid service account name")
    if not _LABEL.fullmatch(namespace) or len(namespace) > 63:
        raise EvalError("Invalid service account namespace")
    return Authorizer(authorizer.decide, replace(authorizer.check, service_account=(namespace, name)))


def _resource(group: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvalError("resource must not be empty")
    return ResourceCheck(group.decide, replace(group.check, resource=resource))


def _with(field: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    def change(check: ResourceCheck, value: str) -> ResourceCheck:
        changed: dict[str, Any] = {field: value}
        return ResourceCheck(check.decide, replace(check.check, **changed))

    return change


def _check(check: _Value, verb: str) -> Decision:
    return Decision(check.decide(replace(check.check, verb=verb)))


OVERLOADS = [
    Overload("path", "authorizer_path", "Authorizer.(string) PathCheck", _path),
    Overload("group", "authorizer_group", "Authorizer.(string) GroupCheck", _group),
    Overload("serviceAccount", "authorizer_serviceaccount", "Authorizer.(string, string) Authorizer", _service_account),
    Overload("resource", "groupcheck_resource", "GroupCheck.(string) ResourceCheck", _resource),
    *(
        Overload(name, f"resourcecheck_{name}", "ResourceCheck.(string) ResourceCheck", _with(name))
        for name in ("subresource", "namespace", "name")
    ),
    Overload("check", "pathcheck_check", "PathCheck.(string) Decision", _check),
    Overload("check", "resourcecheck_check", "ResourceCheck.(string) Decision", _check),
    Overload("errored", "decision_errored", "Decision.() bool", lambda decision: bool(decision.answer.error)),
    Overload("error", "decision_error", "Decision.() string", lambda decision: decision.answer.error),
    Overload("allowed", "decision_allowed", "Decision.() bool", lambda decision: decision.answer.allowed),
    Overload("reason", "decision_reason", "Decision.() string", lambda decision: decision.answer.reason),
    Overload(
        "fieldSelector", "authorizer_fieldselector", "ResourceCheck.(string) ResourceCheck", _with("field_selector")
    ),
    Overload(
        "labelSelector", "authorizer_labelselector", "ResourceCheck.(string) ResourceCheck", _with("label_selector")
    ),
]
