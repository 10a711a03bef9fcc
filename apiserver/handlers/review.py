"""POST to a kind that is not stored: a question (SubjectAccessReview, TokenReview, ...), answered by the kind itself."""

from __future__ import annotations

from apimachinery import times
from apiserver import negotiate
from apiserver.filters.base import Request
from apiserver.handlers import options
from apiserver.handlers.create import manager_of
from apiserver.handlers.scope import Scope
from apiserver.registry import metadata
from serving.reply import Reply


async def review(scope: Scope, request: Request) -> Reply:
    """201 with the body and its status filled in."""
    form = scope.wanted(request)
    negotiate.input_type(request)
    await request.read()
    opts = options.create_options(request.query)
    obj = await scope.decode(request, opts)
    metadata.match_namespace(obj["metadata"], request.info.namespace if scope.namespaced else "")
    now = times.now(scope.server.clock)
    obj = scope.managers.update(None, obj, manager=manager_of(request, opts), now=now)
    write = scope.write(request, opts, "")
    obj = await scope.store.ask(write, obj)
    answer = await scope.kind.answer(scope.store.ctx(write), obj)
    document = {"kind": scope.kind.kind, "apiVersion": scope.api_version, "metadata": {}}
    document.update((name, value) for name, value in answer.items() if name not in ("kind", "apiVersion"))
    return scope.reply_object(form, document, 201)
