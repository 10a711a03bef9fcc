"""Label selectors and field selectors: parsed once, matched many times.

Called by whoever filters objects: the API server's lists and watches, admission, controllers, the scheduler. Parsing is
cached; `matches` of a selector is a closure made for its requirements. Grammar, canonical strings and error texts are
those of apimachinery's pkg/labels, pkg/fields and metav1.LabelSelectorAsSelector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import field, memo

Labels = Mapping[str, str]
Matcher = Callable[[Labels], bool]

_KEY_CHARS = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY_RE = re.compile(rf"{_KEY_CHARS}\Z")
_VALUE_RE = re.compile(rf"({_KEY_CHARS})?\Z")
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_RE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+\Z")  # possessive: takes no memory per label

_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY_CHARS}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    f" with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_KEY_CHARS})?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end"
    f" with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)

IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS = "in", "notin", "=", "==", "!="
EXISTS, DOES_NOT_EXIST, GREATER, LESS = "exists", "!", "gt", "lt"
_BINARY = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_OPERATORS = (*_BINARY, EXISTS, DOES_NOT_EXIST)
_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_SIGNS = {EQUALS: "=", DOUBLE_EQUALS: "==", NOT_EQUALS: "!=", IN: " in ", NOT_IN: " notin ", GREATER: ">", LESS: "<"}
_INT_RE = re.compile(r"[+-]?[0-9]+\Z")


class SelectorError(ValueError):
    """A selector that does not parse; the text is the original's."""


def label_key_errors(key: str) -> list[str]:
    """What is wrong with a label key (the original's IsQualifiedName), as texts."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_KEY_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors = []
    if slash and not prefix:
        errors.append("prefix part must be non-empty")
    elif slash:
        if len(prefix) > 253:
            errors.append("prefix part must be no more than 253 bytes")
        if not _SUBDOMAIN_RE.match(prefix):
            errors.append(f"prefix part {_SUBDOMAIN_TEXT}")
    if not name:
        errors.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        errors.append("name part must be no more than 63 bytes")
    if not _KEY_RE.match(name):
        errors.append(f"name part {_KEY_TEXT}")
    return errors


def label_value_errors(value: str) -> list[str]:
    """What is wrong with a label value, as texts."""
    errors = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    return errors if _VALUE_RE.match(value) else [*errors, _VALUE_TEXT]


def _go_int(text: str) -> int | None:
    """The value if Go's ParseInt(text, 10, 64) takes it."""
    if not _INT_RE.match(text):
        return None
    if len(text.lstrip("+-0")) > 19:
        return None
    value = int(text.lstrip("+-0") or "0") * (-1 if text[0] == "-" else 1)
    return value if -(2**63) <= value < 2**63 else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector. operator: one of the module's constants."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return "!" + self.key
        values = ",".join(sorted(self.values))
        if self.operator in (IN, NOT_IN):
            values = f"({values})"
        return f"{self.key}{_SIGNS[self.operator]}{values}"

    def errors(self) -> list[field.FieldError]:
        """What is wrong with it, as the original's NewRequirement."""
        errors = []
        if texts := label_key_errors(self.key):
            errors.append(field.invalid("key", self.key, "; ".join(texts)))
        values = list(self.values)
        if self.operator in (IN, NOT_IN):
            if not values:
                errors.append(field.invalid("values", values, "for 'in', 'notin' operators, values set can't be empty"))
        elif self.operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
            if len(values) != 1:
                errors.append(field.invalid("values", values, "exact-match compatibility requires one single value"))
        elif self.operator in (EXISTS, DOES_NOT_EXIST):
            if values:
                errors.append(field.invalid("values", values, "values set must be empty for exists and does not exist"))
        elif self.operator in (GREATER, LESS):
            if len(values) != 1:
                errors.append(
                    field.invalid("values", values, "for 'Gt', 'Lt' operators, exactly one value is required")
                )
            for position, value in enumerate(values):
                if _go_int(value) is None:
                    text = "for 'Gt', 'Lt' operators, the value must be an integer"
                    errors.append(field.invalid(f"values[{position}]", value, text))
        else:
            errors.append(field.not_supported("operator", self.operator, _OPERATORS))
        for position, value in enumerate(values):
            if texts := label_value_errors(value):
                errors.append(field.invalid(f"values[{position}][{self.key}]", value, "; ".join(texts)))
        return errors

    def check(self) -> Requirement:
        """Itself, or SelectorError with everything that is wrong."""
        if errors := list(dict.fromkeys(str(error) for error in self.errors())):
            raise SelectorError(errors[0] if len(errors) == 1 else "[" + ", ".join(errors) + "]")
        return self

    def matcher(self) -> Matcher:
        """A function from labels to whether they satisfy the requirement."""
        key = self.key
        if self.operator == EXISTS:
            return lambda labels: key in labels
        if self.operator == DOES_NOT_EXIST:
            return lambda labels: key not in labels
        if self.operator in (GREATER, LESS):
            bound = int(self.values[0])
            greater = self.operator == GREATER

            def compare(labels: Labels) -> bool:
                number = _go_int(labels.get(key, ""))
                return number is not None and (number > bound if greater else number < bound)

            return compare
        wanted = self.operator in (IN, EQUALS, DOUBLE_EQUALS)
        if len(self.values) == 1:
            value = self.values[0]
            return (lambda labels: labels.get(key) == value) if wanted else (lambda labels: labels.get(key) != value)
        values = frozenset(self.values)
        return (lambda labels: labels.get(key) in values) if wanted else (lambda labels: labels.get(key) not in values)


