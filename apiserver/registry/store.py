"""The one write path, and the reads beneath the handlers: one Store per stored kind.

The order of a write is the original's, and managedFields depend on it: decode and default (handlers); managedFields from
that object; mutating admission; the kind's preparation; the kind's validation; validating admission; storage. An update
or patch repeats it for each compare-and-swap attempt. A write that changes nothing is not stored.

Objects inside are dicts in the kind's storage version, `kind` and `apiVersion` included. Refuses to know HTTP: handlers
bring decoded objects and options, and take Entries (or, for what was not stored, Drafts) away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from apimachinery import errors
from apimachinery import field as field_errors
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apiserver import offloop
from apiserver.admission.base import Attributes, Operation
from apiserver.authn.user import User
from apiserver.registry import as_sent, deletion, metadata, updating
from apiserver.registry.conversion import running
from apiserver.registry.converted import ConvertedCache
from apiserver.registry.kind import Ctx, Kind, Obj, Patched, Reader
from apiserver.storage.base import Conflict, KeyExists, NotFound
from apiserver.storage.cacher import Cacher
from apiserver.storage.entry import Entry
from openapi import emptied

_NAME_ATTEMPTS = 8
MAX_OBJECT = (
    3 * 1024 * 1024
)  # bytes as stored: or patch after patch an object grows without end; etcd takes half of that


class Admission(Protocol):
    """What the store asks of the admission chain."""

    async def admit(self, a: Attributes) -> None: ...

    async def validate(self, a: Attributes) -> None: ...


class NoAdmission:
    """For the server's own writes."""

    async def admit(self, a: Attributes) -> None:
        return None

    async def validate(self, a: Attributes) -> None:
        return None


@dataclass(slots=True)
class Write:
    """One write request.

    version, group: of the request's resource. name: from the URL, "" for a create. size: bytes of the body, or of the
    stored object if that is larger. sent: the body of a create or PUT that is JSON. patched: set by each attempt of a
    patch. options: CreateOptions, UpdateOptions, PatchOptions or DeleteOptions. warnings, annotations: collect what goes
    into Warning headers and the audit log. collective: one of a collection that is deleted; admission is told no name.
    """

    user: User
    version: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    size: int = 0
    sent: bytes = b""
    patched: Patched | None = None
    dry_run: bool = False
    collective: bool = False
    options: Obj = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """An object that is answered but not stored (dry run, or removed by this very write), in its storage version."""

    obj: Obj


Result = Entry | Draft
Transform = Callable[[Obj | None], Awaitable[Obj]]
"""live object in its storage version, decoded afresh (None: there is none) -> new object, managedFields included."""


@dataclass(slots=True)
class Environment:
    """What all stores share. services: named helpers for kinds and admission (see apiserver/server.py)."""

    clock: Clock
    reader: Reader
    admission: Admission
    services: Mapping[str, Any]


