"""Regular expressions as Go has them: RE2 syntax and linear time, whatever the pattern; errors in Go's words."""

from __future__ import annotations

from typing import Any, Protocol

from apimachinery import memo


class Pattern(Protocol):
    def search(self, text: str) -> Any: ...


class RegexpError(ValueError):
    """A pattern that Go does not compile; the text is Go's."""


_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "invalid character class range": "invalid character class range",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid escape sequence": "invalid escape sequence",
    "invalid named capture group": "invalid named capture",
    "unexpected )": "unexpected )",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "trailing \\": "trailing backslash at end of expression",
    "invalid UTF-8": "invalid UTF-8",
}


@memo.short(1024, 4096)
def compile(pattern: str) -> Pattern:
    """The compiled pattern; RegexpError "error parsing regexp: missing closing ): `(`"."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0]
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        code, _, part = text.partition(": ")
        words = _WORDS.get(code, code)
        raise RegexpError(f"error parsing regexp: {words}" + (f": `{part}`" if part else "")) from None
    return compiled


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches anywhere in the text."""
    return compile(pattern).search(text) is not None
