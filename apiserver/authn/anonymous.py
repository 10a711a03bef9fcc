"""Requests without credentials: system:anonymous, everywhere, for some paths only, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.authn.user import ANONYMOUS, User


class AnonymousAuthenticator:
    """paths: those for which no credentials are needed; empty for all."""

    def __init__(self, enabled: bool, paths: Sequence[str] = ()) -> None:
        self._enabled = enabled
        self._paths = frozenset(paths)

    def authenticate(self, path: str) -> User | None:
        """path: of the request, decoded."""
        if not self._enabled or (self._paths and path not in self._paths):
            return None
        return ANONYMOUS
