"""Work that is too long for the event loop: what a large body or a large object costs, in a thread of its own.

A body of 3 MiB can cost a second of Python, however linear the code: decoding with every problem named, validation of a
hundred thousand labels, managedFields of as many keys. The one thread takes such work in turn; meanwhile the interpreter
hands the loop its share every few milliseconds. Small requests, which are nearly all, never come here: a thread costs more
than they do. What runs here must not touch what only the loop may touch (caches, sockets, tasks).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

LARGE = 64 * 1024  # bytes of a body or object; the worst of that size cost some 30 ms


@lru_cache(1)
def _thread() -> ThreadPoolExecutor:
    # One, so that large requests wait for each other and not the loop for all of them.
    return ThreadPoolExecutor(1, thread_name_prefix="large")


async def run(size: int, work: Callable[[], T]) -> T:
    """The work's result; in the thread when it is about that many bytes and that is much."""
    if size <= LARGE:
        return work()
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), lambda: context.run(work))