_NO_LABELS: Labels = {}


class LabelSelector:
    """A conjunction of requirements; immutable, so share it freely.

    matches(labels): whether the labels satisfy it; labels may be None.
    """

    __slots__ = ("matches", "nothing", "requirements")

    matches: Callable[[Labels | None], bool]

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self.nothing = nothing
        self.matches = _nothing if nothing else _conjunction([r.matcher() for r in self.requirements])

    @property
    def empty(self) -> bool:
        """Whether it lets everything through."""
        return not self.requirements and not self.nothing

    def exact(self, key: str) -> str | None:
        """The single value that it demands of a label, or None."""
        for requirement in self.requirements:
            if requirement.key == key:
                exact = requirement.operator in (EQUALS, DOUBLE_EQUALS, IN) and len(requirement.values) == 1
                return requirement.values[0] if exact else None
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return "LabelSelector(nothing)" if self.nothing else f"LabelSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and (self.requirements, self.nothing) == (
            other.requirements,
            other.nothing,
        )

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


def _nothing(labels: Labels | None) -> bool:
    return False


def _conjunction(matchers: Sequence[Matcher]) -> Callable[[Labels | None], bool]:
    """All of the matchers at once, without a loop in the common cases."""
    if not matchers:
        return lambda labels: True
    if len(matchers) == 1:
        only = matchers[0]
        return lambda labels: only(labels or _NO_LABELS)
    if len(matchers) == 2:
        first, second = matchers

        def both(labels: Labels | None) -> bool:
            labels = labels or _NO_LABELS
            return first(labels) and second(labels)

        return both

    def every(labels: Labels | None) -> bool:
        labels = labels or _NO_LABELS
        return all(matcher(labels) for matcher in matchers)

    return every


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)

_SPACES = " \t\r\n"
_SYMBOLS = "=!(),><"
_TOKENS = {")", ",", "!", "==", "=", ">", "in", "<", "!=", "notin", "("}
_END, _IDENTIFIER, _ERROR = "end", "identifier", "error"


def _scan(text: str) -> list[tuple[str, str]]:
    """(token, literal) pairs; a token is one of _TOKENS, or identifier, error, end."""
    items: list[tuple[str, str]] = []
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in _SPACES:
            position += 1
        if position >= end or text[position] == "\0":
            items.append((_END, ""))
            return items
        start = position
        if text[position] in _SYMBOLS:
            # Longest run that is a token: "!=" and "==" before "!" and "=".
            token = ""
            while position < end and text[position] in _SYMBOLS:
                if text[start : position + 1] in _TOKENS:
                    token = text[start : position + 1]
                elif token:
                    break
                position += 1
            items.append(
                (token, token) if token else (_ERROR, f"error expected: keyword found '{text[start:position]}'")
            )
            continue
        while (
            position < end
            and text[position] not in _SYMBOLS
            and text[position] not in _SPACES
            and text[position] != "\0"
        ):
            position += 1
        word = text[start:position]
        items.append((word if word in _TOKENS else _IDENTIFIER, word))


