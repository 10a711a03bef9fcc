"""Users by X-Remote-* headers, believed only from a front proxy that shows a certificate of the requestheader CA."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from cryptography import x509 as cx509

from apimachinery.clock import Clock
from apiserver.authn import x509
from apiserver.authn.base import AuthenticationError, Credentials, Headers, Response
from apiserver.authn.user import User


class FrontProxyAuthenticator:
    """The identity that an authenticating proxy in front of this server states."""

    def __init__(
        self,
        roots: Sequence[cx509.Certificate],
        *,
        allowed_names: Sequence[str],
        username_headers: Sequence[str],
        uid_headers: Sequence[str],
        group_headers: Sequence[str],
        extra_prefixes: Sequence[str],
        clock: Clock,
    ) -> None:
        self._verifier = x509.Verifier(roots, clock)
        self.trust = self._verifier.trust
        self._allowed = frozenset(allowed_names)
        self._username_headers = tuple(username_headers)
        self._uid_headers = tuple(uid_headers)
        self._group_headers = tuple(group_headers)
        self._extra_prefixes = tuple(prefix.lower() for prefix in extra_prefixes)

    async def authenticate(self, credentials: Credentials) -> Response | None:
        if credentials.certificate is None:
            return None
        headers = credentials.headers
        name = _first(headers, self._username_headers)
        if not name:
            return None
        verified = self._verifier.verify(credentials.certificate, credentials.intermediates)
        if self._allowed and x509.common_name(verified.leaf) not in self._allowed:
            cn = x509.common_name(verified.leaf)
            raise AuthenticationError(f"x509: subject with cn={cn} is not in the allowed list")
        groups = [value for header in self._group_headers for value in headers.getall(header, []) if value]
        return Response(User(name, _first(headers, self._uid_headers), groups, self._extra(headers)))

    def _extra(self, headers: Headers) -> dict[str, list[str]]:
        extra: dict[str, list[str]] = {}
        for prefix in self._extra_prefixes:
            for header in dict.fromkeys(key.lower() for key in headers):
                if header.startswith(prefix):
                    extra.setdefault(unquote(header[len(prefix) :]), []).extend(headers.getall(header, []))
        return extra


def _first(headers: Headers, names: Sequence[str]) -> str:
    for name in names:
        value = headers.get(name)
        if value:
            return value
    return ""
