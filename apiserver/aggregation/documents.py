"""What the servers behind APIServices say of themselves: their resources in full, and their OpenAPI documents.

Fetched when a server has passed its probe, and again every minute while it does; what has an etag is not sent twice. A
server that has no aggregated discovery is known by its APIResourceList alone, one without OpenAPI v3 by its v2.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson
from yarl import URL

from apimachinery.clock import Clock, wait_for
from apiserver.aggregation import availability
from apiserver.forward import Target
from apiserver.registry.kind import Obj
from openapi import merge, publish

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
_DOCUMENT_SECONDS = 60.0
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_DISCOVERER = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": "system:masters", "Accept": _AGGREGATED}
_READER = {"X-Remote-User": "system:aggregator", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Documents:
    """discovery: the group version in the aggregated form (APIVersionDiscovery), or None. v3: name -> address of what that
    server publishes. own: name -> documents of v3 that were made of its v2 here. v2: its part of v2, or None."""

    discovery: Obj | None = None
    v3: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, publish.Document] = field(default_factory=dict)
    v2: Obj | None = None
    etags: Mapping[str, str] = field(default_factory=dict)


async def fetch(client: aiohttp.ClientSession, target: Target, spec: Obj, before: Documents, clock: Clock) -> Documents:
    """All of them anew; what cannot be had stays as it was."""
    group, version = spec.get("group") or "", spec.get("version") or ""
    etags = dict(before.etags)

    async def ask(path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        sent = dict(headers)
        if path in before.etags:
            sent["If-None-Match"] = before.etags[path]
        options: dict[str, Any] = {"server_hostname": target.server_name} if target.server_name else {}
        url = URL(f"{target.scheme}://{target.authority}{path}", encoded=True)
        async with client.get(url, headers=sent, allow_redirects=False, **options) as answer:
            body = await availability.read(answer)
            if answer.status == 200 and "ETag" in answer.headers:
                etags[path] = answer.headers["ETag"]
            return answer.status, answer.headers.get("Content-Type", ""), body

    async def tried(path: str, headers: Mapping[str, str], seconds: float) -> tuple[int, str, bytes]:
        try:
            return await wait_for(clock, ask(path, headers), seconds)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("no %s from %s: %s", path, target.authority, error or type(error).__name__)
            return 0, "", b""

    found = before
    status, media, body = await tried("/apis", _DISCOVERER, availability.PROBE_SECONDS)
    if status == 200:
        entry = _entry(body, group, version) if "as=APIGroupDiscoveryList" in media else None
        found = replace(found, discovery=entry)
    status, _, body = await tried("/openapi/v3", _READER, _DOCUMENT_SECONDS)
    legacy = status == 404
    if status == 200:
        found = replace(found, v3=_index(body, group), own={})
    status, _, body = await tried("/openapi/v2", _READER, _DOCUMENT_SECONDS)
    if status == 200:
        part = await asyncio.to_thread(_part, body, f"/apis/{group}/{version}/")
        if part is not None:
            own = _made(part, group, version) if legacy else {}
            found = replace(found, v2=part, own=own, v3={} if legacy else found.v3)
    elif status == 404:
        found = replace(found, v2=None)
    return replace(found, etags=etags)


def _entry(body: bytes, group: str, version: str) -> Obj | None:
    """The group version of an APIGroupDiscoveryList."""
    try:
        for item in orjson.loads(body)["items"]:
            if item["metadata"]["name"] != group:
                continue
            for entry in item["versions"]:
                if entry["version"] == version:
                    return _complete(entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"version": version}


def _complete(entry: Obj) -> Obj:
    """Old clients fall over resources without a responseKind."""
    for resource in entry.get("resources") or ():
        resource.setdefault("responseKind", {"group": "", "version": "", "kind": ""})
        for sub in resource.get("subresources") or ():
            sub.setdefault("responseKind", {"group": "", "version": "", "kind": ""})
    return entry


def _index(body: bytes, group: str) -> Mapping[str, str]:
    """The documents of v3 that are about the group."""
    try:
        paths = orjson.loads(body)["paths"]
        return {
            name: str(found["serverRelativeURL"])
            for name, found in paths.items()
            if name == f"apis/{group}" or name.startswith(f"apis/{group}/")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _part(body: bytes, prefix: str) -> Obj | None:
    try:
        document = orjson.loads(body)
        return merge.filtered(document, prefix) if isinstance(document, dict) else None
    except (ValueError, TypeError, AttributeError):
        return None


def _made(part: Obj, group: str, version: str) -> Mapping[str, publish.Document]:
    """A document of v3 in place of the one that the server does not have."""
    try:
        body = orjson.dumps(publish.converted(part))
    except (KeyError, TypeError, AttributeError):
        return {}
    etag = hashlib.sha512(body).hexdigest().upper()
    return {f"apis/{group}/{version}": publish.Document(body, etag)}
