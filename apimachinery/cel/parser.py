"""Tokens to a syntax tree: recursive descent over the published grammar, macros expanded on the way.

Errors are recovered from as the original's parser does (drop one token, imagine one, or skip to what may follow), so
that their texts and their number agree for the mistakes people make. Bounds: 100,000 characters, nesting of 250.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from apimachinery.cel import literals, macros
from apimachinery.cel.errors import NO_PLACE, CompileError, Issues
from apimachinery.cel.lexer import END, Token, scan
from apimachinery.cel.reserved import RESERVED
from apimachinery.cel.syntax import Call, Entry, Ident, ListNode, Literal, MapNode, Node, Select, StructNode

MAX_LENGTH = 100_000  # characters
MAX_DEPTH = 250
MAX_RECOVERIES = 30

# The order in which sets of expected tokens are listed.
_ORDER = [
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    ",",
    "-",
    "!",
    "?",
    ":",
    "true",
    "false",
    "null",
    "NUM_FLOAT",
    "NUM_INT",
    "NUM_UINT",
    "STRING",
    "BYTES",
    "IDENTIFIER",
    "ESC_IDENTIFIER",
]
_PRIMARY = frozenset(
    "[ { ( . - true false null NUM_FLOAT NUM_INT NUM_UINT STRING BYTES IDENTIFIER".split()  # noqa: SIM905
)
_UNARY = _PRIMARY | {"!"}
_RELATIONS = {"<": "_<_", "<=": "_<=_", ">=": "_>=_", ">": "_>_", "==": "_==_", "!=": "_!=_", "in": "@in"}
_SUMS = {"+": "_+_", "-": "_-_"}
_PRODUCTS = {"*": "_*_", "/": "_/_", "%": "_%_"}
_OPERATORS = frozenset({*_RELATIONS, *_SUMS, *_PRODUCTS, "&&", "||", "?"})
_AFTER_MEMBER = _OPERATORS | {".", "["}
_LITERALS = frozenset(["true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES"])
_SIGNED = ("NUM_INT", "NUM_FLOAT")


class _Stop(Exception):
    """Too many errors to go on."""


def parse(text: str, known_macros: macros.Macros = macros.KUBERNETES) -> Node:
    """The tree of an expression; CompileError with all syntax errors."""
    issues = Issues(text)
    if len(text) > MAX_LENGTH:
        issues.add(NO_PLACE, f"expression code point size exceeds limit: size: {len(text)}, limit {MAX_LENGTH}")
        raise CompileError(issues)
    parser = _Parser(scan(text, issues), issues, known_macros)
    try:
        node = parser.start()
    except _Stop:
        raise CompileError(issues) from None
    if issues:
        raise CompileError(issues)
    return node


def _draw(expected: frozenset[str]) -> str:
    names = [n if n.isupper() else f"'{n}'" for n in _ORDER if n in expected]
    return names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"


class _Parser:
    def __init__(self, tokens: list[Token], issues: Issues, known_macros: macros.Macros) -> None:
        self.tokens = tokens
        self.position = 0
        self.token = tokens[0]
        self.issues = issues
        self.macros = known_macros
        self.closers: list[str] = []  # what ends the brackets that are open
        self.recovering = False
        self.recoveries = 0
        self.depth = 0

    # -- tokens and errors

    def advance(self) -> Token:
        token = self.token
        if token.kind != END:
            self.position += 1
            self.token = self.tokens[self.position]
        self.recovering = False
        return token

    def peek(self) -> str:
        return self.tokens[min(self.position + 1, len(self.tokens) - 1)].kind

    def report(self, at: int, message: str) -> None:
        if not self.recovering:
            self.issues.add(at, f"Syntax error: {message}")
        self.recovering = True
        self.recoveries += 1
        if self.recoveries > MAX_RECOVERIES:
            self.issues.add(at, f"Syntax error: error recovery attempt limit exceeded: {MAX_RECOVERIES}")
            raise _Stop

    def drop(self) -> None:
        """Skip one token without taking it for a sign that all is well again."""
        self.position += 1
        self.token = self.tokens[self.position]

    def sync(self, expected: frozenset[str]) -> bool:
        """Whether one of the expected tokens comes, perhaps after a stray one; otherwise skip to what may follow."""
        if self.token.kind in expected:
            return True
        if self.peek() in expected and self.token.kind != END:
            self.report(self.token.at, f"extraneous input '{self.token.text}' expecting {_draw(expected)}")
            self.drop()
            self.recovering = False
            return True
        self.report(self.token.at, f"mismatched input '{self.token.text}' expecting {_draw(expected)}")
        self.skip()
        return False

    def skip(self) -> None:
        """To a token that may follow an expression here."""
        may_follow = _OPERATORS | set(self.closers) | {",", ":", END}
        while self.token.kind not in may_follow:
            self.drop()

    def expect(self, kind: str) -> Token | None:
        """The token of this kind; None when it was imagined or is missing."""
        if self.token.kind == kind:
            return self.advance()
        shown = kind if kind == END or kind.isupper() else f"'{kind}'"
        if self.token.kind != END and self.peek() == kind:
            self.report(self.token.at, f"extraneous input '{self.token.text}' expecting {shown}")
            self.drop()
            return self.advance()
        if kind in (")", "]", "}"):
            outer = self.closers[-1] if self.closers else END
            follows = _AFTER_MEMBER | {outer} | ({","} if self.closers else set())
            if self.token.kind in follows:
                self.report(self.token.at, f"missing {shown} at '{self.token.text}'")
                return None
        self.report(self.token.at, f"mismatched input '{self.token.text}' expecting {shown}")
        self.skip()
        return None

    def complain(self, at: int, message: str) -> Node:
        """An error that is none of syntax; parsing goes on."""
        self.issues.add(at, message)
        return Literal(at, None)

    # -- grammar

    def start(self) -> Node:
        node = self.expression()
        self.expect(END)
        return node

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.too_deep(f"expression recursion limit exceeded: {MAX_DEPTH}")
        condition = self.disjunction()
        if self.token.kind == "?":
            at = self.advance().at
            yes = self.disjunction()
            self.expect(":")
            condition = Call(at, "_?_:_", [condition, yes, self.expression()])
        self.depth -= 1
        return condition

    def too_deep(self, message: str) -> NoReturn:
        self.issues.add(NO_PLACE, message)
        raise _Stop

    def disjunction(self) -> Node:
        return self.logic("||", "_||_", self.conjunction)

    def conjunction(self) -> Node:
        return self.logic("&&", "_&&_", self.relation)

    def logic(self, operator: str, function: str, operand: Callable[[], Node]) -> Node:
        terms = [operand()]
        places: list[int] = []
        while self.token.kind == operator:
            places.append(self.advance().at)
            terms.append(operand())
        return _balance(function, terms, places, 0, len(places) - 1) if places else terms[0]

    def relation(self) -> Node:
        return self.chain(_RELATIONS, self.total)

    def total(self) -> Node:
        return self.chain(_SUMS, self.product)

    def product(self) -> Node:
        return self.chain(_PRODUCTS, self.unary)

    def chain(self, operators: dict[str, str], operand: Callable[[], Node]) -> Node:
        node = operand()
        length = 0
        while self.token.kind in operators:
            length += 1
            if self.depth + length > MAX_DEPTH:
                self.too_deep("max recursion depth exceeded")
            token = self.advance()
            node = Call(token.at, operators[token.kind], [node, operand()])
        return node

    def unary(self) -> Node:
        if self.token.kind not in _UNARY and not self.sync(_UNARY):
            return Literal(self.token.at, None)
        kind = self.token.kind
        if kind not in ("!", "-") or (kind == "-" and self.peek() in ("NUM_INT", "NUM_FLOAT")):
            return self.member()
        at = self.token.at
        count = 0
        while self.token.kind == kind:
            if kind == "-" and self.peek() not in _PRIMARY:
                after = self.tokens[self.position + 1]
                shown = "" if after.kind == END else after.text
                self.report(after.at, f"no viable alternative at input '-{shown}'")
                self.advance()
                return self.unary()
            self.advance()
            count += 1
        node = self.member()
        return Call(at, "!_" if kind == "!" else "-_", [node]) if count % 2 else node

    def member(self) -> Node:
        node = self.primary()
        length = 0
        while True:
            kind = self.token.kind
            if kind not in (".", "["):
                return node
            length += 1
            if self.depth + length > MAX_DEPTH:
                self.too_deep("max recursion depth exceeded")
            node = self.selection(node) if kind == "." else self.indexing(node)

    def selection(self, operand: Node) -> Node:
        dot = self.advance()
        optional = False
        if self.token.kind == "?":
            self.advance()
            optional = True
        token = self.token
        if token.kind == "ESC_IDENTIFIER":
            self.advance()
            return self.complain(token.at, "unsupported syntax: '`'")
        if token.kind != "IDENTIFIER":
            shown = "" if token.kind == END else token.text
            if optional:
                self.report(token.at, f"mismatched input '{token.text}' expecting {{IDENTIFIER, ESC_IDENTIFIER}}")
            elif token.kind in ("true", "false", "null", "in"):
                self.report(token.at, f"mismatched input '{token.text}' expecting IDENTIFIER")
            else:
                self.report(token.at, f"no viable alternative at input '.{shown}'")
            self.skip()
            return operand
        self.advance()
        if optional:
            return Call(dot.at, "_?._", [operand, Literal(token.at, token.text)])
        if self.token.kind != "(":
            return Select(dot.at, operand, token.text)
        opened = self.token.at
        args = self.arguments()
        return self.expand(Call(opened, token.text, args, operand))

    def indexing(self, operand: Node) -> Node:
        at = self.advance().at
        function = "_[_]"
        if self.token.kind == "?":
            self.advance()
            function = "_[?_]"
        self.closers.append("]")
        index = self.expression()
        self.closers.pop()
        self.expect("]")
        return Call(at, function, [operand, index])

    def arguments(self) -> list[Node]:
        self.advance()
        args: list[Node] = []
        if self.token.kind == ")":
            self.advance()
            return args
        self.closers.append(")")
        args.append(self.expression())
        while self.token.kind == ",":
            self.advance()
            args.append(self.expression())
        self.closers.pop()
        self.expect(")")
        return args

    def expand(self, call: Call) -> Node:
        expander = self.macros.get((call.function, len(call.args), call.target is not None))
        if expander is None:
            return call
        try:
            node = expander(call.at, call.target, call.args)
        except macros.MacroError as error:
            return self.complain(error.at, str(error))
        return node if node is not None else call

    def primary(self) -> Node:
        kind = self.token.kind
        if kind == "IDENTIFIER":
            return self.name("")
        if kind == "." and self.peek() == "IDENTIFIER":
            self.advance()
            return self.name(".")
        if kind in _LITERALS or (kind == "-" and self.peek() in _SIGNED):
            return self.literal()
        if kind == "(":
            self.advance()
            self.closers.append(")")
            node = self.expression()
            self.closers.pop()
            self.expect(")")
            return node
        if kind == "[":
            return self.list_()
        if kind == "{":
            return self.map_()
        if kind in (".", "-"):
            self.advance()
            shown = "" if self.token.kind == END else self.token.text
            self.report(self.token.at, f"no viable alternative at input '{kind}{shown}'")
            self.skip()
        else:
            self.sync(_PRIMARY)
        return Literal(self.token.at, None)

    def literal(self) -> Node:
        at = self.token.at
        sign = "-" if self.token.kind == "-" else ""
        if sign:
            self.advance()
        token = self.advance()
        try:
            return Literal(at, literals.read(token.kind, sign + token.text))
        except literals.LiteralError as error:
            return self.complain(at, str(error))

    def name(self, dot: str) -> Node:
        start = self.token.at - len(dot)
        token = self.advance()
        names = [token.text]
        if self._begins_struct():
            while self.token.kind == ".":
                self.advance()
                names.append(self.advance().text)
            return self.struct(dot + ".".join(names))
        if token.text in RESERVED:
            if self.token.kind == "(":
                self.arguments()
            return self.complain(start, f"reserved identifier: {token.text}")
        if self.token.kind != "(":
            return Ident(token.at, dot + token.text)
        opened = self.token.at
        return self.expand(Call(opened, dot + token.text, self.arguments()))

    def _begins_struct(self) -> bool:
        """Whether the names from here on are a type's, before its '{'."""
        position = self.position
        while self.tokens[position].kind == "." and self.tokens[position + 1].kind == "IDENTIFIER":
            position += 2
        return self.tokens[position].kind == "{"

    def list_(self) -> Node:
        at = self.advance().at
        elements: list[Node] = []
        optional: set[int] = set()
        self.closers.append("]")
        if self.token.kind not in ("]", ","):
            self.sync(_UNARY | {"]", ",", "?"})
        while self.token.kind not in ("]", ",", END):
            if self.token.kind == "?":
                self.advance()
                optional.add(len(elements))
            elements.append(self.expression())
            if self.token.kind != "," or self.peek() == "]":
                break
            self.advance()
        self.close("]")
        return ListNode(at, elements, frozenset(optional))

    def close(self, closer: str) -> None:
        """The end of a list, map or struct, where one more comma may stand."""
        if self.token.kind not in (closer, ","):
            self.sync(frozenset({closer, ","}))
        if self.token.kind == ",":
            self.advance()
        self.closers.pop()
        if not self.recovering or self.token.kind == closer:
            self.expect(closer)

    def map_(self) -> Node:
        at = self.advance().at
        self.closers.append("}")
        if self.token.kind not in ("}", ","):
            self.sync(_UNARY | {"}", ",", "?"})
        entries: list[Entry] = []
        while self.token.kind not in ("}", ",", END):
            optional = self.token.kind == "?"
            if optional:
                self.advance()
            key = self.expression()
            if not self.entry(entries, key, optional, "}"):
                break
        self.close("}")
        return MapNode(at, entries)

    def struct(self, name: str) -> Node:
        at = self.advance().at
        self.closers.append("}")
        if self.token.kind not in ("}", ","):
            self.sync(frozenset({"}", ",", "?", "IDENTIFIER", "ESC_IDENTIFIER"}))
        entries: list[Entry] = []
        while self.token.kind not in ("}", ",", END):
            optional = self.token.kind == "?"
            if optional:
                self.advance()
            if self.token.kind == "ESC_IDENTIFIER":
                self.complain(self.token.at, "unsupported syntax: '`'")
            elif self.token.kind != "IDENTIFIER":
                self.sync(frozenset({"IDENTIFIER", "ESC_IDENTIFIER"}))
                break
            if not self.entry(entries, self.advance().text, optional, "}"):
                break
        self.close("}")
        return StructNode(at, name, entries)

    def entry(self, entries: list[Entry], key: Node | str, optional: bool, closer: str) -> bool:
        """The ':' and the value; whether another entry follows."""
        colon = self.expect(":")
        if colon is None:
            return False
        entries.append(Entry(colon.at, key, self.expression(), optional))
        if self.token.kind != "," or self.peek() == closer:
            return False
        self.advance()
        return True


def _balance(function: str, terms: list[Node], places: list[int], low: int, high: int) -> Node:
    """A tree of little depth for a long && or ||, split where the original splits it; the order of evaluation stays.

    low, high: the first and the last operator of the part.
    """
    middle = (low + high + 1) // 2
    left = terms[middle] if middle == low else _balance(function, terms, places, low, middle - 1)
    right = terms[middle + 1] if middle == high else _balance(function, terms, places, middle + 1, high)
    return Call(places[middle], function, [left, right])
