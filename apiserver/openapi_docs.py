"""/openapi/v2 and /openapi/v3 over HTTP: what openapi.publish makes of the kinds that are served.

Follows discovery: a kind that comes or goes shows at once. Documents are made in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from typing import Any

import orjson

from apiserver import negotiate
from apiserver.discovery import Discovery
from apiserver.filters.base import Request
from apiserver.handlers.connect import CONNECT
from apiserver.registry.kind import Kind, Subresource
from openapi import publish, schemas
from openapi.paths import Served, Sub
from openapi.publish import Document, Publisher
from serving.reply import Reply

_YEAR = 365 * 24 * 3600


class OpenApiDocs:
    """Handlers for the two versions. now: seconds since the epoch. pass_on: has the server of a group version answer."""

    def __init__(
        self,
        discovery: Discovery,
        now: Callable[[], float],
        pass_on: Callable[[Request, tuple[str, str]], Awaitable[Reply]],
    ) -> None:
        self._discovery = discovery
        self._pass_on = pass_on
        self._now = now
        self._publisher = Publisher()
        self._stale = True
        self._making = asyncio.Lock()
        discovery.changed.append(self._changed)

    def _changed(self) -> None:
        self._stale = True

    async def v2(self, request: Request) -> Reply:
        """The whole API in one document: JSON, or protobuf for clients that ask for it."""
        protobuf = _protobuf_wanted(request, "v2")
        if protobuf is None:
            return Reply(406, b"", "", [("Vary", "Accept")])
        document = await self._make(lambda publisher: publisher.v2_protobuf() if protobuf else publisher.v2())
        assert document is not None
        return self._reply(request, document, _protobuf_type("v2") if protobuf else "application/json")

    async def v3(self, request: Request) -> Reply:
        """/openapi/v3: the list of documents."""
        index = await self._make(lambda publisher: Document(orjson.dumps(publisher.index()), ""))
        assert index is not None
        paths = orjson.loads(index.body)["paths"]
        for external in self._discovery.external.values():
            found = external.documents
            paths |= {name: {"serverRelativeURL": address} for name, address in found.v3.items()}
            paths |= {name: {"serverRelativeURL": _address(name, made)} for name, made in found.own.items()}
        return Reply(200, orjson.dumps({"paths": dict(sorted(paths.items()))}), "application/json")

    async def group(self, request: Request) -> Reply:
        """/openapi/v3/<name>: the document of one group and version."""
        name = request.info.path.removeprefix("/openapi/v3/")
        document = None
        for key, external in self._discovery.external.items():
            if name in external.documents.v3:
                return await self._pass_on(request, key)
            document = document or external.documents.own.get(name)
        protobuf = _protobuf_wanted(request, "v3")
        if document is None:
            document = await self._make(lambda publisher: publisher.v3(name))
        if document is None:
            return Reply(404, b"", "")
        if protobuf is None:
            return Reply(406, b"", "", [("Vary", "Accept")])
        asked = request.param("hash")
        if asked and asked != document.etag:
            kept = [("Etag", f'"{document.etag}"'), ("Vary", "Accept")]
            return Reply(301, b"", headers=[*kept, ("Location", _address(name, document))])
        if protobuf:
            document = await self._make(lambda publisher: publisher.v3_protobuf(name)) or document
        reply = self._reply(request, document, _protobuf_type("v3") if protobuf else "application/json")
        if asked:
            reply.headers.append(("Cache-Control", "public, immutable"))
            reply.headers.append(("Expires", formatdate(self._now() + _YEAR, usegmt=True)))
        return reply

    async def _make(self, ask: Callable[[Publisher], Document | None]) -> Document | None:
        async with self._making:
            if self._stale:
                self._stale = False
                served = list(self._all_served())
                self._publisher.replace((one for one, _ in served), _custom_definitions(served))
                self._publisher.replace_foreign(self._foreign())
            return await asyncio.to_thread(ask, self._publisher)

    def _reply(self, request: Request, document: Document, media_type: str) -> Reply:
        etag = f'"{document.etag}"'
        headers = [("Etag", etag), ("Vary", "Accept")]
        if request.headers.get("If-None-Match") == etag:
            return Reply(304, b"", "", headers)
        return Reply(200, document.body, media_type, headers)

    def _foreign(self) -> Iterator[dict[str, Any]]:
        """What other servers contribute to v2, the more important first."""
        ranked = sorted(self._discovery.external.items(), key=lambda item: (-item[1].group_priority, item[0]))
        for _, external in ranked:
            if external.documents.v2 is not None:
                yield external.documents.v2

    def _all_served(self) -> Iterator[tuple[Served, dict[str, Any] | None]]:
        for group in self._discovery.groups.values():
            for version, kinds in group.versions.items():
                for kind in kinds:
                    yield served_of(kind, version), kind.published_schema(version)


def _address(name: str, document: Document) -> str:
    return f"/openapi/v3/{name}?hash={document.etag}"


def _custom_definitions(served: list[tuple[Served, dict[str, Any] | None]]) -> dict[str, Any]:
    """Definitions of custom kinds and of their lists."""
    out: dict[str, Any] = {}
    for one, schema in served:
        if schema is not None:
            out[one.definition] = schema
            out[one.list_definition] = publish.list_schema(one)
    return out


def served_of(kind: Kind, version: str) -> Served:
    """What the publisher needs to know of a kind."""
    schema = kind.published_schema(version)
    if schema is None:
        types = schemas.load().kinds
        definition = types.get(kind.schema_name(version), "")
        lists = types.get(f"{kind.api_version(version)}/{kind.list_kind}", "")
    else:
        prefix = ".".join(reversed(kind.group.split("."))) + "." + version
        definition, lists = f"{prefix}.{kind.kind}", f"{prefix}.{kind.list_kind}"
    return Served(
        kind.group,
        version,
        kind.kind,
        kind.plural,
        kind.namespaced,
        tuple(kind.verbs),
        definition,
        lists,
        tuple(_sub(kind, version, subresource) for subresource in kind.subresources),
        schema is not None,
        kind.returns_deleted,
    )


def _sub(kind: Kind, version: str, sub: Subresource) -> Sub:
    connect = (kind.group, kind.plural, sub.name) in CONNECT
    if not sub.kind or sub.kind == kind.kind:
        return Sub(sub.name, tuple(sub.verbs), connect=connect)
    group = kind.group if sub.group is None else sub.group
    sub_version = sub.version or version
    name = f"{group}/{sub_version}/{sub.kind}" if group else f"{sub_version}/{sub.kind}"
    return Sub(sub.name, tuple(sub.verbs), (group, sub_version, sub.kind), schemas.load().kinds.get(name, ""), connect)


def _protobuf_type(version: str) -> str:
    return f"application/com.github.proto-openapi.spec.{version}.v1.0+protobuf"


def _protobuf_wanted(request: Request, version: str) -> bool | None:
    """Whether the client wants protobuf rather than JSON; None when it accepts neither."""
    header = request.headers.get("Accept")
    if not header:
        return False
    names = (_protobuf_type(version), _protobuf_type(version).replace(f"{version}.v1", f"{version}@v1"))
    for clause in negotiate.parse_accept(header):
        if f"{clause.type}/{clause.subtype}" in names:
            return True
        if clause.type in ("*", "application") and clause.subtype in ("*", "json"):
            return False
    return None
