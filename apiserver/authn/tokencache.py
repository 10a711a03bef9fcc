"""Answers of slow token authenticators (other issuers, webhooks), remembered for a while and asked for once at a time.

The key is a keyed hash of token and audiences, so that no token stays in memory. What is remembered is bounded; a user whose
right is withdrawn elsewhere keeps it for at most the time that answers live.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apiserver.authn.base import AuthenticationError, Response, TokenAuthenticator
from apiserver.authn.metrics import HIT, MISS, AuthenticationMetrics
from serving.expiring import Expiring

_SIZE = 32 * 1024
_LOOKUP_SECONDS = 30.0  # for all who wait for one answer


@dataclass(frozen=True, slots=True)
class _Record:
    """response: None when nobody knew the token, or it was refused for `error`."""

    response: Response | None
    error: str

    def result(self) -> Response | None:
        if self.error:
            raise AuthenticationError(self.error)
        return self.response


class TokenCache:
    """Another token authenticator, remembered. Seconds of 0: not at all. errors: whether what it raised is remembered."""

    def __init__(
        self,
        authenticator: TokenAuthenticator,
        clock: Clock,
        metrics: AuthenticationMetrics,
        *,
        success: float,
        failure: float,
        errors: bool,
    ) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._metrics = metrics
        self._success = success
        self._failure = failure
        self._errors = errors
        self._key = secrets.token_bytes(32)
        self._records: Expiring[bytes, _Record] = Expiring(clock, _SIZE)
        self._asking: dict[bytes, asyncio.Task[_Record]] = {}
        self._tasks: set[asyncio.Task[_Record]] = set()

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        begun = self._clock.monotonic()
        key = self._digest(token, audiences)
        record = self._records.get(key)
        if record is not None:
            self._count(HIT, begun)
            return record.result()
        self._count_active("blocked", 1)
        try:
            task = self._asking.get(key) or self._start(key, token, audiences)
            # A client that leaves must not take the answer away from others who wait for it.
            record = await asyncio.shield(task)
        finally:
            self._count_active("blocked", -1)
            self._count(MISS, begun)
        return record.result()

    def _start(self, key: bytes, token: str, audiences: Sequence[str]) -> asyncio.Task[_Record]:
        asking, work = self._asking, self._ask(key, token, audiences)
        task = asking[key] = asyncio.get_running_loop().create_task(work, name="token look-up")
        self._tasks.add(task)

        def ended(_: object) -> None:
            asking.pop(key, None)
            self._tasks.discard(task)

        task.add_done_callback(ended)
        return task

    def clear(self) -> None:
        """Forget all answers, those on their way too: whoever waits for one gets it, and nobody after them."""
        self._records, self._asking = Expiring(self._clock, _SIZE), {}

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _digest(self, token: str, audiences: Sequence[str]) -> bytes:
        hashed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (token, *audiences):
            data = part.encode("utf-8", "surrogateescape")
            hashed.update(len(data).to_bytes(4, "big") + data)
        return hashed.digest()

    async def _ask(self, key: bytes, token: str, audiences: Sequence[str]) -> _Record:
        metrics, records = self._metrics, self._records
        self._count_active("in_flight", 1)
        response, error = None, ""
        try:
            async with clocks.timeout(self._clock, _LOOKUP_SECONDS):
                response = await self._authenticator.authenticate_token(token, audiences)
        except AuthenticationError as problem:
            error = str(problem)
        except TimeoutError:
            error = "context deadline exceeded"
        finally:
            self._count_active("in_flight", -1)
        metrics.cache_fetches.add(("error",) if error else ("ok",))
        seconds = self._success if response is not None else self._failure
        record = _Record(response, error)
        if self._errors or not error:
            records.put(key, record, seconds)
        return record

    def _count(self, status: tuple[str], begun: float) -> None:
        self._metrics.cache_requests.add(status)
        self._metrics.cache_seconds.observe(self._clock.monotonic() - begun, status)

    def _count_active(self, status: str, amount: int) -> None:
        self._metrics.cache_active.add((status,), amount)
