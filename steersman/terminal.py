"""What `up` says while it works: one line per thing that is ready, in colour where a terminal shows it."""

from __future__ import annotations

import sys
from typing import TextIO


class Terminal:
    """Writes progress lines to a stream; colours only on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colours = self._stream.isatty()

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """Plain text."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def title(self, text: str) -> None:
        self.line(self._paint("1", text))

    def done(self, what: str, detail: str = "") -> None:
        """Something is ready."""
        self.line(f"  {self._paint('32', '✓')} {what:<14}{self._paint('2', detail) if detail else ''}".rstrip())

    def warn(self, what: str, detail: str = "") -> None:
        """Something is not as it should be, and is being dealt with."""
        self.line(f"  {self._paint('33', '!')} {what:<14}{detail}".rstrip())

    def fail(self, what: str, detail: str = "") -> None:
        """Something cannot be."""
        self.line(f"  {self._paint('31', '✗')} {what:<14}{detail}".rstrip())
