"""Where a node's kubelet API is, and how the API server talks to it: addresses, port, TLS with its own client certificate.

Used by the handlers of log, exec, attach, port-forward and node proxy, under the name "kubelet" in the server's services.
Host names are resolved by the connection itself; nothing here follows a redirect.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from apimachinery import errors, filewatch
from apimachinery.clock import Clock
from apiserver.registry.kind import Obj, Reader
from serving import tls

DEFAULT_PORT = 10250
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Location:
    """A node's kubelet: host (address or name) and port."""

    host: str
    port: int

    def url(self, target: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}{target}"


class Kubelets:
    """Connections to node agents. One per server; close() ends it."""

    def __init__(
        self,
        reader: Reader,
        *,
        certificate: Path | None,
        key: Path | None,
        authority: Path | None,
        address_types: Sequence[str],
    ) -> None:
        self._reader = reader
        self._address_types = address_types
        self._identity = (certificate, key) if certificate is not None and key is not None else None
        self.tls = ssl.create_default_context(cafile=str(authority) if authority else None)
        if authority is None:
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        if self._identity is not None:
            self.tls.load_cert_chain(*self._identity)
        self.tls.set_alpn_protocols(["http/1.1"])
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """For plain requests (logs, node proxy)."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self.tls, limit=0, force_close=True),
                timeout=timeout,
                auto_decompress=False,
            )
        return self._session

    async def follow_files(self, clock: Clock) -> None:
        """Show kubelets the certificate that the files hold, as it is renewed; until cancelled."""
        if self._identity is None:
            return
        await tls.follow(self.tls, *self._identity, (), clock, seconds=filewatch.SECONDS)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def locate(self, node_name: str, *, asked: str = "nodes") -> Location:
        """The node's preferred address and port; 404 without such a node, 500 without an address.

        asked: the resource of the request, which the original's answer names instead of the node's.
        """
        node = await self._reader.get("", "nodes", None, node_name)
        if node is None:
            raise errors.not_found("", asked, node_name)
        return Location(self._address(node), _port(node))

    def _address(self, node: Obj) -> str:
        addresses: list[Obj] = (node.get("status") or {}).get("addresses") or []
        for wanted in self._address_types:
            for address in addresses:
                if address.get("type") == wanted:
                    return str(address["address"])
        known = " ".join(f"{{{address.get('type', '')} {address.get('address', '')}}}" for address in addresses)
        raise errors.ApiError(500, "", f"no preferred addresses found; known addresses: [{known}]")


def _port(node: Obj) -> int:
    endpoints: Obj = (node.get("status") or {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or DEFAULT_PORT)
