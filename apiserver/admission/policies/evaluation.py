"""A request as the expressions of policies see it, and their evaluation.

Authorisation checks inside of expressions have to wait, and expressions cannot: a check whose answer is not known yet ends the
evaluation, which begins again with the answer at hand. An expression can pay for two checks at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from apimachinery import selectors
from apimachinery.cel.errors import CostExceeded, EvalError
from apimachinery.cel.library.authz import Answer, Authorizer, Check, ResourceCheck
from apimachinery.cel.runtimecost import PER_CALL_LIMIT
from apimachinery.cel.values import MISSING, View
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes
from apiserver.admission.versions import kind_of, options
from apiserver.authn.user import User
from apiserver.authz import base as authz
from apiserver.registry.kind import Obj
from apiserver.validation.expressions import Expression

BUDGET = 10_000_000  # for the expressions of one policy and binding
CONDITIONS_BUDGET = 2_500_000  # for match conditions
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(Exception):
    """No further expression may run; the text is the original's."""


class _Pending(Exception):
    """A check that nobody has answered yet."""

    def __init__(self, check: Check) -> None:
        super().__init__(check)
        self.check = check


class Result(NamedTuple):
    """Of one expression: its value, or what went wrong."""

    expression: Expression
    value: Any
    error: str


class Decisions:
    """Answers of the authorizer, asked once each. For one request."""

    def __init__(self, authorizer: authz.Authorizer, user: User) -> None:
        self._authorizer = authorizer
        self._user = user
        self._known: dict[Check, Answer] = {}

    def known(self, check: Check) -> Answer:
        found = self._known.get(check)
        if found is None:
            raise _Pending(check)
        return found

    async def ask(self, check: Check) -> None:
        decision = await self._authorizer.authorize(self._attributes(check))
        self._known[check] = Answer(decision.allowed, decision.reason, decision.error)

    def _attributes(self, check: Check) -> authz.Attributes:
        user = self._user
        if check.service_account is not None:
            namespace, name = check.service_account
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(f"system:serviceaccount:{namespace}:{name}", groups=groups)
        if check.path:
            return authz.Attributes(user, check.verb, resource_request=False, path=check.path)
        return authz.Attributes(
            user,
            check.verb,
            group=check.group,
            version="*",
            plural=check.resource,
            subresource=check.subresource,
            namespace=check.namespace,
            name=check.name,
            field_selector=_fields(check.field_selector),
            label_selector=_labels(check.label_selector),
        )


def _fields(text: str) -> selectors.FieldSelector | None:
    try:
        return selectors.parse_fields(text) if text else None
    except selectors.SelectorError:
        return None


def _labels(text: str) -> selectors.LabelSelector | None:
    try:
        return selectors.parse_labels(text) if text else None
    except selectors.SelectorError:
        return None


class Seen(NamedTuple):
    """The request in the version that a policy or webhook matched it by."""

    group: str
    version: str
    plural: str
    obj: Obj | None
    old: Obj | None


def request(a: Attributes, seen: Seen) -> Obj:
    """The variable `request`; empty strings are absent."""
    group, version, kind = kind_of(a)
    matched = seen.version if a.kind is not None and kind == a.kind.kind else version
    out: Obj = {
        "uid": "",
        "kind": {"group": group, "version": matched, "kind": kind},
        "resource": {"group": seen.group, "version": seen.version, "resource": seen.plural},
        "requestKind": {"group": group, "version": version, "kind": kind},
        "requestResource": {"group": a.group, "version": a.version, "resource": a.plural},
        "operation": a.operation,
        "userInfo": _user(a.user),
        "dryRun": a.dry_run,
        "options": options(a),
    }
    optional = {
        "subResource": a.subresource,
        "requestSubResource": a.subresource,
        "name": a.name,
        "namespace": a.namespace or (a.name if (a.group, a.plural) == ("", "namespaces") else ""),
    }
    out.update({name: value for name, value in optional.items() if value})
    return out


