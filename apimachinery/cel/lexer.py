"""Text to tokens. What is no token is an issue in the original's words, and the rest is read on.

Written by hand with one regular expression, as the parser is: a grammar library costs 110 ms before the first rule
(lark 55 ms to import, 58 ms to build its tables, measured) in a server that is to be ready within a second, and 160 µs a
rule where this one takes 40; and the texts of syntax errors, which users of the original know, come out of its parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from apimachinery.cel.errors import Issues

_ESCAPE = r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_STRING = "|".join(
    [
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
        r'[rR]"""(?:.|\n|\r)*?"""',
        r"[rR]'''(?:.|\n|\r)*?'''",
        r'[rR]"[^"\n\r]*"',
        r"[rR]'[^'\n\r]*'",
    ]
)
_EXPONENT = r"[eE][+-]?[0-9]+"
_TOKEN = re.compile(
    "|".join(
        [
            r"(?P<SKIP>[\t \r\n\f]+|//[^\n]*)",
            rf"(?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:{_EXPONENT})?|[0-9]+{_EXPONENT}|\.[0-9]+(?:{_EXPONENT})?)",
            r"(?P<NUM_UINT>0x[0-9a-fA-F]+[uU]|[0-9]+[uU])",
            r"(?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)",
            rf"(?P<BYTES>[bB](?:{_STRING}))",
            rf"(?P<STRING>{_STRING})",
            r"(?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)",
            r"(?P<ESC_IDENTIFIER>`[A-Za-z0-9_./ -]+`)",
            r"(?P<OP>==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%])",
        ]
    )
)
_KEYWORDS = frozenset({"in", "true", "false", "null"})
END = "<EOF>"


class Token(NamedTuple):
    """kind: an operator's or keyword's own text, a kind of literal, IDENTIFIER, or END."""

    kind: str
    text: str
    at: int


def scan(text: str, issues: Issues) -> list[Token]:
    """The tokens, the last of which is END."""
    out: list[Token] = []
    position = 0
    length = len(text)
    match = _TOKEN.match
    while position < length:
        found = match(text, position)
        if found is None:
            bad = _unreadable(text, position)
            shown = bad.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
            issues.add(position, f"Syntax error: token recognition error at: '{shown}'")
            position += len(bad)
            continue
        kind = found.lastgroup
        if kind != "SKIP":
            word = found.group()
            if kind == "OP" or (kind == "IDENTIFIER" and word in _KEYWORDS):
                kind = word
            assert kind is not None
            out.append(Token(kind, word, position))
        position = found.end()
    out.append(Token(END, END, length))
    return out


_PARTIAL = re.compile(
    rf"[rR]?\"(?:{_ESCAPE}|[^\\\"\n\r])*(?:\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{{0,3}}|U[0-9a-fA-F]{{0,7}}|[0-3][0-7]?)?)?"
    rf"|[rR]?'(?:{_ESCAPE}|[^\\'\n\r])*(?:\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{{0,3}}|U[0-9a-fA-F]{{0,7}}|[0-3][0-7]?)?)?"
    r"|`[A-Za-z0-9_./ -]*|[|&=]"
)


def _unreadable(text: str, position: int) -> str:
    """What a token could have begun with, and the character that spoilt it."""
    found = _PARTIAL.match(text, position)
    end = (found.end() if found else position) + 1
    return text[position:end]
