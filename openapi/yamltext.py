"""YAML bodies as the original reads them: YAML 1.1 scalars by the rules of its Go library, converted to JSON values.

Reads the event stream of libyaml with a stack of its own, so that depth and alias expansion are bounded. Only the first
document counts. Times stay strings; keys become strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 200  # as of JSON bodies, see codec
MAX_NODES = 1_000_000
_ALIAS_RATIO_FROM = 400_000  # nodes; below, 99 % of them may come from aliases; above 4,000,000 only 10 %

_BOOLS = {word: True for word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")}
_BOOLS |= {word: False for word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INFINITIES = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN"}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0[0-7]+|0o[0-7]+|0x[0-9a-fA-F]+|0b[01]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class YamlError(Exception):
    """Not YAML, or YAML that JSON cannot hold; the text is as the original words it."""


class _Alias:
    """What an anchor stands for, and how many nodes it has."""

    __slots__ = ("count", "value")

    def __init__(self, value: Any, count: int) -> None:
        self.value = value
        self.count = count


def load(raw: bytes) -> tuple[Any, list[str]]:
    """(the JSON value, what a strict reader complains about: keys set twice)."""
    reader = _Reader()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise YamlError("error converting YAML to JSON: yaml: invalid leading UTF-8 octet") from None
    try:
        value = reader.document(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.reader.ReaderError as error:
        raise YamlError(f"error converting YAML to JSON: yaml: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # libyaml's parser counts lines from nought, and the original prints its count unless it is nought; its scanner's, with one.
        late = mark is not None and mark.line and not isinstance(error, yaml.scanner.ScannerError)
        line = "" if mark is None else f"line {mark.line + (0 if late else 1)}: "
        raise YamlError(f"error converting YAML to JSON: yaml: {line}{error.problem}") from None
    problems = []
    if reader.duplicates:
        problems.append("yaml: unmarshal errors:\n  " + "\n  ".join(reader.duplicates))
    return value, problems


class _Reader:
    def __init__(self) -> None:
        self.anchors: dict[str, _Alias] = {}
        self.duplicates: list[str] = []
        self.nodes = 0
        self.aliased = 0
        self.depth = 0

    def document(self, events: Iterator[Any]) -> Any:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                return self.node(next(events), events)
        return None

    def count(self, nodes: int, *, aliased: bool = False) -> None:
        self.nodes += nodes
        if aliased:
            self.aliased += nodes
        if self.nodes > MAX_NODES:
            raise YamlError("error converting YAML to JSON: yaml: document contains too many nodes")
        if self.aliased > 100 and self.nodes > 1000:
            over = min(max(self.nodes - _ALIAS_RATIO_FROM, 0) / 3_600_000, 1.0)
            if self.aliased / self.nodes > 0.99 - 0.89 * over:
                raise YamlError("error converting YAML to JSON: yaml: document contains excessive aliasing")

    def node(self, event: Any, events: Iterator[Any]) -> Any:
        if isinstance(event, yaml.AliasEvent):
            alias = self.anchors.get(event.anchor or "")
            if alias is None:
                raise YamlError(f"error converting YAML to JSON: yaml: unknown anchor '{event.anchor}' referenced")
            self.count(alias.count, aliased=True)
            return alias.value
        before = self.nodes
        self.count(1)
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event)
        else:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise YamlError("error converting YAML to JSON: yaml: exceeded max depth")
            value = self.mapping(events) if isinstance(event, yaml.MappingStartEvent) else self.sequence(events)
            self.depth -= 1
        if event.anchor:
            self.anchors[event.anchor] = _Alias(value, self.nodes - before)
        return value

    def sequence(self, events: Iterator[Any]) -> list[Any]:
        out = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            out.append(self.node(event, events))
        return out

    def mapping(self, events: Iterator[Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                value = self.node(next(events), events)
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise YamlError(
                            "error converting YAML to JSON: yaml: map merge requires map or sequence of maps as the value"
                        )
                    for name, item in source.items():
                        merged.setdefault(name, item)
                continue
            line = event.start_mark.line + 1
            key = _key(self.node(event, events))
            if key in out:
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            out[key] = self.node(next(events), events)
        for name, item in merged.items():
            out.setdefault(name, item)
        return out


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return repr(value)
    raise YamlError(
        f"error converting YAML to JSON: unsupported map key of type: {'map' if isinstance(value, dict) else 'slice'}"
    )


def scalar(event: Any) -> Any:
    """A scalar's value. Quoted ones are strings, whatever they look like."""
    text: str = event.value
    tag = event.tag
    if tag in (None, "!") and not event.implicit[0]:
        return text
    if tag == "tag:yaml.org,2002:str":
        return text
    if tag == "tag:yaml.org,2002:binary":
        return text
    return resolve(text)


def resolve(text: str) -> Any:
    """What a plain scalar means."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    first = text[0]
    if first in "+-.0123456789":
        if text in _INFINITIES:
            raise YamlError(f"error converting YAML to JSON: json: unsupported value: {text}")
        plain = text.replace("_", "")
        if _INT.fullmatch(plain) and len(plain) < 200:
            return _integer(plain)
        if _FLOAT.fullmatch(plain):
            number = float(plain)
            if math.isinf(number):
                return text
            return int(number) if number.is_integer() and abs(number) < 1e15 else number
    return text


def _integer(text: str) -> int | float:
    digits = text.lstrip("+-")
    sign = -1 if text[0] == "-" else 1
    if digits[:2] in ("0x", "0b", "0o"):
        value = int(digits, 0)
    elif len(digits) > 1 and digits[0] == "0":
        value = int(digits, 8)
    else:
        value = int(digits)
    value *= sign
    return value if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF else float(value)
