"""x-kubernetes-validations: rules compiled against their schema, and what a definition is told about them.

    compile_rule(rule, schema, decl)     one rule, ready to run, with its static costs and errors
    check(schema, path, taken)           the errors of all rules of a version's schema

Called by schema_rules (when a definition is written) and by registry/crd_rules (when instances are).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from apimachinery import field
from apimachinery.cel import schemas, types
from apimachinery.cel.env import Checked, Env, Program
from apimachinery.cel.errors import CompileError, ProgramError
from apimachinery.cel.schemas import DeclaredSizes, DeclType, SchemaTypes
from apimachinery.field import FieldError
from apiserver.kinds.apiextensions import field_paths

Schema = dict[str, Any]
RULES = "x-kubernetes-validations"
EXPRESSION_LIMIT = 10_000_000  # static cost of one rule
DEFINITION_LIMIT = 100_000_000  # static cost of all rules of a version
_UNLIMITED = 2**64 - 1
_SHOWN = 4  # of the most expensive rules


@dataclass(slots=True)
class CompiledRule:
    """A rule. program, message: None when there is none or it does not compile; error, message_error: why."""

    raw: Schema
    program: Program | None = None
    message: Program | None = None
    error: str = ""
    message_error: str = ""
    uses_old: bool = False
    cost: int = 0
    message_cost: int = 0
    path: str = ""


def environments(decl: DeclType) -> tuple[Env, Env]:
    """The environment of rules, and that of rules with optionalOldSelf."""
    provider = SchemaTypes(decl)
    plain = Env({"self": decl.type, "oldSelf": decl.type}, provider)
    return plain, Env({"self": decl.type, "oldSelf": types.optional_of(decl.type)}, provider)


def compile_rule(rule: Schema, schema: Schema, decl: DeclType, envs: tuple[Env, Env]) -> CompiledRule:
    """Never raises: what is wrong is in the result."""
    out = CompiledRule(rule)
    text = rule.get("rule") or ""
    if not text.strip():
        return out
    env = envs[1] if rule.get("optionalOldSelf") else envs[0]
    try:
        checked = env.compile(text)
    except CompileError as error:
        out.error = f"compilation failed: {error}"
        return out
    if checked.type != types.BOOL_TYPE:
        out.error = "cel expression must evaluate to a bool"
        return out
    out.uses_old = "oldSelf" in checked.uses
    try:
        out.program = checked.program()
    except ProgramError as error:
        out.error = f"program instantiation failed: {error}"
        return out
    sizes = DeclaredSizes(decl)
    out.cost = checked.cost(sizes).max
    if rule.get("messageExpression"):
        _compile_message(out, env, sizes)
    if rule.get("fieldPath"):
        out.path = field_paths.shown(rule["fieldPath"], schema)
    return out


def _compile_message(out: CompiledRule, env: Env, sizes: DeclaredSizes) -> None:
    try:
        checked: Checked = env.compile(out.raw["messageExpression"])
    except CompileError as error:
        out.message_error = f"messageExpression compilation failed: {error}"
        return
    if checked.type != types.STRING_TYPE:
        out.message_error = "messageExpression must evaluate to a string"
        return
    try:
        out.message = checked.program()
    except ProgramError as error:
        out.message_error = f"messageExpression instantiation failed: {error}"
        return
    out.message_cost = checked.cost(sizes).max


# -- what a definition is told


def check(schema: Schema, path: str, taken: list[FieldError], *, suppress_cost: bool = False) -> list[FieldError]:
    """The errors of the rules in a schema and below.

    taken: the errors of the schema itself; rules of a part that has some are left alone. suppress_cost: of rules that were
    there before, whose cost is not held against them now.
    """
    if not _has_rules(schema):
        return []
    checker = _Check(taken, suppress_cost)
    checker.visit(schema, path, root=True, limit=1, uncorrelated="")
    return checker.errors + checker.total_errors(path)


def _has_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(_has_rules(child) for child in schema.values())
    return isinstance(schema, list) and any(_has_rules(child) for child in schema)


class _Check:
    def __init__(self, taken: list[FieldError], suppress_cost: bool) -> None:
        self.taken = [error.field for error in taken]
        self.suppress = suppress_cost
        self.errors: list[FieldError] = []
        self.total = 0
        self.expensive: list[tuple[int, str]] = []

    def visit(self, schema: Any, path: str, *, root: bool, limit: int | None, uncorrelated: str) -> None:
        """limit: how often the data can occur, None when nothing bounds that."""
        if not isinstance(schema, dict):
            return
        below = _times(limit, schema)
        additional = schema.get("additionalProperties")
        self.visit(additional, f"{path}.additionalProperties", root=False, limit=below, uncorrelated=uncorrelated)
        within = uncorrelated
        if schema.get("x-kubernetes-map-type") not in (None, "granular", "atomic"):
            within = path
        for name, child in (schema.get("properties") or {}).items():
            self.visit(child, f"{path}.properties[{name}]", root=False, limit=below, uncorrelated=within)
        within = uncorrelated if schema.get("x-kubernetes-list-type") == "map" else path
        self.visit(schema.get("items"), f"{path}.items", root=False, limit=below, uncorrelated=within)
        if schema.get(RULES) and not any(where.startswith(path) for where in self.taken):
            self.rules(schema, path, root=root, limit=limit, uncorrelated=uncorrelated)

    def rules(self, schema: Schema, path: str, *, root: bool, limit: int | None, uncorrelated: str) -> None:
        root = root or schema.get("x-kubernetes-embedded-resource") is True
        decl = schemas.declare(schema, root=root)
        if decl is None:
            text = (
                "internal error: failed to construct type information for x-kubernetes-validations rules: "
                "unable to convert structural schema to CEL declarations"
            )
            self.errors.append(field.internal(f"{path}.{RULES}", text))
            return
        times = limit if limit is not None else schemas.max_cardinality(decl.min_size)
        envs = environments(decl)
        for position, rule in enumerate(schema[RULES]):
            where = f"{path}.{RULES}[{position}]"
            self.rule(compile_rule(rule, schema, decl, envs), where, times, uncorrelated)

    def rule(self, rule: CompiledRule, where: str, times: int, uncorrelated: str) -> None:
        self.cost(f"{where}.rule", "estimated rule cost", min(rule.cost * times, _UNLIMITED))
        if rule.error:
            self.errors.append(field.invalid(f"{where}.rule", _drawn(rule.raw), rule.error))
        if rule.message_error:
            self.errors.append(field.invalid(f"{where}.messageExpression", _drawn(rule.raw), rule.message_error))
        elif rule.message is not None:
            self.cost(f"{where}.messageExpression", "estimated messageExpression cost", rule.message_cost)
        if rule.uses_old:
            if uncorrelated:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                self.errors.append(field.invalid(f"{where}.rule", rule.raw.get("rule") or "", text))
        elif rule.raw.get("optionalOldSelf") is not None:
            text = "may not be set if oldSelf is not used in rule"
            self.errors.append(field.invalid(f"{where}.optionalOldSelf", rule.raw["optionalOldSelf"], text))

    def cost(self, where: str, name: str, cost: int) -> None:
        if cost > EXPRESSION_LIMIT and not self.suppress:
            self.errors.append(field.forbidden(where, _cost_text(name, cost, EXPRESSION_LIMIT)))
        self.total = min(self.total + cost, _UNLIMITED)
        if cost >= DEFINITION_LIMIT // 100:
            self.expensive.append((cost, where))

    def total_errors(self, path: str) -> list[FieldError]:
        if self.total <= DEFINITION_LIMIT:
            return []
        most = sorted(self.expensive, key=lambda pair: -pair[0])[:_SHOWN]
        text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        return [
            *(field.forbidden(where, text) for _, where in most),
            field.forbidden(path, _cost_text(name, self.total, DEFINITION_LIMIT)),
        ]


def _times(limit: int | None, schema: Schema) -> int | None:
    """How often what is directly below a schema can occur."""
    if limit is None:
        return None
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not None:
        most = schema.get("maxProperties")
    elif kind == "array":
        most = schema.get("maxItems")
    else:
        return limit
    return None if most is None else min(limit * max(int(most), 0), _UNLIMITED)


def _cost_text(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


_INTERNAL_NAMES = ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")


def _drawn(rule: Schema) -> Any:
    """A rule as the original's internal type has it, which is what its errors show."""
    out: dict[str, Any] = {}
    for name in _INTERNAL_NAMES:
        value = rule.get(name[0].lower() + name[1:])
        out[name] = value if value is not None or name in ("Reason", "OptionalOldSelf") else ""
    return out


def digest(schema: Any) -> str:
    """Equal for schemas that are the same."""
    return json.dumps(schema, sort_keys=True)
