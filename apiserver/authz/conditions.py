"""matchConditions of authorization webhooks: CEL expressions over a SubjectAccessReview's spec that all have to be true.

problems, conditions = check(["request.user == 'x'"], path)      compiled once, when the configuration is read
conditions.hold(spec)                                            ConditionsFailed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from apimachinery import field
from apimachinery.cel import types
from apimachinery.cel.admission import Structs
from apimachinery.cel.env import Env, Program
from apimachinery.cel.errors import CompileError, CostExceeded, EvalError, ProgramError
from apimachinery.cel.types import Type
from apimachinery.field import FieldError
from apiserver.configscheme import aggregate
from apiserver.validation.expressions import text

_MOST = 64
S, STRINGS = types.STRING_TYPE, types.list_of(types.STRING_TYPE)


def _struct(name: str) -> Type:
    return types.struct(f"kubernetes.{name}")


_SELECTOR = {"rawSelector": S, "requirements": types.list_of(_struct("SelectorRequirement"))}
_STRUCTS: dict[str, dict[str, Type]] = {
    "SubjectAccessReviewSpec": {
        "resourceAttributes": _struct("ResourceAttributes"),
        "nonResourceAttributes": _struct("NonResourceAttributes"),
        "user": S,
        "groups": STRINGS,
        "extra": types.map_of(S, STRINGS),
        "uid": S,
    },
    "ResourceAttributes": {
        **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), S),
        "fieldSelector": _struct("FieldSelectorAttributes"),
        "labelSelector": _struct("LabelSelectorAttributes"),
    },
    "FieldSelectorAttributes": _SELECTOR,
    "LabelSelectorAttributes": _SELECTOR,
    "SelectorRequirement": {"key": S, "operator": S, "values": STRINGS},
    "NonResourceAttributes": {"path": S, "verb": S},
}


@cache
def _env() -> Env:
    structs = Structs({f"kubernetes.{name}": fields for name, fields in _STRUCTS.items()})
    return Env({"request": _struct("SubjectAccessReviewSpec")}, structs)


class ConditionsFailed(Exception):
    """Whether the conditions hold cannot be told."""


class Conditions:
    """Compiled expressions; never none."""

    def __init__(self, programs: Sequence[tuple[str, Program]]) -> None:
        self._programs = tuple(programs)

    def hold(self, request: Mapping[str, Any]) -> bool:
        """Whether all are true. A false one decides, whatever failed before; else ConditionsFailed."""
        problems = []
        variables = {"request": request}
        for expression, program in self._programs:
            try:
                value, _ = program.eval(variables)
            except (EvalError, CostExceeded) as error:
                problems.append(f"cel evaluation error: expression '{expression}' resulted in error: {error}")
                continue
            if value is False:
                return False
        if problems:
            raise ConditionsFailed(aggregate(problems))
        return True


def check(expressions: Sequence[str], path: str) -> tuple[list[FieldError], Conditions | None]:
    """What is wrong with them, and what is left to evaluate (None: nothing)."""
    if len(expressions) > _MOST:
        return [field.too_many(path, len(expressions), _MOST)], None
    problems: list[FieldError] = []
    programs = []
    seen: set[str] = set()
    for at, expression in enumerate(expressions):
        where = f"{path}[{at}].expression"
        if not expression.strip():
            problems.append(field.required(where))
            continue
        if expression in seen:
            problems.append(field.duplicate(where, expression))
            continue
        seen.add(expression)
        found = _compile(expression, where)
        if isinstance(found, FieldError):
            problems.append(found)
        else:
            programs.append((expression, found))
    return problems, Conditions(programs) if programs else None


def _compile(expression: str, where: str) -> Program | FieldError:
    try:
        checked = _env().compile(expression)
    except CompileError as error:
        return field.invalid(where, expression, f"compilation failed: {error}")
    if checked.type != types.BOOL_TYPE:
        return field.invalid(where, expression, f"must evaluate to bool but got {text(checked.type)}")
    try:
        return checked.program()
    except ProgramError as error:
        return field.internal(where, f"program instantiation failed: {error}")
