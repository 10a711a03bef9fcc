"""PATCH of an object or its status: JSON patch, merge patch, strategic merge patch, server-side apply."""

from __future__ import annotations

from apiserver.filters.base import Request
from apiserver.filters.errors import method_not_allowed
from apiserver.handlers.scope import Scope
from serving.reply import Reply


async def patch(scope: Scope, request: Request) -> Reply:
    raise method_not_allowed()
