"""What can go wrong with an expression, in cel-go's words: compile errors with their place, and run-time errors.

CompileError carries Issues; its text is what the original shows users ("ERROR: <input>:1:5: undefined field 'x'" with the
source line and a caret). EvalError is a value of the language while an expression runs (&& and || may absorb it).
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MAX_ISSUES = 100
_MAX_SNIPPET = 16384
NO_PLACE = -1  # the offset of errors about the whole expression


class CelError(Exception):
    """Everything this package raises on purpose."""


class EvalError(CelError):
    """An expression cannot be evaluated; the text is cel-go's ("no such key: x", "division by zero").

    cost: what the evaluation cost until then; set when the error leaves the program.
    """

    cost = 0


# What evaluating may raise. The others than EvalError come from data that are not of their declared type, such as null in a
# list of strings or an old object from before its schema changed; they mean "no such overload".
FAILURES = (EvalError, TypeError, AttributeError)


class ProgramError(CelError):
    """A checked expression that cannot be made into a program: a constant part of it cannot be evaluated."""


class CostExceeded(CelError):
    """The evaluation was stopped because it cost more than it may. cost: what was spent by then."""

    def __init__(self, cost: int) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
        self.cost = cost


@dataclass(frozen=True, slots=True)
class Issue:
    """One compile error. offset: in characters from the start of the text."""

    offset: int
    message: str


@dataclass(slots=True)
class Issues:
    """The compile errors of one text."""

    text: str
    found: list[Issue] = field(default_factory=list)

    def add(self, offset: int, message: str) -> None:
        self.found.append(Issue(offset, message))

    def __bool__(self) -> bool:
        return bool(self.found)

    def __str__(self) -> str:
        ordered = sorted(self.found[:_MAX_ISSUES], key=lambda issue: issue.offset)
        lines = [self._draw(issue) for issue in ordered]
        if len(self.found) > _MAX_ISSUES:
            lines.append(f"{len(self.found) - _MAX_ISSUES} more errors were truncated")
        return "\n".join(lines)

    def _draw(self, issue: Issue) -> str:
        if issue.offset == NO_PLACE:
            return f"ERROR: <input>:-1:0: {issue.message}"
        before = self.text[: issue.offset]
        line = before.count("\n")
        column = len(before) - (before.rfind("\n") + 1)
        out = f"ERROR: <input>:{line + 1}:{column + 1 if self.text else 0}: {issue.message}"
        snippet = self.text.split("\n")[line]
        if not self.text or len(snippet.encode()) > _MAX_SNIPPET:
            return out
        snippet = snippet.replace("\t", " ")
        dots = "".join("．" if ord(char) > 127 else "." for char in snippet[:column])
        mark = "＾" if ord(snippet[column : column + 1] or " ") > 127 else "^"
        return f"{out}\n | {snippet}\n | {dots}{mark}"


class CompileError(CelError):
    """The text is no valid expression for its environment."""

    def __init__(self, issues: Issues) -> None:
        super().__init__(str(issues))
        self.issues = issues
