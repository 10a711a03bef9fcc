"""What is looked at after the types are right: constants that cannot be what they are used as, mixed lists and maps."""

from __future__ import annotations

from apimachinery.cel import types
from apimachinery.cel.errors import EvalError, Issues
from apimachinery.cel.library import regex, stringformat
from apimachinery.cel.syntax import Call, ListNode, Literal, MapNode, Node, children
from apimachinery.cel.timevalues import Duration, Timestamp
from apimachinery.cel.types import Type


def check(node: Node, issues: Issues) -> None:
    """Add what is wrong to the issues."""
    pending = [(node, False)]
    while pending:
        current, exempt = pending.pop()
        if isinstance(current, Call):
            _check_call(current, issues)
            exempt = exempt or current.function == "format"
        elif isinstance(current, ListNode) and not exempt:
            _check_list(current, issues)
        elif isinstance(current, MapNode) and not exempt:
            _check_map(current, issues)
        pending.extend((child, exempt) for child in children(current))


def _check_call(node: Call, issues: Issues) -> None:
    if node.function == "format":
        stringformat.check(node, issues.add)
    if node.function not in ("duration", "timestamp", "matches") or not node.args:
        return
    arg = node.args[0]
    if isinstance(arg, Literal) and not _possible(node.function, arg.value):
        issues.add(arg.at, f"invalid {node.function} argument")


def _possible(function: str, value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        if function == "duration":
            return Duration.parse(value) is not None
        if function == "timestamp":
            return Timestamp.parse(value) is not None
        regex.pattern(value)
    except EvalError:
        return False
    return True


def _mismatch(issues: Issues, at: int, expected: Type, actual: Type) -> None:
    issues.add(at, f"expected type '{types.draw(expected)}' but found '{types.draw(actual)}'")


def _inner(node: Node, optional: bool) -> Type:
    return types.unwrap_optional(node.type)[0] if optional else node.type


def _check_list(node: ListNode, issues: Issues) -> None:
    first: Type | None = None
    for position, element in enumerate(node.elements):
        found = _inner(element, position in node.optional)
        if first is None:
            first = found
        elif found != first:
            _mismatch(issues, element.at, first, found)
            return


def _check_map(node: MapNode, issues: Issues) -> None:
    first: tuple[Type, Type] | None = None
    for entry in node.entries:
        key, value = entry.key.type, _inner(entry.value, entry.optional)
        if first is None:
            first = key, value
            continue
        if key != first[0]:
            _mismatch(issues, entry.key.at, first[0], key)
        if value != first[1]:
            _mismatch(issues, entry.value.at, first[1], value)
