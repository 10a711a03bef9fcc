"""GET of a collection: lists from the watch cache, in pages that stay consistent, as JSON bytes joined together."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver import negotiate
from apiserver.filters.base import Request
from apiserver.handlers import compression, options, selection
from apiserver.handlers import get as get_handler
from apiserver.handlers.options import ListOptions
from apiserver.handlers.scope import Scope
from apiserver.handlers.selection import Selection
from apiserver.negotiate import Output
from apiserver.registry import metadata
from apiserver.registry.kind import Obj
from apiserver.storage.base import Compacted, FutureRevision
from apiserver.storage.cacher import Listing
from apiserver.storage.entry import Entry
from openapi import protobuf
from serving.reply import SLICE, Reply

_CHUNK = 64  # entries joined at a time


async def list_(scope: Scope, request: Request) -> Reply:
    """200 with a list, or a watch when the query asks for one."""
    form = scope.wanted(request, stream=True)
    info = request.info
    opts = options.list_options(request.query, force_watch=info.watch_prefix)
    chosen = selection.select(
        scope, opts.label_selector, opts.field_selector, info.name if info.watch_prefix or info.name else ""
    )
    if opts.watch:
        from apiserver.handlers import watch

        return await watch.watch(scope, request, form, opts, chosen)
    listing = await page(scope, info.namespace, opts, chosen)
    meta = list_meta(listing, info.namespace, custom=scope.custom and not form.kind)
    if form.kind:
        from apiserver.handlers import transform

        return await compression.compress(request, transform.collection(scope, request, form, listing.entries, meta))
    if form.plain_json:
        return await compression.compress(request, Reply(200, list_pieces(scope, listing.entries, meta)))
    return await compression.compress(request, rendered(scope, form, listing.entries, meta))


def rendered(scope: Scope, form: Output, entries: Sequence[Entry], meta: Obj) -> Reply:
    """A list as YAML, protobuf or indented JSON."""
    if form.media_type == negotiate.PROTOBUF:
        message = protobuf.list_message(meta, [scope.message(entry) for entry in entries])
        return Reply(200, protobuf.write(scope.api_version, scope.kind.list_kind, message), form.media_type)
    items = [_item(scope, entry) for entry in entries]
    document = {"kind": scope.kind.list_kind, "apiVersion": scope.api_version, "metadata": meta, "items": items}
    return scope.reply_object(form, document)


def _item(scope: Scope, entry: Entry) -> Obj:
    item: Obj = orjson.loads(scope.item_opening + scope.body(entry))
    return item


def list_pieces(scope: Scope, entries: Sequence[Entry], meta: Obj) -> bytes | list[bytes]:
    """A list's JSON: one piece when it is small, else pieces of some tens of entries."""
    head = scope.list_opening + b'"metadata":' + orjson.dumps(meta) + b',"items":['
    if not entries:
        return head + b"]}\n"
    between = b"," + scope.item_opening
    bodies = [entry.body for entry in entries] if scope.direct else [scope.body(entry) for entry in entries]
    if sum(map(len, bodies)) <= SLICE:
        return b"".join((head, scope.item_opening, between.join(bodies), b"]}\n"))
    pieces = [head]
    for start in range(0, len(bodies), _CHUNK):
        pieces.append((between if start else scope.item_opening) + between.join(bodies[start : start + _CHUNK]))
    pieces.append(b"]}\n")
    return pieces


# -- which objects, as of when


async def page(scope: Scope, namespace: str, opts: ListOptions, chosen: Selection) -> Listing:
    """The entries that a list answers with; every combination of resourceVersion, match, limit and continue."""
    namespace = namespace or (chosen.namespace if scope.namespaced else "")
    after, revision, stale, limit = "", 0, False, opts.limit
    if opts.continue_token:
        after, revision = _continuation(opts, namespace)
    elif opts.resource_version:
        wanted = parse_list_revision(opts.resource_version)
        if wanted == 0:
            stale, limit = True, 0
        elif opts.match == "Exact" or (limit and not opts.match):
            revision = wanted
        else:
            await get_handler.fresh(scope, wanted)
    try:
        if chosen.name and not revision and not after and (namespace or not scope.namespaced):
            return await _single(scope, namespace, chosen)
        return await scope.store.cache.list(
            namespace if scope.namespaced else "",
            matches=chosen.matches,
            limit=limit,
            after=after,
            revision=revision,
            stale=stale,
        )
    except FutureRevision as error:
        raise get_handler.too_large_revision(error.revision, error.current) from error
    except Compacted as error:
        raise _compacted(scope, opts, after, namespace) from error


async def _single(scope: Scope, namespace: str, chosen: Selection) -> Listing:
    entry = await scope.store.cache.get(scope.store.key(namespace, chosen.name))
    found = [entry] if entry is not None and (chosen.matches is None or chosen.matches(entry)) else []
    return Listing(found, scope.server.revision, "", None)


