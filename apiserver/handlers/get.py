"""GET of one object (and of its status): bytes from the cache with an opening in front."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from apiserver.handlers import compression
from apiserver.handlers.scope import Scope
from apiserver.registry import metadata
from apiserver.requestinfo import parse_bool
from apiserver.storage.base import FutureRevision
from apiserver.storage.entry import Entry
from serving.reply import Reply


async def get(scope: Scope, request: Request) -> Reply:
    """200 with the object; 404, or 504 for a resourceVersion that the store has not reached."""
    form = scope.wanted(request)
    info = request.info
    if request.raw_query:
        entry = await _with_options(scope, request)
    else:
        entry = await scope.store.get(info.namespace, info.name, group=info.group)
    return await compression.compress(request, scope.reply(request, form, entry))


async def _with_options(scope: Scope, request: Request) -> Entry:
    query, info, store = request.query, request.info, scope.store
    if query.get("export") and parse_bool(query["export"]):
        raise errors.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
    wanted = metadata.parse_revision(request.param("resourceVersion"), of="resourceVersion")
    if wanted:
        await fresh(scope, wanted)
    elif request.param("resourceVersion") == "0":
        entry = store.cache.peek(store.key(info.namespace, info.name))
        if entry is not None:
            return entry
    return await store.get(info.namespace, info.name, group=info.group)


async def fresh(scope: Scope, revision: int) -> None:
    """Wait until the cache is at that revision; 504 when it does not get there."""
    try:
        await scope.store.cache.fresh(revision)
    except FutureRevision as error:
        raise too_large_revision(error.revision, error.current) from error


def too_large_revision(revision: int, current: int) -> ApiError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = f"Timeout: Too large resource version: {revision}, current: {current}"
    return ApiError(504, "Timeout", text, details={"causes": [cause]}, retry_after=1)