class Store:
    """Reads and writes one kind's objects. Errors are ApiErrors in the original's words."""

    def __init__(self, kind: Kind, cache: Cacher | ConvertedCache, environment: Environment) -> None:
        self.kind = kind
        self.cache = cache
        self.environment = environment
        self.clock = environment.clock
        self.ttl = kind.ttl  # seconds until an object is removed; 0: never
        self._opening = orjson.dumps({"kind": kind.kind, "apiVersion": kind.api_version()})[:-1] + b","
        self._indexed = bool(kind.selectable_fields({"metadata": {}}))
        self._adjusts = type(kind).on_read is not Kind.on_read
        self._settle = None if kind.custom else emptied.settler(f"{kind.api_version()}/{kind.kind}")
        self._separate_status = any(sub.name == "status" for sub in kind.subresources)
        self._status_fields = tuple(kind.status_fields) if self._separate_status else ()

    @property
    def whole(self) -> Cacher:
        """The resource's cache, with objects in the versions that they are stored in."""
        return self.cache.base if isinstance(self.cache, ConvertedCache) else self.cache

    # -- reading

    def key(self, namespace: str, name: str) -> str:
        return f"{namespace}/{name}" if self.kind.namespaced else name

    def decode(self, entry: Entry) -> Obj:
        """The object in its storage version, decoded afresh; the caller may change it."""
        obj: Obj = orjson.loads(self._opening + entry.body)
        if self._adjusts:
            self.kind.on_read(obj, entry.version)
        return obj

    async def get(self, namespace: str, name: str, *, group: str = "") -> Entry:
        """The object, or 404. group: as in missing."""
        entry = await self.cache.get(self.key(namespace, name))
        if entry is None:
            raise self.missing(name, group)
        return entry

    def missing(self, name: str, group: str = "") -> ApiError:
        """group: of the request's resource, where another one shares the objects."""
        return errors.not_found(group or self.kind.group, self.kind.plural, name)

    # -- creating

    async def create(self, write: Write, obj: Obj, *, admission: Admission | None = None) -> Result:
        """Store a new object whose managedFields are set. Generated names are tried several times."""
        admission = admission or self.environment.admission
        meta: Obj = obj["metadata"]
        generated = not meta.get("name") and bool(meta.get("generateName"))
        attributes = self._attributes(write, "CREATE", obj, None)
        await admission.admit(attributes)
        obj = self._admitted(attributes)
        metadata.dedup_owner_references(obj["metadata"], write.warnings, after_admission=True)
        pristine = orjson.dumps(obj) if generated else b""
        for attempt in range(_NAME_ATTEMPTS if generated else 1):
            if attempt:
                obj = orjson.loads(pristine)
            try:
                return await self._create(write, obj, admission)
            except ApiError as error:
                if error.reason != "AlreadyExists" or attempt == _NAME_ATTEMPTS - 1 or not generated:
                    raise
        raise AssertionError("unreachable")

    async def ask(self, write: Write, obj: Obj) -> Obj:
        """The checks of a create, for a kind whose objects are questions: admission and validation, nothing stored."""
        admission, kind = self.environment.admission, self.kind
        attributes = self._attributes(write, "CREATE", obj, None)
        await admission.admit(attributes)
        obj = self._admitted(attributes)
        found = await offloop.run(write.size, lambda: kind.validate(self.ctx(write), obj))
        if found:
            raise self._invalid(obj["metadata"].get("name") or "", found)
        await admission.validate(self._attributes(write, "CREATE", obj, None))
        return obj

    async def _create(self, write: Write, obj: Obj, admission: Admission) -> Result:
        ctx = self.ctx(write)
        try:
            result = await self._create_prepared(ctx, write, obj, admission)
        except BaseException:
            await ctx.finish(False)
            raise
        await ctx.finish(not write.dry_run)
        return result

    async def _create_prepared(self, ctx: Ctx, write: Write, obj: Obj, admission: Admission) -> Result:
        kind, meta = self.kind, obj["metadata"]
        metadata.fill_system_fields(meta, self.clock)
        if not meta.get("name") and meta.get("generateName"):
            prefix = meta["generateName"]
            meta["name"] = metadata.generate_name(prefix) if kind.generates_names else prefix
        metadata.match_namespace(meta, write.namespace if kind.namespaced else "")
        if self._status_fields and not kind.status_at_creation:
            for name in self._status_fields:
                obj.pop(name, None)
            obj.update(kind.initial_status())
        if kind.has_generation:
            meta["generation"] = 1
        kind.prepare_create(ctx, obj)
        await kind.begin_create(ctx, obj)
        await offloop.run(write.size, lambda: self._check_new(ctx, obj))
        attributes = self._attributes(write, "CREATE", obj, None)
        attributes.name = write.name or meta["name"]
        await admission.validate(attributes)
        name = meta["name"]
        if not write.dry_run:  # which never comes to where this is looked at
            if metadata.names_revision(meta):
                raise metadata.plain_failure("resourceVersion should not be set on objects to be created")
            meta.pop("resourceVersion", None)
        key = self.key(meta.get("namespace") or "", name)
        try:
            if write.dry_run:
                if await self.cache.get(key) is not None:
                    raise KeyExists(key)
                return Draft(await self._rehearsed(obj))
            return await self._store(key, obj, 0)
        except KeyExists:
            raise await self._exists(key, obj, write.group) from None

    def _check_new(self, ctx: Ctx, obj: Obj) -> None:
        kind = self.kind
        if found := self._judged(ctx, obj, lambda new: updating.validate_new(kind, ctx, new)):
            raise self._invalid(obj["metadata"].get("name") or "", found)
        ctx.warnings.extend(kind.warn(ctx, obj, None))
        self._canonicalize(obj)

    def _judged(self, ctx: Ctx, obj: Obj, validate: Callable[[Obj], list[FieldError]]) -> list[FieldError]:
        """What validate() finds, with the empty lists that were sent where they may decide, or where messages show them."""
        if as_sent.mentions(ctx, self.kind.telling_empties):
            return validate(as_sent.restored(self.kind, ctx, obj) or obj)
        found = validate(obj)
        if found and (sent := as_sent.restored(self.kind, ctx, obj)) is not None:
            return validate(sent)
        return found

    def _only_emptied(self, new: Obj, old: Obj) -> bool:
        """Whether all that the generation would count is an empty list in place of none, which is no change."""
        places = self._settle(new) if self._settle is not None else ()
        if not places:
            return False
        same = bool(self.kind.generation_view(new) == self.kind.generation_view(old))
        emptied.undo(places)
        return same

    def _canonicalize(self, obj: Obj) -> None:
        self.kind.canonicalize(obj)
        if self._settle is not None:
            self._settle(obj)

    async def _exists(self, key: str, obj: Obj, group: str) -> ApiError:
        kind, meta = self.kind, obj["metadata"]
        if meta.get("generateName"):
            error = metadata.generated_name_conflict(kind, meta["name"])
        else:
            error = errors.already_exists(group or kind.group, kind.plural, meta["name"])
        live = await self.cache.get(key)
        if live is not None and live.decode()["metadata"].get("deletionTimestamp"):
            error.message = f"object is being deleted: {error.message}"
        return error

    # -- updating

    async def update(
        self,
        write: Write,
        transform: Transform,
        *,
        uid: str = "",
        create_missing: bool = False,
        may_create: Callable[[], Awaitable[None]] | None = None,
        admission: Admission | None = None,
    ) -> tuple[Result, bool]:
        """(the object, whether it was created). Repeats `transform` and all that follows until the swap succeeds.

        uid: what the body demands of the live object. create_missing: a missing object is created from transform(None),
        for kinds that allow it on PUT and for server-side apply; may_create raises 403 when the user may not.
        """
        admission = admission or self.environment.admission
        key = self.key(write.namespace, write.name)
        while True:
            entry = await self.cache.get(key)
            if entry is None:
                if not create_missing:
                    raise self.missing(write.name, write.group)
                created = await self._create_on_update(write, transform, uid, may_create, admission)
                if created is None:
                    continue
                return created, True
            try:
                return await self._update(write, key, entry, transform, uid, admission), False
            except (Conflict, NotFound):
                continue

    async def _create_on_update(
        self,
        write: Write,
        transform: Transform,
        uid: str,
        may_create: Callable[[], Awaitable[None]] | None,
        admission: Admission,
    ) -> Result | None:
        if uid:
            raise self._uid_mismatch(write, uid, "")
        obj = await running(self.kind, lambda: transform(None))
        attributes = self._attributes(write, "CREATE", obj, None)
        await admission.admit(attributes)
        obj = self._admitted(attributes)
        metadata.dedup_owner_references(obj["metadata"], write.warnings, after_admission=True)
        if (renamed := obj["metadata"].get("name")) != write.name:  # it would be stored where nobody asked for it
            raise self._invalid(renamed or "", [field_errors.invalid("metadata.name", renamed, "field is immutable")])
        # There is no stored version to compare with, so the one that the client names means nothing, if it is one.
        metadata.parse_revision(obj["metadata"].get("resourceVersion"))
        if not write.dry_run:
            obj["metadata"].pop("resourceVersion", None)
        if may_create is not None:
            await may_create()
        try:
            return await self._create(write, obj, admission)
        except ApiError as error:
            if error.reason == "AlreadyExists" and not write.dry_run:
                return None  # somebody else was faster: now it is an update
            raise

    def _uid_mismatch(self, write: Write, wanted: str, found: str) -> ApiError:
        path = metadata.storage_path(self.kind, self.key(write.namespace, write.name), dry_run=write.dry_run)
        return errors.conflict(
            write.group or self.kind.group,
            self.kind.plural,
            write.name,
            f"StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
        )

    async def _update(
        self, write: Write, key: str, entry: Entry, transform: Transform, uid: str, admission: Admission
    ) -> Result:
        """One attempt. Conflict or NotFound (of storage) when another write came in between."""
        write.size = max(write.size, len(entry.body))
        ctx = self.ctx(write)
        try:
            result = await self._update_prepared(ctx, write, key, entry, transform, uid, admission)
        except BaseException:
            await ctx.finish(False)
            raise
        await ctx.finish(not write.dry_run)
        return result

    async def _update_prepared(
        self, ctx: Ctx, write: Write, key: str, entry: Entry, transform: Transform, uid: str, admission: Admission
    ) -> Result:
        kind = self.kind
        old = await offloop.run(write.size, lambda: self.decode(entry))
        old_meta = old["metadata"]
        if uid and uid != old_meta.get("uid"):
            raise self._uid_mismatch(write, uid, old_meta.get("uid", ""))

        async def attempt() -> Obj:
            return await transform(await offloop.run(write.size, lambda: self.decode(entry)))

        new = await running(kind, attempt)
        ctx.patched = write.patched
        attributes = self._attributes(write, "UPDATE", new, old)
        await admission.admit(attributes)
        new = self._admitted(attributes)
        meta = new["metadata"]
        metadata.dedup_owner_references(meta, write.warnings, after_admission=True)
        self._check_revision(write, meta, entry)
        metadata.match_namespace(meta, write.namespace if kind.namespaced else "")
        updating.carry_over(new, old, write.subresource, self._status_fields)
        kind.prepare_update(ctx, new, old)
        counts = kind.has_generation and write.subresource not in updating.STATUS_WRITERS
        if counts and kind.generation_view(new) != kind.generation_view(old) and not self._only_emptied(new, old):
            meta["generation"] = old_meta.get("generation", 0) + 1
        updating.keep_system_fields(meta, old_meta)
        await kind.begin_update(ctx, new, old)
        await offloop.run(write.size, lambda: self._check_changed(ctx, new, old))
        attributes = self._attributes(write, "UPDATE", new, old)
        await admission.validate(attributes)
        if deletion.goes_with_update(kind, new, old):
            if not write.dry_run:
                await self._remove(ctx, key, entry, old)
            return Draft(new)
        if not write.dry_run:
            meta.pop("selfLink", None)  # which is answered, but not stored
        if new == old and self._is_current(key, entry, new) and not await self.cache.stale(key):
            return entry
        if write.dry_run:
            return Draft(await self._rehearsed(new))
        return await self._store(key, new, entry.revision)

    def _check_changed(self, ctx: Ctx, new: Obj, old: Obj) -> None:
        kind = self.kind
        if found := self._judged(ctx, new, lambda obj: updating.validate(kind, ctx, obj, old)):
            raise self._invalid(new["metadata"].get("name") or "", found)
        ctx.warnings.extend(kind.warn(ctx, new, old))
        self._canonicalize(new)
        updating.forget_idle_timestamps(new, old)

    def _check_revision(self, write: Write, meta: Obj, entry: Entry) -> None:
        revision = metadata.parse_revision(meta.get("resourceVersion"))
        if not revision:
            if not self.kind.unconditional_update:
                problem = FieldError(
                    "FieldValueInvalid", "metadata.resourceVersion", 0, "must be specified for an update"
                )
                raise errors.invalid(self.kind.group, self.kind.plural, write.name, [problem])
        elif revision != entry.revision:
            raise errors.conflict(write.group or self.kind.group, self.kind.plural, write.name, errors.OBJECT_MODIFIED)
        meta["resourceVersion"] = str(entry.revision)

    async def replace(self, namespace: str, name: str, change: Callable[[Obj], Obj], *, dry_run: bool = False) -> None:
        """Change an object without the checks of an update, for subresources that have their own. change may raise."""
        key = self.key(namespace, name)
        while True:
            entry = await self.cache.get(key)
            if entry is None:
                raise self.missing(name)
            new = change(self.decode(entry))
            if dry_run:
                return
            try:
                await self._store(key, new, entry.revision)
                return
            except (Conflict, NotFound):
                continue

    # -- deleting

    async def delete(self, write: Write, *, admission: Admission | None = None) -> tuple[Result, bool]:
        """(the object as it was, or as it now is, whether it is gone). write.options: validated DeleteOptions."""
        admission = admission or self.environment.admission
        key = self.key(write.namespace, write.name)
        pristine = write.options
        while True:
            entry = await self.cache.get(key)
            if entry is None:
                raise self.missing(write.name, write.group)
            write.options = dict(pristine)
            try:
                return await self._delete(write, key, entry, admission)
            except (Conflict, NotFound):
                continue

    async def _delete(self, write: Write, key: str, entry: Entry, admission: Admission) -> tuple[Result, bool]:
        kind, options = self.kind, write.options
        ctx = self.ctx(write)
        old, new = self.decode(entry), self.decode(entry)
        graceful, pending = deletion.before_delete(kind, new, options, self.clock)
        if pending:
            return Draft(new), True
        attributes = self._attributes(write, "DELETE", None, old)
        await admission.admit(attributes)
        await admission.validate(attributes)
        changed, finalizers = deletion.finalizers_for_collector(kind, new["metadata"], options)
        if changed:
            new["metadata"]["finalizers"] = finalizers
            if not finalizers:
                del new["metadata"]["finalizers"]
        stays = bool(finalizers) or kind.held(new)
        if not graceful:
            if not stays:
                await self._remove(ctx, key, entry, old)
                return Draft(old), True
            deletion.mark(kind, new, self.clock)
        stays = stays or bool(graceful and options.get("gracePeriodSeconds"))
        result: Result = entry
        if write.dry_run:
            result = Draft(new)
        elif new != old:
            result = await self._store(key, new, entry.revision)
            entry = result
        if stays:
            return result, False
        await self._remove(ctx, key, entry, new)
        return Draft(new), True

    async def _remove(self, ctx: Ctx, key: str, entry: Entry, obj: Obj) -> None:
        if ctx.dry_run:
            return
        gone = await self.cache.delete(key, entry.revision)
        await self.kind.after_delete(ctx, obj)
        obj["metadata"]["resourceVersion"] = str(gone.revision)

    # -- storing

    async def _store(self, key: str, obj: Obj, if_revision: int) -> Entry:
        """Encode once and write; if_revision 0 creates."""
        meta = obj["metadata"]
        document = {"metadata": {name: value for name, value in meta.items() if name != "resourceVersion"}}
        for name, value in obj.items():
            if name not in ("metadata", "kind", "apiVersion"):
                document[name] = value
        if self._adjusts:
            self.kind.on_write(document)
        body = orjson.dumps(document)[1:]
        if len(body) > MAX_OBJECT:
            raise errors.too_large(f"Request entity too large: limit of a stored object is {MAX_OBJECT}")
        fields = self.kind.selectable_fields(obj) if self._indexed else {}
        labels = meta.get("labels") or {}
        version = self.kind.stored_as
        if if_revision:
            return await self.cache.update(key, version, body, if_revision, labels, fields, ttl=self.ttl)
        return await self.cache.create(key, version, body, labels, fields, ttl=self.ttl)

    async def _rehearsed(self, obj: Obj) -> Obj:
        """What would be answered if the object were stored."""
        return await self.cache.rehearse(obj) if isinstance(self.cache, ConvertedCache) else obj

    def _is_current(self, key: str, entry: Entry, obj: Obj) -> bool:
        """Whether the object is stored as it would be now: else a write that changes nothing brings it up to date."""
        kind = self.kind
        if not kind.custom:
            return True
        if isinstance(self.cache, ConvertedCache):
            return self.cache.current(key, entry.revision)
        if entry.version != kind.stored_as:
            return False
        if not self._adjusts:
            return True
        wanted = {name: value for name, value in self.copy(obj).items() if name not in ("kind", "apiVersion")}
        kind.on_write(wanted)
        return wanted == entry.decode()

    @staticmethod
    def copy(obj: Obj) -> Obj:
        copied: Obj = orjson.loads(orjson.dumps(obj))
        return copied

    # -- helpers

    def ctx(self, write: Write) -> Ctx:
        environment = self.environment
        return Ctx(
            user=write.user,
            clock=self.clock,
            reader=environment.reader,
            version=write.version,
            group=write.group,
            namespace=write.namespace or None,
            subresource=write.subresource,
            dry_run=write.dry_run,
            warnings=write.warnings,
            services=environment.services,
            sent=write.sent,
            patched=write.patched,
        )

    def _attributes(self, write: Write, operation: Operation, obj: Obj | None, old: Obj | None) -> Attributes:
        environment, kind = self.environment, self.kind
        name = "" if write.collective else write.name
        if not name and obj is not None:
            name = obj["metadata"].get("name") or ""
        return Attributes(
            operation=operation,
            group=write.group,
            version=write.version,
            plural=kind.plural,
            subresource=write.subresource,
            namespace=write.namespace or None,
            name=name,
            kind=kind,
            obj=obj,
            old=old,
            user=write.user,
            clock=self.clock,
            reader=environment.reader,
            dry_run=write.dry_run,
            operation_options=write.options,
            warnings=write.warnings,
            annotations=write.annotations,
            services=environment.services,
        )

    @staticmethod
    def _admitted(attributes: Attributes) -> Obj:
        assert attributes.obj is not None
        return attributes.obj

    def _invalid(self, name: str, found: list[FieldError]) -> ApiError:
        return errors.invalid(self.kind.group, self.kind.kind, name, found)
