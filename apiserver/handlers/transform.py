"""Other forms of objects: Tables (server-side printing) and metadata only, for single objects, lists and watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import errors, field
from apiserver import negotiate
from apiserver.filters.base import Request
from apiserver.handlers import watch as watch_handler
from apiserver.handlers.scope import Scope
from apiserver.handlers.watch import Lines
from apiserver.negotiate import Output
from apiserver.registry.kind import Column, Obj
from apiserver.registry.store import Result
from apiserver.storage.entry import Entry
from openapi import protobuf
from openapi.schemas import TypeInfo
from serving.reply import Reply

_META = "meta.k8s.io"


def single(scope: Scope, request: Request, form: Output, result: Result, status: int) -> Reply:
    """One object as a Table of one row, or its metadata."""
    if form.kind == "Table":
        include = include_object(request)
        obj = scope.object_of(result)
        meta = _table_meta(obj["metadata"])
        return _render(form, _table(scope, form, [_row(scope, form, include, obj)], meta), status)
    if form.kind != "PartialObjectMetadata":
        raise _unsupported(scope, form, scope.kind.kind, listed=False)
    obj = scope.object_of(result)
    return _metadata_reply(form, obj["metadata"], status)


def bare(scope: Scope, form: Output, obj: Obj, status: int) -> Reply:
    """An object without a Table: its metadata."""
    if form.kind != "PartialObjectMetadata":
        raise _unsupported(scope, form, obj["kind"], listed=False)
    return _metadata_reply(form, obj.get("metadata") or {}, status)


def _metadata_reply(form: Output, meta: Obj, status: int = 200) -> Reply:
    """PartialObjectMetadata in any media type."""
    if form.media_type != negotiate.PROTOBUF:
        return _render(form, _partial(form, meta), status)
    message = protobuf.metadata_message(meta)
    return Reply(status, protobuf.write(f"{_META}/{form.version}", "PartialObjectMetadata", message), form.media_type)


def collection(scope: Scope, request: Request, form: Output, entries: Sequence[Entry], meta: Obj) -> Reply:
    """A list as a Table or as PartialObjectMetadataList."""
    if form.kind == "Table":
        include = include_object(request)
        objects = scope.kind.in_table_order([scope.object_of(entry) for entry in entries])
        rows = [_row(scope, form, include, obj) for obj in objects]
        return _render(form, _table(scope, form, rows, meta), 200)
    if form.kind != "PartialObjectMetadataList":
        raise _unsupported(scope, form, scope.kind.list_kind, listed=True)
    if form.media_type == negotiate.PROTOBUF:
        return _metadata_list(form, [scope.object_of(entry)["metadata"] for entry in entries], meta)
    opening = b'{"kind":"PartialObjectMetadata","apiVersion":"%s/%s",' % (_META.encode(), form.version.encode())
    items = [opening + _metadata(scope, entry) + b"}" for entry in entries]
    if form.plain_json:
        head = {"kind": form.kind, "apiVersion": f"{_META}/{form.version}", "metadata": meta}
        return Reply(200, orjson.dumps(head)[:-1] + b',"items":[' + b",".join(items) + b"]}\n")
    document = {"kind": form.kind, "apiVersion": f"{_META}/{form.version}", "metadata": meta}
    document["items"] = [orjson.loads(item) for item in items]
    return _render(form, document, 200)


def _metadata_list(form: Output, found: Sequence[Obj], meta: Obj) -> Reply:
    """PartialObjectMetadataList as protobuf."""
    message = protobuf.list_message(meta, [protobuf.metadata_message(each) for each in found])
    return Reply(200, protobuf.write(f"{_META}/{form.version}", form.kind, message), form.media_type)


@dataclass(frozen=True, slots=True)
class Sheet:
    """How objects that are none of the scope's kind become Tables: columns, what their docs refer to, and cells."""

    columns: Sequence[Column]
    info: TypeInfo
    cells: Callable[[Obj], list[Any]]


def foreign(scope: Scope, request: Request, form: Output, obj: Obj, sheet: Sheet) -> Reply:
    """An object of another kind than the scope's (a Scale)."""
    if form.kind == "Table":
        return _foreign_table(scope, request, form, [obj], _table_meta(obj["metadata"]), sheet)
    if form.kind != "PartialObjectMetadata":
        raise _unsupported(scope, form, obj["kind"], listed=False)
    return _metadata_reply(form, obj["metadata"])


def foreign_list(scope: Scope, request: Request, form: Output, objects: Sequence[Obj], sheet: Sheet) -> Reply:
    """A list of such objects."""
    if form.kind == "Table":
        return _foreign_table(scope, request, form, objects, {}, sheet)
    if form.kind != "PartialObjectMetadataList":
        raise _unsupported(scope, form, scope.kind.list_kind, listed=True)
    if form.media_type == negotiate.PROTOBUF:
        return _metadata_list(form, [obj["metadata"] for obj in objects], {})
    document: Obj = {"kind": form.kind, "apiVersion": f"{_META}/{form.version}", "metadata": {}}
    document["items"] = [_partial(form, obj["metadata"]) for obj in objects]
    return _render(form, document, 200)


def _foreign_table(
    scope: Scope, request: Request, form: Output, objects: Sequence[Obj], meta: Obj, sheet: Sheet
) -> Reply:
    include = include_object(request)
    rows = [{"cells": sheet.cells(obj), "object": _shown(form, include, obj)} for obj in objects]
    table = _table(scope, form, rows, meta, columns=False)
    table["columnDefinitions"] = scope.server.columns.draw(sheet.columns, sheet.info)
    return _render(form, table, 200)


