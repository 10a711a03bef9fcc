"""JSONPath as printer columns use it: .spec.replicas, .status.conditions[?(@.type=="Ready")].status, .spec.ports[*].port.

The original's client-go/util/jsonpath, as far as a path can lead to values. Missing keys find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from apimachinery import memo

Step = Callable[[Any], Iterator[Any]]
_NAME = re.compile(r"[^.\[\]\s{}'\"()?*]+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_SLICE = re.compile(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(\d+)\s*)?")
_FILTER = re.compile(r"\?\(\s*(.*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.*?))?\s*\)")


class PathError(ValueError):
    """Not a path."""


def find(path: str, value: Any) -> list[Any]:
    """All values that the path leads to. PathError."""
    found = [value]
    for step in _compile(path):
        found = [result for item in found for result in step(item)]
    return found


@memo.short(512)
def _compile(path: str) -> tuple[Step, ...]:
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    text = text.removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        step, position = _step(text, position)
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _step(text: str, position: int) -> tuple[Step | None, int]:
    char = text[position]
    if char == "[":
        end = _closing(text, position)
        return _bracket(text[position + 1 : end]), end + 1
    if char != "." and position:
        raise PathError(f"unexpected {char!r} in {text!r}")
    if text.startswith("..", position):
        return _recursive, position + 1
    position += char == "."
    if position >= len(text) or text[position] == "[":
        return None, position
    if text[position] == "*":
        return _all, position + 1
    match = re.match(r"(?:\\.|[^.\[\]\s{}'\"()?*\\])+", text[position:])
    if match is None:
        raise PathError(f"unexpected {text[position]!r} in {text!r}")
    return _field(re.sub(r"\\(.)", r"\1", match[0])), position + match.end()


def _closing(text: str, start: int) -> int:
    """The position of the bracket that closes the one at start."""
    depth, quote = 0, ""
    for position in range(start, len(text)):
        char = text[position]
        if quote:
            quote = "" if char == quote and text[position - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return position
    raise PathError("unterminated array")


def _bracket(body: str) -> Step:
    body = body.strip()
    if body == "*":
        return _all
    if match := _QUOTED.fullmatch(body):
        return _field(re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2]))
    if match := _FILTER.fullmatch(body):
        return _filter(match[1], match[2] or "", match[3] or "")
    if re.fullmatch(r"-?\d+", body):
        return _index(int(body))
    if match := _SLICE.fullmatch(body):
        return _slice(match[1], match[2], match[3] or "")
    if "," in body:
        parts = [_bracket(part) for part in body.split(",")]
        return lambda value: (result for part in parts for result in part(value))
    raise PathError(f"invalid array index {body}")


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _recursive(value: Any) -> Iterator[Any]:
    yield value
    for child in _all(value):
        yield from _recursive(child)


def _index(position: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= position < len(value):
            yield value[position]

    return step


def _slice(start: str, end: str, stride: str) -> Step:
    cut = slice(int(start) if start else None, int(end) if end else None, int(stride) if stride else None)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[cut]

    return step


def _operand(text: str) -> Callable[[Any], list[Any]]:
    if match := _QUOTED.fullmatch(text):
        constant: Any = match[1] if match[1] is not None else match[2]
    elif text in ("true", "false"):
        constant = text == "true"
    else:
        try:
            constant = int(text)
        except ValueError:
            try:
                constant = float(text)
            except ValueError:
                return lambda value: find(text, value)
    return lambda _: [constant]


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _filter(left: str, operator: str, right: str) -> Step:
    first = _operand(left)
    second = _operand(right) if operator else None

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            lefts = first(item)
            if not lefts:
                continue
            if second is None:
                yield item
                continue
            rights = second(item)
            if not rights or type(lefts[0]) is not type(rights[0]):
                continue
            if _COMPARE[operator](lefts[0], rights[0]):
                yield item

    return step