def _user(user: User) -> Obj:
    out: Obj = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    if user.extra:
        out["extra"] = {key: list(values) for key, values in user.extra.items()}
    return {name: value for name, value in out.items() if value}


_SHOWN = (
    "name",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
)


def namespace_object(namespace: Obj | None) -> Obj | None:
    """What of its namespace a policy may see."""
    if namespace is None:
        return None
    metadata = namespace["metadata"]
    return {
        "metadata": {name: metadata[name] for name in _SHOWN if name in metadata},
        "spec": namespace.get("spec") or {},
        "status": namespace.get("status") or {},
    }


class _Variables(View):
    """The variable `variables`: each is evaluated when it is first read. cost: what that cost since it was last taken."""

    __slots__ = ("activation", "cost", "expressions", "values")

    def __init__(self, expressions: Mapping[str, Expression], activation: Mapping[str, Any]) -> None:
        self.expressions = expressions
        self.activation = activation
        self.values: dict[str, Any] = {}
        self.cost = 0

    def find(self, key: Any) -> Any:
        if key in self.values:
            return self.values[key]
        found = self.expressions.get(key)
        if found is None:
            return MISSING
        if found.program is None:
            raise EvalError(f"composited variable {go_quote(key)} fails to compile: {found.error}")
        try:
            value, cost = found.program.eval(self.activation, PER_CALL_LIMIT)
        except (EvalError, CostExceeded) as error:
            self.cost += error.cost
            raise EvalError(f"composited variable {go_quote(key)} fails to evaluate: {error}") from None
        self.cost += cost
        self.values[key] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.expressions)

    def __len__(self) -> int:
        return len(self.expressions)

    def raw(self) -> Any:
        return {name: self.find(name) for name in self.expressions}


@dataclass(slots=True)
class Evaluation:
    """One request seen by one policy with one set of parameters."""

    a: Attributes
    seen: Seen
    decisions: Decisions
    params: Obj | None = None
    namespace: Obj | None = None
    variables: Mapping[str, Expression] = field(default_factory=dict)

    async def run(
        self, expressions: Sequence[Expression], budget: int, *, authorizer: bool = True
    ) -> tuple[list[Result], int]:
        """The results, and what is left of the budget. OutOfBudget when there is not enough."""
        activation = self._activation(authorizer)
        results = []
        for expression in expressions:
            result, budget = await self._one(expression, activation, budget)
            results.append(result)
        return results, budget

    def _activation(self, authorizer: bool) -> dict[str, Any]:
        out: dict[str, Any] = {
            "object": self.seen.obj,
            "oldObject": self.seen.old,
            "params": self.params,
            "request": request(self.a, self.seen),
            "namespaceObject": namespace_object(self.namespace),
        }
        if authorizer:
            root = Check("")
            out["authorizer"] = Authorizer(self.decisions.known, root)
            out["authorizer.requestResource"] = ResourceCheck(self.decisions.known, self._own_check())
        out["variables"] = _Variables(self.variables, out)
        return out

    def _own_check(self) -> Check:
        a = self.a
        return Check(
            "",
            group=a.group,
            resource=a.plural,
            subresource=a.subresource,
            namespace=a.namespace or "",
            name=a.name,
        )

    async def _one(self, expression: Expression, activation: dict[str, Any], budget: int) -> tuple[Result, int]:
        if expression.program is None:
            return Result(expression, None, f"compilation error: {expression.error}"), budget
        value: Any = None
        error = ""
        while True:
            try:
                value, cost = expression.program.eval(activation, PER_CALL_LIMIT)
            except _Pending as pending:
                await self.decisions.ask(pending.check)
                continue
            except (EvalError, CostExceeded) as failure:
                cost = failure.cost
                error = f"expression '{expression.text}' resulted in error: {failure}"
            break
        variables: _Variables = activation["variables"]
        cost, variables.cost = cost + variables.cost, 0
        if cost > budget:
            raise OutOfBudget(OUT_OF_BUDGET)
        return Result(expression, value, error), budget - cost
