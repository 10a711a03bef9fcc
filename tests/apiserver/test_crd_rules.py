"""x-kubernetes-validations: rules of custom resources, on instances and in definitions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apiserver.kinds.apiextensions import cel_rules, field_paths
from apiserver.registry.crd_rules import RuleTree
from openapi.correlation import Correlation

Schema = dict[str, Any]
RULES = "x-kubernetes-validations"
INT: Schema = {"type": "integer"}
STRING: Schema = {"type": "string"}


def rule(text: str, **more: Any) -> Schema:
    return {"rule": text, **more}


def obj(*rules: Schema, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, RULES: list(rules)}


def check(schema: Schema, data: Any, old: Any = None) -> tuple[list[str], list[str]]:
    """(errors, warnings)"""
    whole = {"type": "object", "properties": {"spec": schema}}
    tree = RuleTree.of(whole, root=True)
    assert tree is not None
    new, before = {"spec": data}, {"spec": old} if old is not None else None
    correlation = Correlation(new, before, whole) if before is not None else None
    errors, warnings = tree.check(new, before, correlation=correlation)
    return [str(error) for error in errors], warnings


def errors(schema: Schema, data: Any, old: Any = None) -> list[str]:
    found, warnings = check(schema, data, old)
    assert warnings == []
    return found


def test_a_rule() -> None:
    schema = obj(rule("self.least <= self.most", message="least is more than most"), least=INT, most=INT)
    assert errors(schema, {"least": 1, "most": 2}) == []
    assert errors(schema, {"least": 3, "most": 2}) == ["spec: Invalid value: least is more than most"]


def test_a_rule_without_a_message_shows_itself() -> None:
    assert errors({**INT, RULES: [rule("self > 1")]}, 1) == ["spec: Invalid value: 1: failed rule: self > 1"]


def test_rules_at_every_level() -> None:
    item = {**STRING, RULES: [rule("self.startsWith('a')", message="no a")]}
    schema = obj(
        rule("true"), items={"type": "array", "items": item}, by={"type": "object", "additionalProperties": item}
    )
    assert errors(schema, {"items": ["a", "b"], "by": {"k": "c"}}) == [
        'spec.items[1]: Invalid value: "b": no a',
        'spec.by[k]: Invalid value: "c": no a',
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"message": "m", "reason": "FieldValueForbidden"}, "spec: Forbidden: m"),
        ({"message": "m", "reason": "FieldValueRequired"}, "spec: Required value: m"),
        ({"message": "m", "fieldPath": ".a"}, "spec.a: Invalid value: m"),
        ({"message": "m", "fieldPath": ".map['key']"}, "spec.map[key]: Invalid value: m"),
        ({"messageExpression": "'a is ' + string(self.a)"}, "spec: Invalid value: a is 1"),
        ({"message": "m", "messageExpression": "self.map['gone']"}, "spec: Invalid value: m"),
        ({"message": "m", "messageExpression": "'two\\nlines'"}, "spec: Invalid value: m"),
    ],
)
def test_what_a_broken_rule_says(more: Schema, expected: str) -> None:
    schema = obj(rule("self.a > 1", **more), a=INT, map={"type": "object", "additionalProperties": STRING})
    assert errors(schema, {"a": 1, "map": {}}) == [expected]


def test_evaluation_errors() -> None:
    schema = obj(rule("self.a / self.b == 1"), a=INT, b=INT)
    assert errors(schema, {"a": 1, "b": 0}) == [
        'spec: Invalid value: "object": division by zero evaluating rule: self.a / self.b == 1'
    ]
    assert errors(schema, {"a": 1}) == [
        'spec: Invalid value: "object": no such key: b evaluating rule: self.a / self.b == 1'
    ]


def test_rules_about_a_transition_run_only_on_updates() -> None:
    schema = {**INT, RULES: [rule("self >= oldSelf", message="only up")]}
    assert errors(schema, 1) == []
    assert errors(schema, 2, 1) == []
    assert errors(schema, 1, 2) == ["spec: Invalid value: 1: only up"]


def test_rules_about_a_transition_that_run_always() -> None:
    schema = {**INT, RULES: [rule("oldSelf.hasValue() || self == 0", optionalOldSelf=True, message="begin at 0")]}
    assert errors(schema, 5) == ["spec: Invalid value: 5: begin at 0"]
    assert errors(schema, 0) == []
    assert errors(schema, 5, 4) == []


def test_items_of_keyed_lists_are_found_again() -> None:
    items = obj(rule("self.v >= oldSelf.v", message="only up"), k=STRING, v=INT)
    keyed = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    old = [{"k": "a", "v": 1}, {"k": "b", "v": 5}]
    assert errors(keyed, [{"k": "b", "v": 6}, {"k": "a", "v": 0}, {"k": "new", "v": 0}], old) == [
        "spec[1]: Invalid value: only up"
    ]
    assert errors({"type": "array", "items": items}, [{"k": "a", "v": 0}], old) == [], "atomic lists have no old items"


def test_what_was_wrong_before_and_has_not_changed_is_only_warned_of() -> None:
    schema = obj(
        rule("self.a > 1", message="of the whole"),
        a={**INT, RULES: [rule("self > 1", message="too small")]},
        b=INT,
    )
    old = {"a": 1, "b": 1}
    assert check(schema, old, old)[0] == []
    assert len(check(schema, old, old)[1]) == 2
    found, warnings = check(schema, {"a": 1, "b": 2}, old)
    assert found == ["spec: Invalid value: of the whole"]
    assert warnings == ["spec.a: Invalid value: 1: too small"]
    assert len(check(schema, {"a": 0, "b": 1}, old)[0]) == 2


def test_transitions_are_never_only_warned_of() -> None:
    schema = {**INT, RULES: [rule("self > oldSelf", message="up")]}
    assert errors(schema, 1, 1) == ["spec: Invalid value: 1: up"]


def test_rules_of_branches() -> None:
    schema = {**obj(a=INT), "allOf": [{"properties": {"a": {RULES: [rule("self > 1", message="m")]}}}]}
    assert errors(schema, {"a": 1}) == ["spec.a: Invalid value: 1: m"]


def test_a_rule_that_costs_too_much_ends_the_validation() -> None:
    schema = obj(
        rule("self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"),
        rule("false", message="never reached"),
        l={"type": "array", "items": INT},
    )
    (found,) = errors(schema, {"l": list(range(200))})
    assert (
        "actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit" in found
    )


def test_all_rules_together_have_a_budget() -> None:
    item = {"type": "array", "items": INT, RULES: [rule("self.all(a, self.all(b, a + b >= 0))")]}
    found = errors({"type": "array", "items": item}, [list(range(200))] * 60)
    assert found[-1].endswith(
        "validation failed due to running out of cost budget, no further validation rules will be run"
    )
    assert len(found) == 1


# -- definitions


def complaints(schema: Schema) -> list[str]:
    return [str(error) for error in cel_rules.check(schema, "schema", [])]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (obj(rule("self.a + 'x' == 1"), a=INT), "found no matching overload for '_+_' applied to '(int, string)'"),
        (obj(rule("self.b == 1"), a=INT), "undefined field 'b'"),
        (obj(rule("self.a"), a=INT), "must evaluate to a bool"),
        (obj(rule("true", messageExpression="self.a"), a=INT), "must evaluate to a string"),
        (obj(rule("true", messageExpression="self.b"), a=INT), "undefined field 'b'"),
        (obj(rule("oldSelf.a == self.a", optionalOldSelf=True), a=INT), "found no matching overload for '_==_'"),
        (obj(rule("self.a == 1", optionalOldSelf=True), a=INT), "may not be set if oldSelf is not used in rule"),
    ],
)
def test_rules_that_do_not_compile(schema: Schema, expected: str) -> None:
    assert any(expected in line for line in complaints(schema)), complaints(schema)


def test_field_paths() -> None:
    schema = obj(a=INT, m={"type": "object", "additionalProperties": STRING})
    assert field_paths.resolve(".a", schema) == ("a", INT)
    assert field_paths.resolve(".m['it\\'s']", schema) == ("m[it's]", STRING)
    for wrong, why in (
        (".b", "does not refer to a valid field"),
        ("a", "expected [ or . but got: a"),
        (".a.b", "does not refer to a valid field"),
        (".m[x]", "expected single quoted string but got x"),
        (".m['x'", "unexpected end of JSON path"),
        (".m['x'.", "expected ] but got ."),
        (".m['\\x']", "invalid string literal: invalid escape char \\x"),
        (".", "unexpected end of JSON path"),
    ):
        with pytest.raises(field_paths.BadPath, match=re.escape(why)):
            field_paths.resolve(wrong, schema)
    with pytest.raises(field_paths.BadPath, match="array notation is not allowed"):
        field_paths.resolve(".m['x']", schema, arrays=False)


def test_costs_are_limited() -> None:
    nested = "self.all(a, self.all(b, self.all(c, a == b || b == c)))"
    strings = {"type": "array", "items": STRING, RULES: [rule(nested)]}
    found = complaints(obj(l=strings))
    assert any("estimated rule cost exceeds budget by factor of more than 100x" in line for line in found), found
    assert any("contributed to estimated rule cost total exceeding cost limit" in line for line in found), found
    bounded = {**strings, "maxItems": 5, "items": {**STRING, "maxLength": 10}}
    assert complaints(obj(l=bounded)) == []
