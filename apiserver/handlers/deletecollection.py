"""DELETE of a collection: deletes one after another what a list with the same selectors finds. Not atomic."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from apiserver.handlers import list as list_handler
from apiserver.handlers import options, selection, transform
from apiserver.handlers.delete import warn_of_orphaning
from apiserver.handlers.scope import Scope
from serving.reply import Reply


async def deletecollection(scope: Scope, request: Request) -> Reply:
    """200 with the list of what was found, as it was before."""
    form = scope.wanted(request)
    info = request.info
    query = {name: values for name, values in request.query.items() if name != "watch"}
    wanted = options.list_options(query)
    chosen = selection.select(scope, wanted.label_selector, wanted.field_selector)
    opts = await options.delete_options(request)
    if request.audit is not None and request.size:
        request.audit.request_object({**opts, "apiVersion": options.INTERNAL})
    warn_of_orphaning(scope, request, opts)
    listing = await list_handler.page(scope, info.namespace, wanted, chosen)
    for entry in listing.entries:
        write = scope.write(request, dict(opts), entry.name)
        write.namespace = entry.namespace
        write.collective = True
        try:
            await scope.store.delete(write)
        except ApiError as error:
            if not errors.is_reason(error, "NotFound"):
                raise
    meta = list_handler.list_meta(listing, info.namespace, custom=scope.custom)
    if form.kind:
        return transform.collection(scope, request, form, listing.entries, meta)
    if form.plain_json:
        return Reply(200, list_handler.list_pieces(scope, listing.entries, meta))
    return list_handler.rendered(scope, form, listing.entries, meta)
