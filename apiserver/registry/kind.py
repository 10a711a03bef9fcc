"""What a kind is: its names, and the hooks with which it takes part in reads and writes. Every hook has a harmless default.

A built-in kind is a subclass with one instance in its group's KINDS (apiserver/kinds/<group>/__init__.py); a custom
resource becomes one at run time (registry/crd.py). Who calls what, and in which order: registry/store.py. Kinds do no
I/O of their own; the few that must look at other objects or allocate something get a `Ctx`.

Objects are plain dicts in the API's JSON shape. Hooks that "change" an object change the dict they are given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apimachinery.gvk import Resource, api_version

if TYPE_CHECKING:
    from apiserver.authn.user import User
    from openapi.schemas import TypeInfo

Obj = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Reader(Protocol):
    """How kinds, admission and authorisation look at other stored objects: local, cached, without authorisation."""

    async def get(self, group: str, plural: str, namespace: str | None, name: str) -> Obj | None:
        """The object in its storage version, decoded afresh (the caller may change it), or None."""

    async def list(self, group: str, plural: str, namespace: str | None = None) -> list[Obj]:
        """All objects of that resource (in the namespace)."""


class NotifyingReader(Reader, Protocol):
    """A Reader that also tells of changes, for those that keep an index of their own (authn, authz, admission)."""

    def on_change(self, group: str, plural: str, callback: Callable[[str | None, str], None]) -> None:
        """Call back with (namespace, name) of each object of the resource that was created, changed or deleted, after
        the change is readable. The callback is short, never blocks and never raises; it usually marks a key as stale.
        Register before the first read; there is no unregistering."""


class Writer(Protocol):
    """How the server itself writes objects: through the store's write path, but without authorisation and admission.

    manager: who owns the fields that are written; "" tracks nobody.
    """

    async def create(self, group: str, plural: str, obj: Obj, *, manager: str = "kube-apiserver") -> Obj:
        """The object as stored; ApiError AlreadyExists and whatever validation says."""

    async def update(
        self, group: str, plural: str, obj: Obj, *, subresource: str = "", manager: str = "kube-apiserver"
    ) -> Obj:
        """Compare-and-swap on metadata.resourceVersion; ApiError Conflict or NotFound."""

    async def delete(self, group: str, plural: str, namespace: str | None, name: str) -> None:
        """ApiError NotFound."""


@dataclass(frozen=True, slots=True)
class Patched:
    """A document as a patch left it, and the body of that patch."""

    document: Any
    body: bytes


@dataclass(slots=True)
class Ctx:
    """What a hook may know of the request and its server.

    version, group: of the request (an Event may come by either of its groups). subresource: "" for the object itself.
    warnings: texts for Warning headers, in order. dry_run: nothing is stored.
    services: named helpers the server registers (for instance "service-ips"), see apiserver/server.py.
    sent: the body of a create or PUT in JSON, for kinds that tell texts of one value apart; else empty.
    patched: what a patch made, before decoding dropped what Go leaves out, and the patch itself; None for other writes.
    endings: what begin_create and begin_update want called when the write is over, see finish.
    """

    user: User
    clock: Clock
    reader: Reader
    version: str
    group: str = ""
    namespace: str | None = None
    subresource: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    services: Mapping[str, Any] = field(default_factory=dict)
    sent: bytes = b""
    patched: Patched | None = None
    endings: list[Callable[[bool], Awaitable[None]]] = field(default_factory=list)

    async def finish(self, stored: bool) -> None:
        """The write is over: what begin_* took is kept if the object was stored, else given back, latest first."""
        while self.endings:
            await self.endings.pop()(stored)


@dataclass(frozen=True, slots=True)
class Column:
    """A table column (metav1.TableColumnDefinition). priority 0 is shown always, greater ones with -o wide.

    doc: a field path within the kind's own schema ("metadata.name", "spec.nodeName") whose documentation is the column's
    description; used by whoever draws the table when description is empty. A path in another kind's schema begins with
    that kind: "v1/Event:lastTimestamp".
    """

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    doc: str = ""


NAME_COLUMN = Column("Name", format="name", doc="metadata.name")
AGE_COLUMN = Column("Age", doc="metadata.creationTimestamp")
CREATED_AT_COLUMN = Column("Created At", type="date", doc="metadata.creationTimestamp")


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a kind keeps what its scale subresource shows. Paths as in a CRD: ".spec.replicas".

    selector: path of a LabelSelector object, a map (ReplicationController) or a string (CRDs); "" for none.
    """

    version: str = "v1"
    spec_replicas: str = ".spec.replicas"
    status_replicas: str = ".status.replicas"
    selector: str = ".spec.selector"


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource as discovery shows it, served by handlers/ under its name ("status", "scale", "log", "exec", ...).

    kind/group/version name the type of its body where that differs from the parent's.
    """

    name: str
    verbs: Sequence[str] = ("get", "patch", "update")
    kind: str = ""
    group: str | None = None
    version: str = ""


STATUS = Subresource("status")
SCALE = Subresource("scale", kind="Scale", group="autoscaling", version="v1")


class Kind:
    """One kind. Subclasses set the attributes and override the hooks they need; instances are immutable and shared."""

    group: str = ""
    kind: str = ""
    plural: str = ""
    singular: str = ""  # kind.lower() when empty
    list_kind: str = ""  # kind + "List" when empty
    namespaced: bool = True
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    versions: Sequence[str] = ("v1",)  # served versions, most preferred first
    storage_version: str = ""  # versions[0] when empty
    verbs: Sequence[str] = ALL_VERBS
    subresources: Sequence[Subresource] = ()
    scale: Scale | None = None
    stored: bool = True  # False for kinds that only answer a create (TokenReview, SubjectAccessReview, ...): see answer
    shares: tuple[str, str] | None = (
        None  # (group, plural) of the kind that stores this one's objects, in its own shape
    )
    custom: bool = False  # made from a CustomResourceDefinition
    create_on_update: bool = False  # PUT of a missing object creates it
    unconditional_update: bool = True  # PUT without resourceVersion is allowed
    has_generation: bool = False  # metadata.generation counts changes of desired state
    graceful: bool = False  # deletion honours a grace period (pods)
    orphan_by_default: bool = False  # default propagation policy
    orphaning_warning: str = ""  # of deletions that leave the propagation policy to that default
    revalidates_metadata: int = 0  # how often its own rules check metadata as a new object's on an update of the object
    checks_metadata_change: bool = True  # its own rules check what an update changes in metadata
    revalidates_first: bool = False  # before it checks what the update changes
    revalidates_in_status: bool = False  # and on an update of its status, too
    checks_metadata_in_status: bool = True  # and what an update of the status changes
    core_metadata: bool = True  # its own rules for metadata are core's, which know finalizers (validation/meta.py)
    own_metadata: bool = (
        True  # it has rules of its own for metadata; else the general ones count, after its other rules
    )
    generates_names: bool = True  # else generateName is the name
    words_preconditions: bool = False  # a DELETE's preconditions fail in words of its own (namespaces)
    returns_deleted: bool = False  # a DELETE that removes the object answers with it, not with a Status
    ttl: float = 0  # seconds until the store removes an object (events)
    telling_empties: Sequence[bytes] = ()  # words of bodies in which an empty list or map may decide what is valid
    columns: Sequence[Column] = (NAME_COLUMN, CREATED_AT_COLUMN)
    status_fields: Sequence[str] = ("status",)  # top-level fields that only the status subresource writes
    status_at_creation: bool = False  # a create may bring a status (nodes register themselves with one)

    def __init__(self) -> None:
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or self.kind + "List"
        self.storage_version = self.storage_version or self.versions[0]
        self._initial_status: bytes | None = None

    # -- names

    @property
    def group_resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def resource(self, version: str = "") -> Resource:
        return Resource(self.group, version or self.storage_version, self.plural, self.kind, self.namespaced)

    def api_version(self, version: str = "") -> str:
        return api_version(self.group, version or self.storage_version)

    def schema_name(self, version: str) -> str:
        """The key of the kind's schema in openapi/ (its definition name without a prefix): "apps/v1/Deployment", "v1/Pod"."""
        return f"{api_version(self.group, version)}/{self.kind}"

    def type_info(self, version: str) -> TypeInfo:
        """The kind's schema in that version."""
        from openapi import schemas

        return schemas.load().type(self.schema_name(version))

    def published_schema(self, version: str) -> dict[str, Any] | None:
        """A custom kind's definition (OpenAPI v3) to publish; None for built-in kinds, whose definitions are known."""
        return None

    # -- versions

    @property
    def stored_as(self) -> str:
        """The version that objects are kept in; storage_version is the one in which this kind's store works."""
        return self.storage_version

    @property
    def known_versions(self) -> Sequence[str]:
        """Every version that objects and their field managers may be in, served or not."""
        return self.versions

    @property
    def converts_by_webhook(self) -> bool:
        """Whether convert() may be called only inside of registry.conversion.running()."""
        return False

    def in_version(self, version: str) -> Kind:
        """The kind as that version of it declares it (subresources, columns, selectable fields)."""
        return self

    def deprecation(self, version: str) -> str:
        """The warning that every request to this version of the kind gets; "" for none."""
        return ""

    def convert(self, obj: Obj, source: str, target: str) -> Obj:
        """The object in another version, apiVersion included. Called only for kinds with several versions."""
        return {**obj, "apiVersion": api_version(self.group, target)}

    def to_shared(self, obj: Obj) -> Obj:
        """Only for kinds with `shares` (events.k8s.io Event is stored as core Event): the object in the shape of the kind
        that stores it, apiVersion included. The store calls it after default(); all later hooks see that shape."""
        return obj

    def from_shared(self, obj: Obj) -> Obj:
        """The way back, for answers: the stored kind's shape in this kind's own."""
        return obj

    # -- kinds that are not stored

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        """Only for kinds with stored = False: the answer to a create, after defaulting, mutating admission and
        validation. The deciding itself is a service that the server registers in ctx.services."""
        raise NotImplementedError(self.kind)

    def initial_status(self) -> Obj:
        """The status fields of a new object, which the store puts in place of a client's: zero values as decoding
        writes them, without those that it leaves out."""
        if self._initial_status is None:
            from openapi import schemas

            loaded, name = schemas.load(), self.schema_name(self.storage_version)
            zero: Obj = loaded.type(name).decode({})[0] if loaded.has(name) else {}
            self._initial_status = orjson.dumps({k: v for k, v in zero.items() if k in self.status_fields})
        fresh: Obj = orjson.loads(self._initial_status)
        return fresh

    # -- writes, in the order in which the store calls them

    def default(self, obj: Obj, version: str) -> None:
        """Fill in defaults of that version after decoding; must be idempotent."""

    def default_empty(self, obj: Obj) -> None:
        """What default() makes of an empty list or map that tells something; of the copy that registry/as_sent makes."""

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        """Clear what a client may not set at creation; the store has cleared status_fields where a status subresource exists."""

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """Carry over what this (sub)resource may not change; the store has already carried over status (or, for
        ctx.subresource == "status", everything but status and the metadata that may change there) and, if
        has_generation, will bump the generation when `generation_view` differs."""

    def generation_view(self, obj: Obj) -> Any:
        """What must change for the generation to be bumped: by default everything but metadata and status_fields."""
        return {
            k: v for k, v in obj.items() if k not in ("metadata", "kind", "apiVersion") and k not in self.status_fields
        }

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        """Allocate what the object needs (addresses, ports) after admission and before validation."""

    async def begin_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        """As begin_create, for an update."""

    async def after_delete(self, ctx: Ctx, obj: Obj) -> None:
        """Release what begin_* allocated; called once the object is gone."""

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        """What is wrong with a name (or with a generateName prefix), as texts. Default: DNS-1123 subdomain."""
        from apiserver.validation import names

        return names.dns_subdomain(name, prefix)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        """Everything wrong with a new object, except its metadata (the store checks that first, by validate_name)."""
        return []

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        """Everything wrong with an update, except metadata. Default: what validate() says of the new object. Dispatch on
        ctx.subresource for status and others."""
        return self.validate(ctx, obj)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        """Warnings to return with a create (old is None) or an update."""
        return []

    def canonicalize(self, obj: Obj) -> None:
        """Bring the object into its canonical form after validation."""

    # -- deletion

    def undeletable(self, name: str) -> str:
        """Why an object of that name cannot be deleted, asked before it is looked for; "" when it can."""
        return ""

    def grace_period(self, obj: Obj, options: Obj) -> int | None:
        """Seconds of grace for a deletion, None for immediate; only for graceful kinds. May change the object."""
        return None

    # Whether the mark of a deletion leaves generation and grace alone; mark_deleting() then finds the time in the object.
    marked_barely = False

    def mark_deleting(self, obj: Obj) -> None:
        """Change what else shows that a deletion began; called when metadata.deletionTimestamp is set for the first time."""

    def held(self, obj: Obj) -> bool:
        """Whether an object marked for deletion must stay although it has no metadata.finalizers (a namespace's
        spec.finalizers). Asked when a deletion begins and after every update of an object being deleted."""
        return False

    # -- reads

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        """Values of the field selectors this kind supports beyond metadata.name and metadata.namespace. Every supported
        field must be present for every object ("" when unset): an absent field is an unsupported selector."""
        return {}

    def field_label(self, label: str, value: str, version: str) -> tuple[str, str] | None:
        """The field selector term to use for a client's, or None if the field is not supported."""
        return None

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        """A table row's cells, one for each column."""
        from apimachinery import times

        created = obj["metadata"].get("creationTimestamp")
        return [obj["metadata"].get("name", ""), created or times.format_time(0)]

    def in_table_order(self, objects: list[Obj]) -> list[Obj]:
        """The objects of a list in the order in which a Table shows them."""
        return objects

    def row_conditions(self, obj: Obj) -> list[Obj]:
        """Conditions of a table row (metav1.TableRowCondition)."""
        return []

    def on_read(self, obj: Obj, version: str) -> None:
        """Adjust an object, stored in that version, for everyone who reads it (the original's decorators)."""

    def on_write(self, obj: Obj) -> None:
        """Adjust an object for being stored, if on_read adjusts it for being read."""
