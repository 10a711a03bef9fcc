"""A small API server in memory, over real TLS: enough of the protocol for tests of the client and of controllers alone.

It stores any resource without validation: create, get, list in pages, watch with bookmarks, update with conflicts, merge
and JSON patches, status and other subresources, deletion with finalizers. Tests can make it fail (`faults`), forget its
history (`compact`) and break its watches (`drop_watches`). The real server is tests' first choice where it matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from apimachinery import errors, meta, selectors, times
from apimachinery.clock import Clock, RealClock
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client import resources
from client.api import Client
from client.kubeconfig import Credentials

Obj = dict[str, Any]
Fault = Callable[[web.Request], web.StreamResponse | None]

RESOURCES = {
    (value.group, value.version, value.plural): value
    for value in vars(resources).values()
    if isinstance(value, Resource)
}
TOKEN = "memory-token"


class MemoryApi:
    """State and handlers. faults: asked in turn about each request; the first answer that is not None is sent."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or RealClock()
        self.revision = 1
        self.objects: dict[tuple[str, str], dict[str, Obj]] = {}
        self.history: list[tuple[int, tuple[str, str], str, Obj]] = []
        self.compacted = 0
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tokens = {TOKEN}
        self.answers: dict[tuple[str, str], Callable[[str, Obj], Obj]] = {}  # status of kinds that only answer a create
        self.resources = dict(RESOURCES)
        self._changed = asyncio.Event()
        self._watches: set[asyncio.Task[Any]] = set()

    # -- for tests

    def compact(self) -> None:
        """Forget all history: watches from older revisions get 410."""
        self.compacted = self.revision
        self.history.clear()

    def drop_watches(self) -> None:
        for task in list(self._watches):
            task.cancel()

    def get(self, resource: Resource, key: str) -> Obj | None:
        return self.objects.get((resource.group, resource.plural), {}).get(key)

    def all(self, resource: Resource) -> list[Obj]:
        return list(self.objects.get((resource.group, resource.plural), {}).values())

    def put(self, resource: Resource, obj: Obj) -> Obj:
        """Create or replace an object as it is, as the server's own doing."""
        table = self.objects.setdefault((resource.group, resource.plural), {})
        new = self._fresh(resource, obj)
        key = meta.key(new)
        if key in table:
            new["metadata"] = {**table[key]["metadata"], **obj["metadata"]}
        return self._commit(resource, "MODIFIED" if key in table else "ADDED", new)

    def remove(self, resource: Resource, key: str) -> None:
        self._commit(resource, "DELETED", self.objects[(resource.group, resource.plural)][key])

    # -- state

    def _fresh(self, resource: Resource, obj: Obj) -> Obj:
        metadata = {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": times.now(self.clock),
            "generation": 1,
            **obj["metadata"],
        }
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        return {**obj, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}

    def _commit(self, resource: Resource, kind: str, obj: Obj) -> Obj:
        self.revision += 1
        obj = orjson.loads(orjson.dumps(obj))
        obj["metadata"]["resourceVersion"] = str(self.revision)
        table_key = (resource.group, resource.plural)
        table = self.objects.setdefault(table_key, {})
        if kind == "DELETED":
            table.pop(meta.key(obj), None)
        else:
            table[meta.key(obj)] = obj
        self.history.append((self.revision, table_key, kind, obj))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return obj

    # -- HTTP

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.rel_url}")
        for fault in self.faults:
            if (answer := fault(request)) is not None:
                return answer
        try:
            if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
                raise errors.unauthorized()
            return await self._dispatch(request)
        except ApiError as error:
            return _json(error.to_status(), error.code)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if len(parts) == 1:
            return _json(self._discovery(core=parts[0] == "api"))
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        else:
            group, version, rest = parts[1], parts[2], parts[3:]
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self.resources.get((group, version, rest[0]))
        if resource is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else None
        subresource = rest[2] if len(rest) > 2 else ""
        body = orjson.loads(await request.read() or b"null")
        if name is None and request.method == "GET":
            if request.query.get("watch") == "true":
                return await self._watch(request, resource, namespace)
            return self._list(request, resource, namespace)
        if name is None and request.method == "DELETE":
            for obj in self._selected(request, resource, namespace):
                self._delete(resource, obj, body or {})
            return _json({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        if request.method == "POST":
            return self._create(resource, namespace, name, subresource, body)
        key = meta.join_key(namespace, name or "")
        found = self.get(resource, key)
        if found is None:
            raise errors.not_found(group, resource.plural, name or "")
        if request.method == "GET":
            return _json(found)
        if request.method == "DELETE":
            return _json(self._delete(resource, found, body or {}))
        if request.method == "PATCH":
            body = _patched(found, body, request.content_type)
        return _json(self._update(resource, found, body, subresource))

    def _discovery(self, *, core: bool) -> Obj:
        """Aggregated discovery of everything, each group in its one version."""
        groups: dict[tuple[str, str], list[Obj]] = {}
        for resource in self.resources.values():
            if (resource.group == "") != core:
                continue
            stored = (resource.group, resource.plural) in self.objects or resource.plural in ("pods", "configmaps")
            verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            entry = {
                "resource": resource.plural,
                "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
                "scope": "Namespaced" if resource.namespaced else "Cluster",
                "verbs": verbs if stored else ["create"],
            }
            groups.setdefault((resource.group, resource.version), []).append(entry)
        items = [
            {
                "metadata": {"name": group},
                "versions": [{"version": version, "resources": entries, "freshness": "Current"}],
            }
            for (group, version), entries in groups.items()
        ]
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}

    def _selected(self, request: web.Request, resource: Resource, namespace: str | None) -> list[Obj]:
        matches = _filter(request)
        return [obj for obj in self.all(resource) if namespace in (None, meta.namespace(obj)) and matches(obj)]

    def _list(self, request: web.Request, resource: Resource, namespace: str | None) -> web.Response:
        found = self._selected(request, resource, namespace)
        metadata: Obj = {"resourceVersion": str(self.revision)}
        limit, start = int(request.query.get("limit", 0)), int(request.query.get("continue", 0))
        if limit and start + limit < len(found):
            metadata["continue"] = str(start + limit)
        page = found[start : start + limit] if limit else found
        bare = [{name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} for obj in page]
        head = {"kind": resource.kind + "List", "apiVersion": resource.api_version}
        return _json({**head, "metadata": metadata, "items": bare})

    async def _watch(self, request: web.Request, resource: Resource, namespace: str | None) -> web.StreamResponse:
        position = int(request.query.get("resourceVersion") or self.revision)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if position < self.compacted:
            raise errors.expired(f"too old resource version: {position} ({self.compacted})")
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        matches = _filter(request)
        await response.prepare(request)
        try:
            while True:
                changed = self._changed
                for revision, table, kind, obj in self.history:
                    if revision <= position or table != (resource.group, resource.plural):
                        continue
                    if namespace in (None, meta.namespace(obj)) and matches(obj):
                        await response.write(orjson.dumps({"type": kind, "object": obj}) + b"\n")
                position = self.revision
                bookmark = {"kind": resource.kind, "metadata": {"resourceVersion": str(position)}}
                await response.write(orjson.dumps({"type": "BOOKMARK", "object": bookmark}) + b"\n")
                await changed.wait()
        finally:
            self._watches.discard(task)

    def _create(
        self, resource: Resource, namespace: str | None, name: str | None, subresource: str, body: Obj
    ) -> web.Response:
        if subresource and (answer := self.answers.get((resource.group, f"{resource.plural}/{subresource}"))):
            if self.get(resource, meta.join_key(namespace, name or "")) is None:
                raise errors.not_found(resource.group, resource.plural, name or "")
            return _json({**body, "status": answer(name or "", body)}, 201)
        if subresource:
            return _json({**body, "kind": body.get("kind", "Status"), "status": body.get("status", {})}, 201)
        if answer := self.answers.get((resource.group, resource.plural)):
            return _json({**body, "status": answer(name or "", body)}, 201)
        if namespace:
            body["metadata"]["namespace"] = namespace
        new = self._fresh(resource, body)
        if self.get(resource, meta.key(new)) is not None:
            raise errors.already_exists(resource.group, resource.plural, new["metadata"]["name"])
        return _json(self._commit(resource, "ADDED", new), 201)

    def _update(self, resource: Resource, old: Obj, new: Obj, subresource: str) -> Obj:
        wanted = new["metadata"].get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise errors.conflict(resource.group, resource.plural, old["metadata"]["name"], errors.OBJECT_MODIFIED)
        fixed = {name: old["metadata"][name] for name in ("uid", "creationTimestamp", "generation")}
        if "deletionTimestamp" in old["metadata"]:
            fixed["deletionTimestamp"] = old["metadata"]["deletionTimestamp"]
        metadata = {**new["metadata"], **fixed}
        if subresource in ("status", "approval"):
            merged = {**old, "metadata": {**metadata, "finalizers": old["metadata"].get("finalizers")}}
            merged["status"] = new.get("status")
        else:
            merged = {**new, "metadata": metadata}
            if "status" in old:
                merged["status"] = old["status"]
            if merged.get("spec") != old.get("spec"):
                metadata["generation"] = old["metadata"].get("generation", 1) + 1
        if merged["metadata"].get("deletionTimestamp") and not merged["metadata"].get("finalizers"):
            return self._commit(resource, "DELETED", merged)
        if {**merged, "metadata": {**merged["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}} == old:
            return old
        return self._commit(resource, "MODIFIED", merged)

    def _delete(self, resource: Resource, obj: Obj, options: Obj) -> Obj:
        preconditions = options.get("preconditions") or {}
        for name in ("uid", "resourceVersion"):
            if name in preconditions and preconditions[name] != obj["metadata"][name]:
                raise errors.conflict(
                    resource.group, resource.plural, obj["metadata"]["name"], f"Precondition failed: {name}"
                )
        metadata = dict(obj["metadata"])
        finalizers = list(metadata.get("finalizers") or ())
        policy = options.get("propagationPolicy")
        for wanted, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
            if policy == wanted and finalizer not in finalizers:
                finalizers.append(finalizer)
        if not finalizers:
            return self._commit(resource, "DELETED", obj)
        metadata["finalizers"] = finalizers
        metadata.setdefault("deletionTimestamp", times.now(self.clock))
        return self._commit(resource, "MODIFIED", {**obj, "metadata": metadata})


def _json(obj: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(obj), status=status, content_type="application/json")


def _filter(request: web.Request) -> Callable[[Obj], bool]:
    labels = selectors.parse_labels(request.query.get("labelSelector", ""))
    fields = selectors.parse_fields(request.query.get("fieldSelector", ""))

    def matches(obj: Obj) -> bool:
        values = {term.field: _path(obj, term.field) for term in fields.terms}
        return labels.matches(meta.labels(obj)) and fields.matches(values)

    return matches


def _path(obj: Any, path: str) -> str:
    for part in path.split("."):
        obj = (obj or {}).get(part)
    return str(obj or "")


def _patched(obj: Obj, patch: Any, content_type: str) -> Obj:
    if content_type == "application/json-patch+json":
        result = orjson.loads(orjson.dumps(obj))
        for step in patch:
            *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].strip("/").split("/")]
            target = result
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            if step["op"] == "test":
                if (target[int(last)] if isinstance(target, list) else target.get(last)) != step["value"]:
                    raise errors.invalid("", obj["kind"], obj["metadata"]["name"], [])
            elif step["op"] == "remove":
                del target[int(last) if isinstance(target, list) else last]
            elif isinstance(target, list):
                target.append(step["value"]) if last == "-" else target.insert(int(last), step["value"])
            else:
                target[last] = step["value"]
        return result  # type: ignore[no-any-return]
    if content_type == "application/strategic-merge-patch+json":
        patch = _strategic(obj, patch)
    return _merged(obj, patch)  # type: ignore[no-any-return]


_MERGE_KEYS = {"ownerReferences": "uid", "conditions": "type"}


def _strategic(target: Any, patch: Any) -> Any:
    """The patch with the strategic forms that controllers use turned into plain merges."""
    if not isinstance(patch, dict):
        return patch
    result = {}
    for name, value in patch.items():
        present = (target or {}).get(name.rpartition("/")[2])
        if name.startswith("$deleteFromPrimitiveList/"):
            result[name.rpartition("/")[2]] = [entry for entry in present or () if entry not in value]
        elif name == "finalizers":
            result[name] = [*(present or ()), *(entry for entry in value if entry not in (present or ()))]
        elif name in _MERGE_KEYS:
            merge_key = _MERGE_KEYS[name]
            items = {entry[merge_key]: entry for entry in present or ()}
            for entry in value:
                if entry.get("$patch") == "delete":
                    items.pop(entry[merge_key], None)
                else:
                    items[entry[merge_key]] = {**items.get(entry[merge_key], {}), **entry}
            result[name] = list(items.values())
        else:
            result[name] = _strategic(present, value)
    return result


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def certificate(folder: Path) -> tuple[Path, bytes]:
    """A file with a key and a self-signed certificate for 127.0.0.1, and the certificate alone."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "memory-api")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    public = key.public_key()
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + pem)
    return path, pem


@contextlib.asynccontextmanager
async def serve(folder: Path, clock: Clock | None = None) -> AsyncIterator[tuple[MemoryApi, Client]]:
    """A running server and a client to it."""
    api = MemoryApi(clock)
    path, ca = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    runner = web.ServerRunner(web.Server(api.handle), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    credentials = Credentials(server=f"https://127.0.0.1:{port}", ca=ca, token=TOKEN)
    try:
        async with Client(credentials, clock=api.clock, user_agent="test") as client:
            yield api, client
    finally:
        api.drop_watches()
        await runner.cleanup()
