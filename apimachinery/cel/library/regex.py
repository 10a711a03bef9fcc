"""Regular expressions in linear time (RE2, whose syntax Go's is): matches, find and findAll.

The package re2 is imported when the first pattern is compiled, since most processes never meet one.
"""

from __future__ import annotations

from typing import Any

from apimachinery import memo
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError

_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "trailing \\": "trailing backslash at end of expression",
}


@memo.short(1024)
def pattern(text: str) -> Any:
    """The compiled pattern; EvalError in Go's words when it is none."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        message = error.args[0]
        message = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        code, _, part = message.partition(": ")
        shown = f": `{part}`" if part else ""
        raise EvalError(f"error parsing regexp: {_WORDS.get(code, code)}{shown}") from None


def matches(text: str, regexp: str) -> bool:
    """Whether the pattern occurs in the text."""
    return pattern(regexp).search(text) is not None


def _legal(regexp: str) -> Any:
    try:
        return pattern(regexp)
    except EvalError as error:
        raise EvalError(f"Illegal regex: {error}") from None


def find(text: str, regexp: str) -> str:
    """The leftmost match, or the empty string."""
    found = _legal(regexp).search(text)
    return "" if found is None else str(found.group())


def find_all(text: str, regexp: str, limit: int = -1) -> list[str]:
    """The matches that do not overlap, at most limit of them unless it is negative."""
    out: list[str] = []
    compiled = _legal(regexp)
    if limit == 0:
        return out
    for found in compiled.finditer(text):
        out.append(found.group())
        if len(out) == limit:
            break
    return out


OVERLOADS = [
    Overload("find", "string_find_string", "string.(string) string", find),
    Overload("findAll", "string_find_all_string", "string.(string) list(string)", find_all),
    Overload("findAll", "string_find_all_string_int", "string.(string, int) list(string)", find_all),
]
