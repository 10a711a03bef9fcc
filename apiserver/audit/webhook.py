"""The webhook backend: EventLists posted to the server of a kubeconfig, in batches that are sent again when they fail."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apiserver import outbound
from apiserver.audit.config import Config
from apiserver.audit.events import truncated
from client import kubeconfig

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_FACTOR, _JITTER = 1.5, 0.2
_TIMEOUT = 30.0  # seconds for one attempt
_OPENING = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
_END_SECONDS = 1.0  # for what still waits when the server ends

Failed = Callable[[str, int], None]


class WebhookBackend:
    """process() queues an event; run() sends batches. In blocking modes each event is sent by itself, and waited for."""

    name = "webhook"

    def __init__(self, config: Config, clock: Clock, failed: Failed) -> None:
        """kubeconfig.KubeconfigError when the file cannot be used."""
        assert config.audit_webhook_config_file is not None
        credentials = kubeconfig.load(config.audit_webhook_config_file)
        self._url = credentials.server
        self._tls = credentials.ssl_context()
        self._name = credentials.server_name
        self._credentials = credentials
        self._clock = clock
        self._failed = failed
        self._config = config
        self._batch = config.audit_webhook_mode == "batch"
        self.strict = config.audit_webhook_mode == "blocking-strict"
        self._waiting: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._tokens = float(config.audit_webhook_batch_throttle_burst)
        self._refilled = clock.monotonic()
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
                await self._throttle()
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

    async def _throttle(self) -> None:
        config = self._config
        if not config.audit_webhook_batch_throttle_enable:
            return
        rate = config.audit_webhook_batch_throttle_qps
        now = self._clock.monotonic()
        burst = float(config.audit_webhook_batch_throttle_burst)
        self._tokens = min(burst, self._tokens + (now - self._refilled) * rate)
        self._refilled = now
        self._tokens -= 1
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / rate)

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
            self._session = aiohttp.ClientSession(auto_decompress=False)
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with (
                clocks.timeout(self._clock, _TIMEOUT),
                self._session.post(
                    self._url,
                    data=body,
                    headers=headers,
                    ssl=self._tls,
                    server_hostname=self._name,
                    allow_redirects=False,
                ) as answer,
            ):
                return "" if answer.status < 300 else f"the server answered {answer.status}"
        except TimeoutError:
            return "context deadline exceeded"
        except (aiohttp.ClientError, OSError) as error:
            return outbound.words(error, self._name or self._url)

    def _token(self) -> str:
        if self._credentials.token_file:
            with open(self._credentials.token_file) as file:
                return file.read().strip()
        return self._credentials.token or ""

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
