"""Where objects live: engines (base.py is their contract, one package each) and the watch cache before them (cacher.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.storage.base import Backend

Factory = Callable[[str, "Clock", float], "Backend"]
"""(what follows the scheme, clock, seconds of history to keep) -> an engine, not yet started."""


def _sqlite(location: str, clock: Clock, history: float) -> Backend:
    from apiserver.storage import sqlite

    path = unquote(urlsplit("file:" + location).path)
    if not path or path.endswith("/"):
        raise ValueError(f"sqlite:{location} names no file: write sqlite:/path/to/file or sqlite:///path/to/file")
    return sqlite.SQLite(Path(path), clock, sqlite.Options(history=history))


def _memory(location: str, clock: Clock, history: float) -> Backend:
    from apiserver.storage import sqlite

    return sqlite.SQLite(None, clock, sqlite.Options(history=history))


BACKENDS: Mapping[str, Factory] = {"sqlite": _sqlite, "memory": _memory}


def open_backend(url: str, clock: Clock, history: float = 300.0) -> Backend:
    """The engine that a URL names: "sqlite:///path/to/file", "sqlite:relative/file", "memory:". Not yet started.

    history: seconds for which overwritten and deleted objects stay readable, 0 for always.
    ValueError says what is wrong with the URL.
    """
    scheme, colon, location = url.partition(":")
    factory = BACKENDS.get(scheme)
    if not colon or factory is None:
        names = ", ".join(f"{name}:" for name in BACKENDS)
        raise ValueError(f"{url!r} names no storage engine; available: {names}")
    return factory(location, clock, history)
