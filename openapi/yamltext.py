"""YAML bodies as the original reads them: YAML 1.1 by the rules of its Go library, converted to JSON values.

libyaml's events become nodes, as syntax errors come before all others; the nodes become values. Depth and the expansion of
aliases are bounded. Only the first document counts. Times stay strings; keys become strings, and come out sorted.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import yaml

from apimachinery.field import go_quote
from openapi import gofloat, scalars, yamlscalars

MAX_DEPTH = 200  # as of JSON bodies, see codec
MAX_NODES = 1_000_000
_ALIAS_RATIO_FROM = 400_000  # nodes; below, 99 % of them may come from aliases; above 4,000,000 only 10 %
_MERGE = "tag:yaml.org,2002:merge"
_WANTS_MAPS = "yaml: map merge requires map or sequence of maps as the value"


class YamlError(Exception):
    """Not YAML, or YAML that JSON cannot hold; the text is as the original words it."""


class _Node:
    """kind: "scalar", "sequence", "mapping" (children are keys and values in turn) or "alias". line: counted from one."""

    __slots__ = ("children", "implicit", "kind", "line", "tag", "target", "text")

    def __init__(self, kind: str, event: Any) -> None:
        self.kind = kind
        self.line: int = event.start_mark.line + 1
        self.children: list[_Node] = []
        self.tag = ""
        self.text = ""
        self.implicit = False
        self.target: _Node | None = None


_Key = tuple[type, Any]
"""A key of a mapping: to Go, 1 and "1" and true are different keys."""


def load(raw: bytes) -> tuple[Any, list[str]]:
    """(the JSON value, what a strict reader complains about: keys set twice)."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise YamlError("yaml: invalid leading UTF-8 octet") from None
    try:
        root = _Parser(yaml.parse(text, Loader=yaml.CSafeLoader)).document()
    except yaml.reader.ReaderError as error:
        raise YamlError(f"yaml: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"yaml: {_place(error)}{error.problem}") from None
    if root is None:
        return None, []
    reader = _Reader()
    try:
        value = reader.value(root)
    except yamlscalars.UnfitError as error:
        raise YamlError(f"yaml: {error}") from None
    if reader.late:
        raise YamlError(reader.late)
    problems = []
    if reader.duplicates:
        problems.append("yaml: unmarshal errors:\n  " + "\n  ".join(reader.duplicates))
    return value, problems


def _place(error: yaml.MarkedYAMLError) -> str:
    """The line as the original counts it: the scanner's errors from one, the parser's from nought; nought is not told."""
    scanning = isinstance(error, yaml.scanner.ScannerError)
    if error.problem_mark is not None and error.problem_mark.line:
        return f"line {error.problem_mark.line + scanning}: "
    if error.context_mark is not None and error.context_mark.line:
        return f"line {error.context_mark.line}: "
    return ""


class _Parser:
    """From events to the nodes of the first document."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.anchors: dict[str, _Node] = {}
        self.depth = 0

    def document(self) -> _Node | None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                root = self.node(next(self.events))
                next(self.events)  # what ends the document may be wrong, too
                return root
        return None

    def node(self, event: Any) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            node = _Node("alias", event)
            node.text = event.anchor or ""
            node.target = self.anchors.get(node.text)
            if node.target is None:
                raise YamlError(f"yaml: unknown anchor '{event.anchor}' referenced")
            return node
        if isinstance(event, yaml.ScalarEvent):
            node = _Node("scalar", event)
            node.text, node.tag, node.implicit = event.value, event.tag or "", event.implicit[0]
        else:
            node = _Node("mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence", event)
        if event.anchor:
            self.anchors[event.anchor] = node
        if node.kind != "scalar":
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise YamlError("yaml: exceeded max depth")
            for inner in self.events:
                if isinstance(inner, yaml.CollectionEndEvent):
                    break
                node.children.append(self.node(inner))
            self.depth -= 1
        return node


class _Reader:
    """From nodes to values. late: what fails only when the value, read to its end, is converted to JSON."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self.late = ""
        self.nodes = 0
        self.aliased = 0
        self.opened: set[int] = set()  # aliases on the way to where we are
        self.read: dict[int, tuple[Any, int]] = {}  # what an anchor's node came to, and how many nodes that took

    def count(self, nodes: int, *, aliased: bool = False) -> None:
        self.nodes += nodes
        if aliased:
            self.aliased += nodes
        if self.nodes > MAX_NODES:
            raise YamlError("yaml: document contains too many nodes")
        if self.aliased > 100 and self.nodes > 1000:
            over = min(max(self.nodes - _ALIAS_RATIO_FROM, 0) / 3_600_000, 1.0)
            if self.aliased / self.nodes > 0.99 - 0.89 * over:
                raise YamlError("yaml: document contains excessive aliasing")

    def value(self, node: _Node) -> Any:
        if node.target is not None:
            return self.alias(node, node.target)
        self.count(1)
        if node.kind == "scalar":
            return self.finite(scalar(node))
        if node.kind == "sequence":
            return [self.value(child) for child in node.children]
        pairs: dict[_Key, Any] = {}
        self.fill(pairs, node)
        return self.converted(pairs)

    def alias(self, node: _Node, target: _Node) -> Any:
        if id(target) in self.opened:
            raise YamlError(f"yaml: anchor '{node.text}' value contains itself")
        known = self.read.get(id(target))
        if known is not None:
            self.count(known[1], aliased=True)
            return known[0]
        self.opened.add(id(target))
        before = self.nodes
        value = self.value(target)
        self.opened.remove(id(target))
        self.read[id(target)] = (value, self.nodes - before)
        self.count(0, aliased=True)
        return value

    def fill(self, pairs: dict[_Key, Any], node: _Node) -> None:
        """Set what a mapping says, in its order: a later key, or one that is merged in later, counts."""
        children = iter(node.children)
        for name, item in zip(children, children, strict=True):
            if name.kind == "scalar" and name.text == "<<" and (name.implicit or name.tag == _MERGE):
                self.merge(pairs, item)
                continue
            key = self.key(name)
            if key in pairs:
                self.duplicates.append(f"line {item.line}: key {_drawn(key[1])} already set in map")
            pairs[key] = self.value(item)

    def merge(self, pairs: dict[_Key, Any], node: _Node) -> None:
        source = node.target or node
        if source.kind == "mapping":
            if id(source) in self.opened:
                raise YamlError(f"yaml: anchor '{node.text}' value contains itself")
            self.count(1, aliased=node.kind == "alias")
            self.opened.add(id(source))
            self.fill(pairs, source)
            self.opened.remove(id(source))
        elif node.kind == "sequence":
            for child in reversed(node.children):  # the first one counts most
                if (child.target or child).kind != "mapping":
                    raise YamlError(_WANTS_MAPS)
                self.merge(pairs, child)
        else:
            raise YamlError(_WANTS_MAPS)

    def key(self, node: _Node) -> _Key:
        source = node.target or node
        if source.kind in ("mapping", "sequence"):
            raise YamlError(f"yaml: invalid map key: {_drawn(self.value(node))}")
        self.count(1, aliased=node.kind == "alias")
        value = scalar(source)
        return type(value), value

    def converted(self, pairs: dict[_Key, Any]) -> dict[str, Any]:
        """The mapping with its keys as JSON has them."""
        out = {}
        for (_, key), value in pairs.items():
            if key is None or (type(key) is int and key > 0x7FFFFFFFFFFFFFFF):
                kind = "%!s(<nil>)" if key is None else "uint64"
                drawn = "<nil>" if key is None else hex(key)
                self.late = self.late or f"unsupported map key of type: {kind}, key: {drawn}, value: {_drawn(value)}"
            out[_name(key)] = value
        return dict(sorted(out.items()))

    def finite(self, value: Any) -> Any:
        if type(value) is float:
            if not math.isfinite(value):
                self.late = self.late or f"json: unsupported value: {_INFINITE.get(value, 'NaN')}"
            elif value.is_integer() and abs(value) < 1e15:
                return int(value)
        return value


_INFINITE = {math.inf: "+Inf", -math.inf: "-Inf"}


def scalar(node: _Node) -> Any:
    """A scalar's value. Quoted ones are strings, whatever they look like."""
    if not node.tag and not node.implicit:
        return node.text
    if node.tag == yamlscalars.BINARY:
        try:
            return base64.b64decode(scalars.canonical_base64(node.text)).decode("utf-8", "replace")
        except ValueError:
            raise YamlError("yaml: !!binary value contains invalid base64 data") from None
    return yamlscalars.resolve(node.tag, node.text)


def _name(key: Any) -> str:
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, float):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(key, ".nan") if not math.isfinite(key) else gofloat.short(key)
    return str(key)


def _drawn(value: Any) -> str:
    """%#v of a value; numbers have been through JSON's rules already."""
    if value is None:
        return "<nil>"
    if isinstance(value, str):
        return go_quote(value)
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_inner, value)) + "}"
    if isinstance(value, dict):
        inside = ", ".join(f"{go_quote(key)}:{_inner(item)}" for key, item in value.items())
        return "map[interface {}]interface {}{" + inside + "}"
    return gofloat.general(value) if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    return "interface {}(nil)" if value is None else _drawn(value)