def _shown(form: Output, include: str, obj: Obj) -> Obj | None:
    """What a row carries of its object."""
    if include == "Object":
        return obj
    return _partial(form, obj["metadata"]) if include == "Metadata" else None


def include_object(request: Request) -> str:
    """ "Object", "Metadata" (default) or "None": what rows carry; 400 for anything else."""
    value = request.param("includeObject")
    if value not in ("", "Object", "Metadata", "None"):
        problem = field.invalid("includeObject", value, "must be 'Metadata', 'Object', 'None', or empty")
        raise errors.bad_request(f"Unable to convert to Table as requested: {problem}")
    return value or "Metadata"


def lines(scope: Scope, request: Request, form: Output) -> Lines:
    """How a watch writes its events in this form."""
    if form.kind == "Table":
        return _table_lines(scope, request, form)
    if form.kind != "PartialObjectMetadata":
        raise _unsupported(scope, form, scope.kind.kind, listed=False)
    api_version = f"{_META}/{form.version}"
    if form.media_type == negotiate.PROTOBUF:
        return _metadata_frames(scope, api_version)
    opening = b'","object":{"kind":"PartialObjectMetadata","apiVersion":"%s",' % api_version.encode()

    def make(kind: str, entry: Entry) -> bytes:
        return b'{"type":"' + kind.encode() + opening + _metadata(scope, entry) + b"}}\n"

    def bookmark(revision: int, initial: bool) -> bytes:
        obj = {"kind": form.kind, "apiVersion": api_version}
        document = {**obj, "metadata": watch_handler.bookmark_metadata(revision, initial)}
        return b'{"type":"BOOKMARK","object":' + orjson.dumps(document) + b"}\n"

    return Lines(("metadata", form.version, scope.body_form), make, bookmark)


def _metadata_frames(scope: Scope, api_version: str) -> Lines:
    """Events of a metadata watch in protobuf."""

    def frame(kind: str, meta: Obj) -> bytes:
        wrapped = protobuf.write(api_version, "PartialObjectMetadata", protobuf.metadata_message(meta))
        return protobuf.watch_frame(kind, wrapped)

    return Lines(
        ("metadata frames", api_version, scope.body_form),
        lambda kind, entry: frame(kind, scope.object_of(entry)["metadata"]),
        lambda revision, initial: frame("BOOKMARK", watch_handler.bookmark_metadata(revision, initial)),
    )


def _table_lines(scope: Scope, request: Request, form: Output) -> Lines:
    include = include_object(request)

    def line(kind: str, entry: Entry, columns: bool) -> bytes:
        obj = scope.object_of(entry)
        meta = _table_meta(obj["metadata"])
        table = _table(scope, form, [_row(scope, form, include, obj)], meta, columns=columns)
        return orjson.dumps({"type": kind, "object": table}) + b"\n"

    def bookmark(revision: int, initial: bool) -> bytes:
        meta = watch_handler.bookmark_metadata(revision, initial)
        empty, _ = scope.type.decode({"metadata": {"name": ""}})
        empty |= {"kind": scope.kind.kind, "apiVersion": scope.api_version}
        row = {
            "cells": scope.kind.cells(empty, scope.server.clock),
            "object": _shown(form, include, {**empty, "metadata": meta}),
        }
        table = _table(scope, form, [row], {"resourceVersion": str(revision)}, columns=False)
        return orjson.dumps({"type": "BOOKMARK", "object": table}) + b"\n"

    return Lines(
        ("table", include, form.version, scope.body_form),
        lambda kind, entry: line(kind, entry, False),
        bookmark,
        lambda kind, entry: line(kind, entry, True),
    )


def _metadata(scope: Scope, entry: Entry) -> bytes:
    """`"metadata":{…}` of an entry, kept while it is hot."""
    return entry.form(("metadata", scope.body_form), lambda made: _cut(scope.body(made)))


def _cut(body: bytes) -> bytes:
    return orjson.dumps({"metadata": orjson.loads(b"{" + body)["metadata"]})[1:-1]


def _partial(form: Output, meta: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"{_META}/{form.version}", "metadata": meta}


def _table_meta(meta: Obj) -> Obj:
    return {"resourceVersion": meta["resourceVersion"]} if meta.get("resourceVersion") else {}


def _table(scope: Scope, form: Output, rows: list[Obj], meta: Obj, *, columns: bool = True) -> Obj:
    return {
        "kind": "Table",
        "apiVersion": f"{_META}/{form.version}",
        "metadata": meta,
        "columnDefinitions": scope.server.columns.of(scope.kind, scope.version, scope.type) if columns else None,
        "rows": rows,
    }


def _row(scope: Scope, form: Output, include: str, obj: Obj) -> Obj:
    kind = scope.kind
    row: Obj = {"cells": kind.cells(obj, scope.server.clock)}
    conditions = kind.row_conditions(obj)
    if conditions:
        row["conditions"] = conditions
    row["object"] = _shown(form, include, obj)
    return row


def _render(form: Output, document: Obj, status: int) -> Reply:
    return Reply(status, negotiate.render(document, form), form.media_type)


def _unsupported(scope: Scope, form: Output, kind: str, *, listed: bool) -> errors.ApiError:
    """A transformation that fits lists asked of an object, or the other way round. kind: what was to be shown."""
    group = scope.kind.group
    package = "core" if group in ("", "events.k8s.io") else group.partition(".")[0]
    shown = f"{package}.{kind}"
    if scope.custom:
        shown = "unstructured.UnstructuredList" if listed else "unstructured.Unstructured"
    text = f"you requested {form.kind}, but the requested object is {'a' if listed else 'not a'} list (*{shown})"
    return errors.ApiError(406, "NotAcceptable", text)
