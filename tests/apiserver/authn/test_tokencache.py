"""Remembered answers about tokens: asked for once, forgotten when the issuers change, ended with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from apimachinery.clock import ControlledClock, settle
from apiserver.authn.base import AuthenticationError, Response
from apiserver.authn.metrics import AuthenticationMetrics
from apiserver.authn.tokencache import TokenCache
from apiserver.authn.user import User


class Slow:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Response | None]] = []

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


def cached(slow: Slow, clock: ControlledClock) -> TokenCache:
    metrics = AuthenticationMetrics(clock, "server")
    return TokenCache(slow, clock, metrics, success=10, failure=0, errors=True)


ANN, BOB = Response(User("ann"), ()), Response(User("bob"), ())


async def test_one_question_for_all_who_wait_and_who_leaves_takes_nothing_away() -> None:
    slow, clock = Slow(), ControlledClock()
    cache = cached(slow, clock)
    first, second = (asyncio.create_task(cache.authenticate_token("t", ())) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    (question,) = slow.asked
    question.set_result(ANN)
    assert await second is ANN
    assert await cache.authenticate_token("t", ()) is ANN
    await clock.advance(10)
    again = asyncio.create_task(cache.authenticate_token("t", ()))
    await settle()
    assert len(slow.asked) == 2
    slow.asked[1].set_result(None)
    assert await again is None


async def test_an_answer_of_before_is_not_remembered_after() -> None:
    slow = Slow()
    cache = cached(slow, ControlledClock())
    before = asyncio.create_task(cache.authenticate_token("t", ()))
    await settle()
    cache.clear()
    after = asyncio.create_task(cache.authenticate_token("t", ()))
    await settle()
    old, new = slow.asked
    new.set_result(BOB)
    assert await after is BOB
    old.set_result(ANN)
    assert await before is ANN
    assert await cache.authenticate_token("t", ()) is BOB


async def test_a_question_that_is_never_answered_ends() -> None:
    slow, clock = Slow(), ControlledClock()
    cache = cached(slow, clock)
    asking = asyncio.create_task(cache.authenticate_token("t", ()))
    await settle()
    await clock.advance(30)
    with pytest.raises(AuthenticationError, match="context deadline exceeded"):
        await asking
    left = asyncio.create_task(cache.authenticate_token("t", ()))
    await settle()
    await cache.close()
    assert slow.asked[1].cancelled()
    with pytest.raises(asyncio.CancelledError):
        await left
