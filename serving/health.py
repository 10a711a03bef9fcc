"""/healthz, /livez and /readyz as every Kubernetes component serves them: plain text, ?verbose, ?exclude=, one check a path.

A check is a name and a function that returns None or the text of what is wrong. Reasons are logged, never told to the
client, as in the original.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from serving.reply import Reply

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
TEXT = "text/plain; charset=utf-8"
_NOSNIFF = ("X-Content-Type-Options", "nosniff")


class Health:
    """The checks behind one endpoint ("healthz", "livez" or "readyz"), in order."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.checks: dict[str, Check] = {"ping": lambda: None}

    def add(self, name: str, check: Check) -> None:
        self.checks[name] = check

    @property
    def ok(self) -> bool:
        return all(check() is None for check in self.checks.values())

    def answer(self, tail: str, query: Mapping[str, list[str]]) -> Reply | None:
        """The answer for /<endpoint><tail>; None when no such check exists."""
        if tail in ("", "/"):
            return self._all(query)
        check = self.checks.get(tail.removeprefix("/"))
        if check is None:
            return None
        problem = check()
        if problem is None:
            return Reply(200, b"ok", TEXT)
        log.warning("%s check %s failed: %s", self.endpoint, tail, problem)
        return Reply(500, f"internal server error: {problem}\n".encode(), TEXT, [_NOSNIFF])

    def _all(self, query: Mapping[str, list[str]]) -> Reply:
        excluded = set(query.get("exclude", ()))
        lines, failed = [], []
        for name, check in self.checks.items():
            if name in excluded:
                excluded.discard(name)
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = check()
            if problem is None:
                lines.append(f"[+]{name} ok")
            else:
                failed.append(f"{name}: {problem}")
                lines.append(f"[-]{name} failed: reason withheld")
        if excluded:
            names = ", ".join(f'"{name}"' for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if failed:
            log.warning("%s check failed: %s", self.endpoint, "; ".join(failed))
            text = "\n".join(lines) + f"\n{self.endpoint} check failed\n"
            return Reply(500, text.encode(), TEXT, [_NOSNIFF])
        if "verbose" in query:
            return Reply(200, ("\n".join(lines) + f"\n{self.endpoint} check passed\n").encode(), TEXT, [_NOSNIFF])
        return Reply(200, b"ok", TEXT, [_NOSNIFF])
