"""One component's process, from the fork to its exit: logs, readiness, end of life.

run() is what a forked child (or `steersman <component>` in the foreground) ends in. A child learns of its parent's death by
the lifeline, a pipe that the parent keeps open and never writes to, so that nothing is left behind after a kill -9 of
the supervisor. It says that it is ready by one byte on the notify pipe.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 3
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"

Ready = Callable[[], None]
Component = Callable[[Any, Ready], Coroutine[Any, Any, None]]


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file of bounded size that standard output and error are kept pointed at."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        self._adopt()

    def doRollover(self) -> None:
        super().doRollover()
        self._adopt()

    def _adopt(self) -> None:
        if self.stream is not None:
            os.dup2(self.stream.fileno(), 1)
            os.dup2(self.stream.fileno(), 2)


def set_up_logging(path: Path | None, level: str) -> None:
    """Log to that file, or to standard error when there is none."""
    handler: logging.Handler = _LogFile(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # aiohttp logs whole requests and over-long headers, which may hold tokens.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


def run(
    component: Component,
    config: Any,
    *,
    name: str,
    log_file: Path | None,
    log_level: str = "info",
    lifeline: int | None = None,
    notify: int | None = None,
) -> int:
    """Run the component until it ends, a signal or the parent's death; the exit status."""
    import uvloop

    set_up_logging(log_file, log_level)
    gc.collect()
    gc.freeze()

    def ready() -> None:
        if notify is not None:
            os.write(notify, b"1")
        else:
            log.info("%s is ready", name)

    try:
        status: int = uvloop.run(_supervised(component(config, ready), lifeline))
        return status
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except Exception as error:
        # The edge between a component and the supervisor: the whole story goes to the log, its last line to the user.
        if is_plain(error):
            log.error("%s cannot start: %s", name, describe(error))
        else:
            log.exception("%s ended with an error", name)
        if notify is not None:
            os.write(notify, describe(error).encode()[:1000])
        return 1


def describe(error: BaseException) -> str:
    """An error's own words; of a group, those of its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error)
    return text if isinstance(error, OSError) or text else type(error).__name__


def is_plain(error: BaseException) -> bool:
    """Whether the error's text says all there is to say: something the user configured cannot be used (`plain = True`)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return bool(getattr(error, "plain", False))


async def _supervised(work: Awaitable[None], lifeline: int | None) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    def stop() -> None:
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if lifeline is not None:

        def orphaned() -> None:
            loop.remove_reader(lifeline)
            stop()

        loop.add_reader(lifeline, orphaned)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    return 0


def name_process(name: str) -> None:
    """Show the component's name in ps and top (Linux: at most 15 bytes)."""
    try:
        Path("/proc/self/comm").write_text(name[:15])
    except OSError:
        log.debug("no /proc/self/comm to write a process name to")