class _Parser:
    """Recursive descent over the scanned items."""

    def __init__(self, text: str) -> None:
        self.items = _scan(text)
        self.position = 0

    def look(self) -> tuple[str, str]:
        """The current item where a value may stand: "in" and "notin" are plain words there."""
        token, literal = self.items[min(self.position, len(self.items) - 1)]
        return (_IDENTIFIER if token in (IN, NOT_IN) else token), literal

    def take(self, *, operator: bool = False) -> tuple[str, str]:
        item = self.items[min(self.position, len(self.items) - 1)] if operator else self.look()
        self.position += 1
        return item

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            token, literal = self.look()
            if token == _END:
                return requirements
            if token not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            token, literal = self.take()
            if token == _END:
                return requirements
            if token != ",":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            token, literal = self.look()
            if token not in (_IDENTIFIER, "!"):
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        token, key = self.take()
        negated = token == "!"
        if negated:
            token, key = self.take()
        if token != _IDENTIFIER:
            raise SelectorError(f"found '{key}', expected: identifier")
        if texts := label_key_errors(key):
            raise SelectorError(f"<nil>: Invalid value: {field.go_quote(key)}: {'; '.join(texts)}")
        if negated:
            return Requirement(key, DOES_NOT_EXIST)
        if self.look()[0] in (_END, ","):
            return Requirement(key, EXISTS)
        operator = self.operator()
        values = self.values() if operator in (IN, NOT_IN) else {self.exact_value()}
        return Requirement(key, operator, tuple(sorted(values))).check()

    def operator(self) -> str:
        token, literal = self.take(operator=True)
        if token in (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
            return token
        if token in "><":
            return GREATER if token == ">" else LESS
        raise SelectorError(f"found '{literal}', expected: {', '.join(_BINARY)}")

    def values(self) -> set[str]:
        token, literal = self.take()
        if token != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        token, literal = self.look()
        if token == ")":
            self.take()
            return {""}
        if token not in (_IDENTIFIER, ","):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        values = self.identifiers()
        if self.take()[0] != ")":
            raise SelectorError(f"found '{literal}', expected: ')'")
        return values

    def identifiers(self) -> set[str]:
        values: set[str] = set()
        while True:
            token, literal = self.take()
            if token == _IDENTIFIER:
                values.add(literal)
                following, text = self.look()
                if following == ")":
                    return values
                if following != ",":
                    raise SelectorError(f"found '{text}', expected: ',' or ')'")
            elif token == ",":
                # Nothing before, between or after commas stands for the empty value.
                if not values:
                    values.add("")
                following = self.look()[0]
                if following in (")", ","):
                    values.add("")
                if following == ")":
                    return values
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")

    def exact_value(self) -> str:
        if self.look()[0] in (_END, ","):
            return ""
        token, literal = self.take()
        if token != _IDENTIFIER:
            raise SelectorError(f"found '{literal}', expected: identifier")
        return literal


@memo.short(4096)
def parse_labels(text: str) -> LabelSelector:
    """The selector that a labelSelector query parameter means; SelectorError in the original's words."""
    if not text:
        return EVERYTHING
    return LabelSelector(_Parser(text).parse())


def from_map(labels: Labels | None) -> LabelSelector:
    """The selector for exactly these labels (Service.spec.selector); no labels select everything."""
    return _from_items(tuple(sorted(labels.items()))) if labels else EVERYTHING


@memo.small(8192)
def _from_items(items: tuple[tuple[str, str], ...]) -> LabelSelector:
    return LabelSelector(Requirement(key, EQUALS, (value,)) for key, value in items)


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector that a metav1.LabelSelector means: None selects nothing, an empty one everything. SelectorError."""
    if selector is None:
        return NOTHING
    expressions = selector.get("matchExpressions")
    labels: Labels = selector.get("matchLabels") or _NO_LABELS
    if not expressions:
        return _from_checked_items(tuple(labels.items())) if labels else EVERYTHING
    requirements = [Requirement(key, EQUALS, (value,)).check() for key, value in labels.items()]
    for expression in expressions:
        name = expression.get("operator") or ""
        operator = _OBJECT_OPERATORS.get(name)
        if operator is None:
            raise SelectorError(f"{field.go_quote(name)} is not a valid label selector operator")
        values = tuple(expression.get("values") or ())
        requirements.append(Requirement(expression.get("key") or "", operator, values).check())
    return LabelSelector(requirements)


@memo.small(8192)
def _from_checked_items(items: tuple[tuple[str, str], ...]) -> LabelSelector:
    return LabelSelector(Requirement(key, EQUALS, (value,)).check() for key, value in items)


# -- field selectors


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One term of a field selector: the field equals the value, or not."""

    field: str
    equal: bool
    value: str

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{escape_field_value(self.value)}"


class FieldSelector:
    """A conjunction of field terms; immutable."""

    __slots__ = ("terms",)

    def __init__(self, terms: Iterable[FieldTerm] = ()) -> None:
        self.terms = tuple(terms)

    @property
    def empty(self) -> bool:
        return not self.terms

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields satisfy it; an absent field counts as empty."""
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.terms)

    def exact(self, name: str) -> str | None:
        """The value that it demands of a field, or None."""
        return next((term.value for term in self.terms if term.equal and term.field == name), None)

    def transform(self, convert: Callable[[str, str], tuple[str, str]]) -> FieldSelector:
        """With each (field, value) converted; terms that become ("", "") are dropped. convert may raise."""
        terms = []
        for term in self.terms:
            name, value = convert(term.field, term.value)
            if name or value:
                terms.append(FieldTerm(name, term.equal, value))
        return FieldSelector(terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)


ALL_FIELDS = FieldSelector()
_TERM_RE = re.compile(r"(.*?)(!=|==|=)(.*)\Z", re.DOTALL)


def escape_field_value(value: str) -> str:
    """The value as it may stand in a field selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(value: str) -> str:
    if not any(char in value for char in "\\,="):
        return value
    out = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{following}")
            out.append(following)
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    return "".join(out)


def _split_terms(text: str) -> list[str]:
    terms, start, slash = [], 0, False
    for position, char in enumerate(text):
        if slash:
            slash = False
        elif char == "\\":
            slash = True
        elif char == ",":
            terms.append(text[start:position])
            start = position + 1
    terms.append(text[start:])
    return sorted(terms)


@memo.short(4096)
def parse_fields(text: str) -> FieldSelector:
    """The selector that a fieldSelector query parameter means; SelectorError in the original's words."""
    if not text:
        return ALL_FIELDS
    terms = []
    for part in _split_terms(text):
        if not part:
            continue
        match = _TERM_RE.match(part)
        if not match:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(FieldTerm(match[1], match[2] != "!=", _unescape(match[3])))
    return FieldSelector(terms)
