"""The HTTPS endpoint that every control-plane component has beside its work: health for whoever watches over the process,
and metrics for who may read them.

Health may be read by anyone. /metrics needs a client certificate of the cluster's CA, as there is nothing secret in it but
nothing for strangers either. A CA that leaves the bundle is believed here until the next start.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

from aiohttp.web_request import BaseRequest

from apimachinery.clock import Clock, RealClock
from serving.health import TEXT, Check, Health
from serving.http import HttpServer
from serving.reply import Reply
from serving.tls import follow, server_context

log = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ComponentEndpoint:
    """The listener of one component; it does nothing when no port or no certificate is configured.

    render_metrics: the component's metrics in Prometheus' text format.
    """

    def __init__(
        self,
        *,
        bind_address: str,
        port: int,
        certificate: Path | None,
        key: Path | None,
        client_ca: Path | None,
        render_metrics: Callable[[], bytes],
        clock: Clock,
    ) -> None:
        self._bind_address = bind_address
        self._wanted_port = port
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._render_metrics = render_metrics
        self._clock = clock
        self._following: asyncio.Task[None] | None = None
        self._health = {name: Health(name) for name in ("healthz", "livez", "readyz")}
        self._server: HttpServer | None = None
        self.port = 0

    def add_check(self, name: str, check: Check) -> None:
        """Let a check count for all three health paths."""
        for health in self._health.values():
            health.add(name, check)

    async def start(self) -> None:
        """Listen. OSError when the port is taken or a certificate is missing."""
        if not self._wanted_port or self._certificate is None or self._key is None:
            return
        cas = [self._client_ca] if self._client_ca else []
        tls = server_context(self._certificate, self._key, cas)
        self._server = HttpServer(self._handle, tls=tls)
        self.port = await self._server.listen(self._bind_address, self._wanted_port)
        self._following = asyncio.create_task(
            follow(tls, self._certificate, self._key, cas, self._clock), name="certificates"
        )
        log.info("serving health on %s:%d", self._bind_address, self.port)

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._server is not None:
            await self._server.end()
            self._server = None

    async def _handle(self, request: BaseRequest) -> Reply:
        path, _, query = request.raw_path.partition("?")
        if path == "/metrics":
            if not _has_certificate(request):
                return Reply(401, b"Unauthorized\n", TEXT)
            return Reply(200, self._render_metrics(), METRICS_TYPE)
        name, _, tail = path.lstrip("/").partition("/")
        if name in self._health:
            reply = self._health[name].answer(f"/{tail}" if tail else "", parse_qs(query, keep_blank_values=True))
            if reply is not None:
                return reply
        return Reply(404, b"404 page not found\n", TEXT)


def _has_certificate(request: BaseRequest) -> bool:
    """Whether the client showed a certificate that is good now; TLS has verified that the CA signed it, and not looked at its
    dates, which go by the machine's time as TLS itself does."""
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    shown = tls.getpeercert() if tls is not None else None
    if not shown:
        return False
    begin, end = (ssl.cert_time_to_seconds(shown[name]) for name in ("notBefore", "notAfter"))
    return begin <= RealClock().time() <= end
