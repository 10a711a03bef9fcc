"""x-kubernetes-validations of custom resources when instances are written: transition rules, messages, ratcheting, costs.

    RuleTree.of(schema)                 None when a schema has no rules
    tree.check(obj, old)                (errors, warnings)

The tree is built when the first instance is written, since compiling takes a third of a millisecond a rule. A rule that fails
on data that did not change, and that does not look at the old data, gives a warning (ratcheting).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import field
from apimachinery.cel import schemas, values
from apimachinery.cel.errors import CostExceeded, EvalError
from apimachinery.cel.runtimecost import PER_CALL_LIMIT
from apimachinery.cel.schemas import DeclType
from apimachinery.field import FieldError
from apiserver.kinds.apiextensions.cel_rules import RULES, CompiledRule, Schema, compile_rule, environments
from openapi.correlation import Correlation, old_item

BUDGET = 10_000_000  # for all rules of one write
MAX_MESSAGE = 5 * 1024  # bytes that a messageExpression may make
ROOT = "<nil>"  # how the original names the root


class _Spent(Exception):
    """No further rule may run."""


class _Ratchet:
    """The correlation at a node, and the nearest one above it."""

    __slots__ = ("current", "parent")

    def __init__(self, current: Correlation | None, parent: Correlation | None) -> None:
        self.current = current
        self.parent = parent

    def unchanged(self) -> bool:
        found = self.current if self.current is not None else self.parent
        return found is not None and found.equal()

    def key(self, name: str) -> _Ratchet:
        if self.current is None:
            return self
        if self.parent is None and name in ("apiVersion", "kind"):
            return _NOTHING
        return _Ratchet(self.current.key(name), self.current)

    def item(self, position: int) -> _Ratchet:
        if self.current is None:
            return self
        return _Ratchet(self.current.item(position), self.current)

    def without_current(self) -> _Ratchet:
        return _Ratchet(None, self.parent)


_NOTHING = _Ratchet(None, None)


class _Run:
    """One check: what is left to spend, and what was found."""

    __slots__ = ("budget", "errors", "warnings")

    def __init__(self) -> None:
        self.budget = BUDGET
        self.errors: list[FieldError] = []
        self.warnings: list[str] = []

    def stop(self, error: FieldError) -> _Spent:
        self.errors.append(error)
        return _Spent()


class RuleTree:
    """The rules at and below a node of a schema."""

    __slots__ = ("additional", "all_of", "decl", "items", "properties", "rules", "schema")

    def __init__(self, schema: Schema, rules: list[CompiledRule], decl: DeclType | None) -> None:
        self.schema = schema
        self.rules = rules
        self.decl = decl
        self.items: RuleTree | None = None
        self.additional: RuleTree | None = None
        self.properties: dict[str, RuleTree] = {}
        self.all_of: list[RuleTree] = []

    @classmethod
    def of(cls, schema: Schema, *, root: bool = True) -> RuleTree | None:
        """The tree of a structural schema."""
        return _build(schema, schema, root)

    def check(
        self, obj: Any, old: Any = None, path: str = "", *, correlation: Correlation | None = None
    ) -> tuple[list[FieldError], list[str]]:
        """Errors, and, given a correlation, warnings for what was so before. old: None at creation. path: of the object."""
        run = _Run()
        ratchet = _NOTHING if correlation is None else _Ratchet(correlation, None)
        try:
            self._check(run, path, obj, old, ratchet)
        except _Spent:
            pass
        return run.errors, run.warnings

    def _check(self, run: _Run, path: str, obj: Any, old: Any, ratchet: _Ratchet) -> None:
        if obj is None:
            return
        if self.rules:
            self._run_rules(run, path or ROOT, obj, old, ratchet)
        for branch in self.all_of:
            branch._check(run, path, obj, old, ratchet.without_current())
        if isinstance(obj, list) and self.items is not None:
            for position, item in enumerate(obj):
                before = old_item(self.schema, old, item)
                self.items._check(run, field.index(path, position), item, before, ratchet.item(position))
        elif isinstance(obj, dict):
            before = old if isinstance(old, dict) else {}
            if self.additional is not None:
                for name, value in obj.items():
                    self.additional._check(run, field.key(path, name), value, before.get(name), ratchet.key(name))
            for name, tree in self.properties.items():
                if name in obj:
                    tree._check(run, field.child(path, name), obj[name], before.get(name), ratchet.key(name))

    # -- one node

    def _run_rules(self, run: _Run, path: str, obj: Any, old: Any, ratchet: _Ratchet) -> None:
        kind = self.schema.get("type", "")
        if self.decl is None:
            text = "rule compiler initialization error: failed to convert to declType for CEL validation rules"
            run.errors.append(field.invalid(path, kind, text))
            return
        if run.budget <= 0:
            raise run.stop(field.invalid(path, kind, _OUT_OF_BUDGET))
        plain: dict[str, Any] = {"self": self._value(obj)}
        optional = {**plain, "oldSelf": values.NONE}
        if old is not None:
            plain["oldSelf"] = self._value(old)
            optional["oldSelf"] = values.Optional(plain["oldSelf"])
        for rule in self.rules:
            if rule.error:
                run.errors.append(field.invalid(path, kind, f"rule compile error: {rule.error}"))
                continue
            is_optional = bool(rule.raw.get("optionalOldSelf"))
            if rule.program is None or (rule.uses_old and old is None and not is_optional):
                continue
            variables = optional if is_optional else plain
            if not _holds(run, rule, variables, path, kind):
                self._failed(run, rule, variables, path, obj, ratchet)

    def _value(self, data: Any) -> Any:
        assert self.decl is not None
        return self.decl.value(data)

    def _failed(
        self, run: _Run, rule: CompiledRule, variables: dict[str, Any], path: str, obj: Any, ratchet: _Ratchet
    ) -> None:
        where = path
        if rule.path:
            where = rule.path if path == ROOT else field.child(path, rule.path)
        kind = self.schema.get("type", "")
        detail = _message(run, rule, variables, where, kind) or _default_message(rule)
        value = field.OMITTED if kind in ("object", "array") else obj
        error = _error(rule.raw.get("reason"), where, value, detail)
        if not rule.uses_old and ratchet.unchanged():
            run.warnings.append(str(error))
        else:
            run.errors.append(error)


_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def _shown(rule: CompiledRule) -> str:
    """A rule as errors name it."""
    return str(rule.raw.get("message") or rule.raw.get("rule") or "").strip()


def _default_message(rule: CompiledRule) -> str:
    message = rule.raw.get("message")
    return str(message).strip() if message else f"failed rule: {_shown(rule)}"


def _holds(run: _Run, rule: CompiledRule, variables: dict[str, Any], path: str, kind: str) -> bool:
    """Whether a rule holds; errors of the evaluation are noted, and count as if it did."""
    assert rule.program is not None
    failure = ""
    value: Any = True
    try:
        value, cost = rule.program.eval(variables, PER_CALL_LIMIT)
    except CostExceeded as error:
        cost = error.cost
        if cost <= run.budget:
            text = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {_shown(rule)}"
            raise run.stop(field.invalid(path, kind, text)) from None
    except EvalError as error:
        cost, failure = error.cost, str(error)
    if cost > run.budget:
        raise run.stop(field.invalid(path, kind, _OUT_OF_BUDGET))
    run.budget -= cost
    if failure:
        if failure.startswith("no such overload"):
            text = f"'{failure}': call arguments did not match a supported operator, function or macro signature for rule: "
        else:
            text = f"{failure} evaluating rule: "
        run.errors.append(field.invalid(path, kind, text + _shown(rule)))
        return True
    return value is True


def _message(run: _Run, rule: CompiledRule, variables: dict[str, Any], path: str, kind: str) -> str:
    """What the messageExpression says; "" when there is none or it says nothing that can be shown."""
    if rule.message is None:
        return ""
    source = field.go_quote(rule.raw["messageExpression"])
    value: Any = None
    try:
        value, cost = rule.message.eval(variables, PER_CALL_LIMIT)
    except CostExceeded as error:
        cost = error.cost
        if cost <= run.budget:
            text = f"no further validation rules will be run due to call cost exceeds limit for messageExpression: {source}"
            raise run.stop(field.invalid(path, kind, text)) from None
    except EvalError as error:
        cost = error.cost
    if cost > run.budget:
        text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
        raise run.stop(field.invalid(path, kind, text))
    run.budget -= cost
    text = value.strip() if isinstance(value, str) else ""
    return "" if len(text.encode()) > MAX_MESSAGE or "\n" in text else text


def _error(reason: str | None, path: str, value: Any, detail: str) -> FieldError:
    if reason == "FieldValueForbidden":
        return field.forbidden(path, detail)
    if reason == "FieldValueRequired":
        return field.required(path, detail)
    if reason == "FieldValueDuplicate":
        return field.duplicate(path, value)
    return field.invalid(path, value, detail)


# -- building


def _build(rules: Schema, schema: Schema, root: bool) -> RuleTree | None:
    """rules: the schema or a branch of its allOf; schema: the node whose type counts."""
    decl = schemas.declare(schema, root=root) if rules.get(RULES) else None
    envs = environments(decl) if decl is not None else None
    compiled = [
        compile_rule(rule, schema, decl, envs) if decl is not None and envs is not None else CompiledRule(rule)
        for rule in rules.get(RULES) or ()
    ]
    tree = RuleTree(schema, compiled, decl)
    for name, below, child in _below(rules, schema):
        built = _build(below, child, child.get("x-kubernetes-embedded-resource") is True)
        if built is None:
            continue
        if name == "items":
            tree.items = built
        elif name == "additionalProperties":
            tree.additional = built
        else:
            tree.properties[name[1:]] = built
    for branch in rules.get("allOf") or ():
        built = _build(branch, schema, root)
        if built is not None:
            tree.all_of.append(built)
    used = compiled or tree.items or tree.additional or tree.properties or tree.all_of
    return tree if used else None


def _below(rules: Schema, schema: Schema) -> Iterator[tuple[str, Schema, Schema]]:
    """What is below both: ("items" | "additionalProperties" | ".name", rules, schema)."""
    for name in ("items", "additionalProperties"):
        if isinstance(rules.get(name), dict) and isinstance(schema.get(name), dict):
            yield name, rules[name], schema[name]
    properties = schema.get("properties") or {}
    for name, child in (rules.get("properties") or {}).items():
        if name in properties:
            yield f".{name}", child, properties[name]