def parse_list_revision(text: str) -> int:
    """The resourceVersion of a list; 400 when it is no number."""
    try:
        return metadata.parse_revision(text, of="resourceVersion")
    except ApiError as error:
        raise errors.bad_request(f"invalid resource version: {error.message}") from None


def list_meta(listing: Listing, namespace: str, *, custom: bool = False) -> Obj:
    """ListMeta of a page. A continue token names the revision and the key to go on after, relative to what is listed."""
    meta: Obj = {"resourceVersion": str(listing.revision)}
    if custom:
        meta["continue"] = ""  # a list of custom resources always has it
    if listing.next:
        meta["continue"] = encode_continue(listing.next, namespace, listing.revision)
        if listing.remaining is not None:
            meta["remainingItemCount"] = listing.remaining
    return meta


def encode_continue(after: str, namespace: str, revision: int) -> str:
    start = after.removeprefix(namespace + "/") if namespace else after
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start + "\0"})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _continuation(opts: ListOptions, namespace: str) -> tuple[str, int]:
    """(key to go on after, revision; 0 for now) of a continue token; 400 when it is forged or torn."""
    start, revision = _decode_continue(opts.continue_token)
    if opts.resource_version not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    if start.endswith("\0"):
        start = start[:-1]
    elif start:  # not made by us: it names the first key itself, and no key lies between it and this
        start = f"{start[:-1]}{chr(ord(start[-1]) - 1)}\uffff"
    key = f"{namespace}/{start}" if namespace else start
    return key, max(revision, 0)


def _decode_continue(token: str) -> tuple[str, int]:
    raw = _decode_base64(token)
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _bad_token(f"continue key is not valid: {_json_problem(raw)}") from None
    version, revision, start = _token_fields(fields, raw)
    if version != "meta.k8s.io/v1":
        raise _bad_token(f"continue key is not valid: server does not recognize this encoded version {version}")
    if not revision:
        raise _bad_token("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _bad_token("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    rooted = start if start.startswith("/") else "/" + start
    if posixpath.normpath(rooted) != rooted:
        raise _bad_token(f"continue key is not valid: {start}")
    return rooted[1:], revision


_GO_KINDS = {dict: "object", list: "array", str: "string", bool: "bool"}


def _token_fields(fields: Any, raw: bytes) -> tuple[str, int, str]:
    """What a token's JSON says, in Go's way: names in any case, null as nothing; 400 in the words of Go's decoder."""
    if fields is None:
        return "", 0, ""
    refused = "continue key is not valid: json: cannot unmarshal"
    if not isinstance(fields, dict):
        raise _bad_token(
            f"{refused} {_GO_KINDS.get(type(fields), 'number')} into Go value of type storage.continueToken"
        )
    found: dict[str, Any] = {"v": "", "rv": 0, "start": ""}
    for given, value in fields.items():
        name = given.lower()
        if name not in found or value is None:
            continue
        wanted = int if name == "rv" else str
        if type(value) is not wanted or (wanted is int and value not in options.INT64):
            shown = _GO_KINDS.get(type(value), "number")
            if wanted is int and shown == "number":
                shown += " " + _number(raw, given)
            go_type = "int64" if wanted is int else "string"
            raise _bad_token(f"{refused} {shown} into Go struct field continueToken.{name} of type {go_type}")
        found[name] = value
    return found["v"], found["rv"], found["start"]


def _number(raw: bytes, name: str) -> str:
    """The number that stands behind a name, as it is written."""
    match = re.search(rb'"' + re.escape(name.encode()) + rb'"\s*:\s*([-+0-9.eE]+)', raw)
    return match[1].decode() if match else ""


def _decode_base64(token: str) -> bytes:
    token = token.replace("\n", "").replace("\r", "")
    for at, char in enumerate(token):
        if not (char.isascii() and (char.isalnum() or char in "-_")):
            raise _bad_token(f"continue key is not valid: illegal base64 data at input byte {at}")
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        at = len(token) - len(token) % 4
        raise _bad_token(f"continue key is not valid: illegal base64 data at input byte {at}") from None


def _json_problem(raw: bytes) -> str:
    from openapi import jsontext

    return jsontext.error(raw.decode("utf-8", "replace")) or "invalid token"


def _bad_token(text: str) -> ApiError:
    return errors.bad_request(f"invalid continue token: {text}")


_TOO_OLD_TO_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the "
    "provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first "
    "chunk was returned and now may show up in the list."
)


class _Inconsistent(ApiError):
    """410 with a token that goes on in today's state: the only Status with something in its metadata."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", _TOO_OLD_TO_CONTINUE)
        self.token = token

    def to_status(self) -> Obj:
        status = super().to_status()
        status["metadata"] = {"continue": self.token}
        return status


def _compacted(scope: Scope, opts: ListOptions, after: str, namespace: str) -> ApiError:
    if opts.continue_token:
        return _Inconsistent(encode_continue(after, namespace, -1))
    return errors.expired("The resourceVersion for the provided list is too old.")
