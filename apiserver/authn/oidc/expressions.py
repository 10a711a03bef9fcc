"""CEL over a token's claims and over the user made of them: compiled once, evaluated per token.

Claims are JSON as Go decodes it: every number is a double. Fields may be written escaped (`claims.kubernetes__dot__io`), at any
depth, as the names of claims are often no identifiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.cel import types
from apimachinery.cel.admission import USER_TYPES
from apimachinery.cel.env import Env, Program
from apimachinery.cel.errors import CelError, CompileError, ProgramError
from apimachinery.cel.schemas import unescape
from apimachinery.cel.syntax import Call, Ident, Literal, Node, Select, children
from apimachinery.cel.values import MISSING, View
from apiserver.authn.base import AuthenticationError
from apiserver.authn.user import User

CLAIMS, USER = "claims", "user"
_OPTIONAL_SELECT = "_?._"
_NOT_TEXTS = "expression must return a string or a list of strings"


class Refused(Exception):
    """An expression that cannot be used; the text is the original's."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. message: what a rule says when it does not hold."""

    text: str
    program: Program
    message: str = ""

    def value(self, variables: Mapping[str, Any]) -> Any:
        try:
            value, _ = self.program.eval(variables)
        except CelError as error:
            raise AuthenticationError(f"expression '{self.text}' resulted in error: {error}") from error
        return value

    def reads(self, claim: str) -> bool:
        """Whether `claims.<claim>` occurs in it."""
        return _reads(self.program.checked.node, claim)


def compile_claims(text: str, *, rule: bool = False, message: str = "") -> Expression:
    """An expression over claims. rule: it must be a condition. Refused."""
    return _compile(text, _CLAIMS, rule, message)


def compile_user(text: str, message: str = "") -> Expression:
    """A condition over the user. Refused."""
    return _compile(text, _USER, True, message)


_CLAIMS = {CLAIMS: types.map_of(types.STRING_TYPE, types.DYN_TYPE)}
_USER = {USER: types.struct("kubernetes.UserInfo")}


def _compile(text: str, variables: Mapping[str, types.Type], rule: bool, message: str) -> Expression:
    try:
        checked = Env(variables, USER_TYPES).compile(text)
        if rule and checked.type != types.BOOL_TYPE:
            raise Refused("must evaluate to bool")
        return Expression(text, checked.program(), message)
    except CompileError as error:
        raise Refused(f"compilation failed: {error}") from error
    except ProgramError as error:
        raise Refused(f"program instantiation failed: {error}") from error


def _reads(node: Node, claim: str) -> bool:
    if isinstance(node, Select):
        if node.field == claim and isinstance(node.operand, Ident) and node.operand.name == CLAIMS:
            return True
    elif isinstance(node, Call) and node.function == _OPTIONAL_SELECT and len(node.args) == 2:
        of, name = node.args
        if isinstance(of, Ident) and of.name == CLAIMS and isinstance(name, Literal) and name.value == claim:
            return True
    return any(_reads(child, claim) for child in children(node))


class _Object(View):
    """A JSON object whose fields may be asked for by their escaped names."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def find(self, key: Any) -> Any:
        if key.__class__ is not str:
            return MISSING
        name = unescape(key) if "__" in key else key
        value = self._data.get(name, MISSING)
        return value if value is MISSING else _value(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def raw(self) -> Any:
        return self._data


def _value(data: Any) -> Any:
    if data.__class__ is dict:
        return _Object(data)
    if data.__class__ is list:
        return [_value(item) for item in data]
    if data.__class__ is int:
        return float(data)
    return data


def claims_variables(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """What expressions over claims see."""
    return {CLAIMS: _Object(claims)}


def user_variables(user: User) -> Mapping[str, Any]:
    """What expressions over the user see."""
    extra = {key: list(values) for key, values in user.extra.items()}
    return {
        USER: {
            "username": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": _Object(extra),
        }
    }


def text_of(value: Any, what: str) -> str:
    """The value of an expression that must be text."""
    if not isinstance(value, str):
        raise AuthenticationError(
            f"oidc: error evaluating {what} claim expression: {what} claim expression must return a string"
        )
    return value


def texts_of(value: Any) -> list[str]:
    """The value of an expression that may be text, a list of texts, or null; empty texts are left out. ValueError."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(_NOT_TEXTS)
    return [item for item in value if item]


def hold(rules: tuple[Expression, ...], variables: Mapping[str, Any]) -> None:
    """AuthenticationError, in the words of the first rule that does not hold; all are evaluated first, as by the original."""
    values = [rule.value(variables) for rule in rules]
    for rule, value in zip(rules, values, strict=True):
        if value is not True:
            raise AuthenticationError(f"validation expression '{rule.text}' failed: {rule.message}")
