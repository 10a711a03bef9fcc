"""Semantic versions (semver 2.0.0): strict, or normalised first ("v1.2" is 1.2.0)."""

from __future__ import annotations

import re
from typing import ClassVar

from apimachinery import memo
from apimachinery.cel import types
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.values import Opaque
from apimachinery.field import go_quote

Part = tuple[bool, int, str]  # of a pre-release: whether it is text, its number, its text; sorts as it must
_ALPHANUM = re.compile(r"[0-9A-Za-z-]+")


class Semver(Opaque):
    __slots__ = ("numbers", "pre")
    cel_type: ClassVar[types.Type] = types.SEMVER

    def __init__(self, numbers: tuple[int, int, int], pre: tuple[Part, ...]) -> None:
        self.numbers = numbers
        self.pre = pre

    def compare(self, other: Semver) -> int:
        mine = (self.numbers, not self.pre, self.pre)
        theirs = (other.numbers, not other.pre, other.pre)
        return (mine > theirs) - (mine < theirs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.compare(other) == 0

    def __hash__(self) -> int:
        return hash((self.numbers, self.pre))


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise EvalError(f"Invalid character(s) found in {what} number {go_quote(text)}")
    if len(text) > 1 and text[0] == "0":
        raise EvalError(f"{what.capitalize()} number must not contain leading zeroes {go_quote(text)}")
    if len(text) > 20 or int(text) > 2**64 - 1:
        raise EvalError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _pre_release(text: str) -> Part:
    if not text:
        raise EvalError("prerelease is empty")
    if text.isascii() and text.isdigit():
        if len(text) > 1 and text[0] == "0":
            raise EvalError(f"Numeric PreRelease version must not contain leading zeroes {go_quote(text)}")
        if len(text) > 20 or int(text) > 2**64 - 1:
            raise EvalError(f'strconv.ParseUint: parsing "{text}": value out of range')
        return False, int(text), ""
    if not _ALPHANUM.fullmatch(text):
        raise EvalError(f"Invalid character(s) found in prerelease {go_quote(text)}")
    return True, 0, text


@memo.short(256)
def parse(text: str) -> Semver:
    """The version; EvalError in the original's words."""
    if not text:
        raise EvalError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise EvalError("No Major.Minor.Patch elements found")
    major, minor = _number(parts[0], "major"), _number(parts[1], "minor")
    rest, plus, build = parts[2].partition("+")
    patch, minus, pre = rest.partition("-")
    number = _number(patch, "patch")
    found = tuple(_pre_release(part) for part in pre.split(".")) if minus else ()
    for part in build.split(".") if plus else ():
        if not part:
            raise EvalError("Build meta data is empty")
        if not _ALPHANUM.fullmatch(part):
            raise EvalError(f"Invalid character(s) found in build meta data {go_quote(part)}")
    return Semver((major, minor, number), found)


def _normalized(text: str, normalize: bool = False) -> Semver:
    if not normalize:
        return parse(text)
    parts = text.removeprefix("v").split(".", 2)
    for position, part in enumerate(parts):
        if len(part) > 1:
            part = part.lstrip("0")
            parts[position] = part if part and part[0] in "0123456789" else f"0{part}"
    if len(parts) < 3:
        if any(char in parts[-1] for char in "+-"):
            raise EvalError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return parse(".".join(parts))


def _is(text: str, normalize: bool = False) -> bool:
    try:
        _normalized(text, normalize)
    except EvalError:
        return False
    return True


OVERLOADS = [
    Overload("semver", "string_to_semver", "(string) semver", _normalized),
    Overload("semver", "string_bool_to_semver", "(string, bool) semver", _normalized),
    Overload("isSemver", "is_semver_string", "(string) bool", _is),
    Overload("isSemver", "is_semver_string_bool", "(string, bool) bool", _is),
    Overload("isGreaterThan", "semver_is_greater_than", "semver.(semver) bool", lambda a, b: a.compare(b) > 0),
    Overload("isLessThan", "semver_is_less_than", "semver.(semver) bool", lambda a, b: a.compare(b) < 0),
    Overload("compareTo", "semver_compare_to", "semver.(semver) int", lambda a, b: a.compare(b)),
    Overload("major", "semver_major", "semver.() int", lambda version: version.numbers[0]),
    Overload("minor", "semver_minor", "semver.() int", lambda version: version.numbers[1]),
    Overload("patch", "semver_patch", "semver.() int", lambda version: version.numbers[2]),
]
