"""Subresources whose body is not the object itself, one file each.

SUBRESOURCES: (group, plural, subresource) -> method -> handler; an empty group and plural stand for every kind, an empty
subresource for the collection of a kind that is not stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from apiserver.filters.base import Request
from apiserver.handlers.scope import Scope
from serving.reply import Reply

Endpoint = Callable[[Scope, Request], Awaitable[Reply]]

SUBRESOURCES: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {}
