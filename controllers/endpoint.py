"""The HTTPS endpoint of the controllers: /healthz and /livez for whoever watches over the process, /metrics.

Started by the manager. Health may be read by anyone; nothing else is served without the API server's consent.
"""

from __future__ import annotations

import logging
from urllib.parse import parse_qs

from aiohttp.web_request import BaseRequest

from client.api import Client
from client.leaderelection import LeaderElector
from controllers.config import Config
from controllers.metrics import Registry
from serving.health import TEXT, Health
from serving.http import HttpServer
from serving.reply import Reply
from serving.tls import server_context

log = logging.getLogger(__name__)


class Endpoint:
    """The listener; does nothing when no port or no certificate is configured."""

    def __init__(self, config: Config, client: Client, registry: Registry) -> None:
        self._config = config
        self._client = client
        self._registry = registry
        self._health = {name: Health(name) for name in ("healthz", "livez", "readyz")}
        self._server: HttpServer | None = None
        self.port = 0

    def watch_lease(self, elector: LeaderElector) -> None:
        """A leader that has not renewed its Lease for too long is not healthy."""
        for health in self._health.values():
            health.add("leaderElection", elector.check)

    async def start(self) -> None:
        """Listen. OSError when the port is taken or a certificate is missing."""
        config = self._config
        if not config.secure_port or config.tls_cert_file is None or config.tls_private_key_file is None:
            return
        cas = [config.client_ca_file] if config.client_ca_file else []
        tls = server_context(config.tls_cert_file, config.tls_private_key_file, cas)
        self._server = HttpServer(self._handle, tls=tls)
        self.port = await self._server.listen(config.bind_address, config.secure_port)
        log.info("serving health on %s:%d", config.bind_address, self.port)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.end()
            self._server = None

    async def _handle(self, request: BaseRequest) -> Reply:
        path, _, query = request.raw_path.partition("?")
        name, _, tail = path.lstrip("/").partition("/")
        if name in self._health:
            reply = self._health[name].answer(f"/{tail}" if tail else "", parse_qs(query, keep_blank_values=True))
            if reply is not None:
                return reply
        return Reply(404, b"404 page not found\n", TEXT)
