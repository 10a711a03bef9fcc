"""The webhook backend: EventLists posted to the server of a kubeconfig, in batches that are sent again when they fail."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apimachinery.filewatch import Followed
from apimachinery.tokenbucket import TokenBucket
from apiserver import outbound
from apiserver.audit.config import Config
from apiserver.audit.events import truncated
from client import kubeconfig
from client.kubeconfig import Credentials

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_FACTOR, _JITTER = 1.5, 0.2
_TIMEOUT = 30.0  # seconds for one attempt
_OPENING = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
_END_SECONDS = 1.0  # for what still waits when the server ends

Failed = Callable[[str, int], None]


def _server(path: Path) -> tuple[tuple[Credentials, ssl.SSLContext], list[Path]]:
    """What a kubeconfig says, and the files that say it. KubeconfigError, ssl.SSLError."""
    credentials = kubeconfig.load(path)
    return (credentials, credentials.ssl_context()), kubeconfig.files(path)


class WebhookBackend:
    """process() queues an event; run() sends batches. In blocking modes each event is sent by itself, and waited for.

    The kubeconfig and the certificates it names are read again as they are renewed.
    """

    name = "webhook"

    def __init__(self, config: Config, clock: Clock, failed: Failed) -> None:
        """kubeconfig.KubeconfigError when the file cannot be used."""
        assert config.audit_webhook_config_file is not None
        path = config.audit_webhook_config_file
        self._server = Followed(clock, lambda: _server(path))
        self._clock = clock
        self._failed = failed
        self._config = config
        self._batch = config.audit_webhook_mode == "batch"
        self.strict = config.audit_webhook_mode == "blocking-strict"
        self._waiting: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        rate, burst = config.audit_webhook_batch_throttle_qps, config.audit_webhook_batch_throttle_burst
        self._throttle = TokenBucket(clock, rate, burst) if config.audit_webhook_batch_throttle_enable else None
        self._session: aiohttp.ClientSession | None = None

    def process(self, line: bytes) -> Awaitable[bool] | None:
        config = self._config
        if config.audit_webhook_truncate_enabled and len(line) > config.audit_webhook_truncate_max_event_size:
            line = truncated(line)
            if len(line) > config.audit_webhook_truncate_max_event_size:
                self._failed("truncate", 1)
                return None
        if not self._batch:
            return self._send([line])
        if len(self._waiting) >= config.audit_webhook_batch_buffer_size:
            self._failed("buffered", 1)
            return None
        self._waiting.append(line)
        self._some.set()
        if len(self._waiting) >= config.audit_webhook_batch_max_size:
            self._full.set()
        return None

    async def run(self) -> None:
        """Send batches: when one is full, or its first event has waited long enough."""
        config = self._config
        async with asyncio.TaskGroup() as sending:
            slots = asyncio.Semaphore(config.audit_webhook_batch_throttle_burst)
            while True:
                await self._some.wait()
                if config.audit_webhook_batch_max_size > 1:
                    try:
                        await clocks.wait_for(self._clock, self._full.wait(), config.audit_webhook_batch_max_wait)
                    except TimeoutError:
                        pass
                if self._throttle is not None:
                    await self._clock.sleep(self._throttle.reserve())
                await slots.acquire()
                batch = self._take()
                sending.create_task(self._send(batch), name="audit-webhook").add_done_callback(
                    lambda _: slots.release()
                )

    def _take(self) -> list[bytes]:
        config = self._config
        most = config.audit_webhook_truncate_max_batch_size if config.audit_webhook_truncate_enabled else 0
        batch: list[bytes] = []
        size = 0
        while self._waiting and len(batch) < config.audit_webhook_batch_max_size:
            size += len(self._waiting[0])
            if most and batch and size > most:
                break
            batch.append(self._waiting.popleft())
        if not self._waiting:
            self._some.clear()
        if len(self._waiting) < config.audit_webhook_batch_max_size:
            self._full.clear()
        return batch

    async def _send(self, batch: Sequence[bytes]) -> bool:
        body = _OPENING + b",".join(batch) + b"]}"
        wait = self._config.audit_webhook_initial_backoff
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._clock.sleep(wait * (1 + _JITTER * random.random()))
                wait *= _FACTOR
            problem = await self._post(body)
            if not problem:
                return True
        log.error("%d audit events were not taken by the webhook: %s", len(batch), problem)
        self._failed(self.name, len(batch))
        return False

    async def _post(self, body: bytes) -> str:
        """What went wrong, "" when nothing did."""
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        credentials, tls = await self._server.current()
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        try:
            token = credentials.token
            if credentials.token_file:
                token = (await asyncio.to_thread(Path(credentials.token_file).read_text)).strip()
            if token:
                headers["Authorization"] = f"Bearer {token}"
            async with (
                clocks.timeout(self._clock, _TIMEOUT),
                self._session.post(
                    credentials.server,
                    data=body,
                    headers=headers,
                    ssl=tls,
                    server_hostname=credentials.server_name,
                    allow_redirects=False,
                ) as answer,
            ):
                return "" if answer.status < 300 else f"the server answered {answer.status}"
        except TimeoutError:
            return "context deadline exceeded"
        except (aiohttp.ClientError, OSError) as error:
            return outbound.words(error, credentials.server_name or credentials.server)

    async def close(self) -> None:
        """One more attempt for what waits."""
        try:
            async with clocks.timeout(self._clock, _END_SECONDS):
                while self._waiting:
                    batch = self._take()
                    if problem := await self._post(_OPENING + b",".join(batch) + b"]}"):
                        log.error("%d audit events were not taken by the webhook: %s", len(batch), problem)
                        self._failed(self.name, len(batch))
        except TimeoutError:
            self._failed(self.name, len(self._waiting))
        if self._session is not None:
            await self._session.close()
