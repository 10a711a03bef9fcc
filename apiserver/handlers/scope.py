"""What a handler knows of the resource it serves: kind, version, subresource, store, types; bodies in and objects out.

One Scope per (group, version, resource, subresource), made by app.py when a kind is added. Between the wire and the store it
changes versions: handlers give and take objects in the kind's storage version, clients theirs.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import errors, field, gvk
from apimachinery.errors import ApiError
from apiserver import negotiate, offloop
from apiserver.filters.base import Request
from apiserver.handlers import legacy_kinds
from apiserver.negotiate import Output
from apiserver.registry.kind import Kind, Obj, Subresource
from apiserver.registry.store import Draft, Result, Store, Write
from apiserver.storage.entry import Entry
from openapi import codec, explain, protobuf
from serving.reply import Reply

if TYPE_CHECKING:
    from apiserver.app import Server
    from apiserver.patch.managed import FieldManager
    from openapi.schemas import TypeInfo


# Subresources that the original serves without Tables.
_WITHOUT_TABLES = frozenset(
    (
        ("apiservices", "status"),
        ("certificatesigningrequests", "approval"),
        ("customresourcedefinitions", "status"),
        ("namespaces", "finalize"),
        ("pods", "binding"),
        ("pods", "ephemeralcontainers"),
        ("pods", "eviction"),
        ("pods", "resize"),
        ("resourceclaims", "status"),
        ("serviceaccounts", "token"),
    )
)


@dataclass(eq=False)
class Scope:
    """One endpoint's surroundings. kind: as declared. store: of the kind that stores the objects, None for virtual ones.

    subresource: None for the object itself. custom: a custom resource, whose rules of decoding differ in places.
    """

    server: Server
    kind: Kind
    version: str
    store: Store
    subresource: Subresource | None = None
    custom: bool = False

    def __post_init__(self) -> None:
        kind, stored = self.kind, self.store.kind
        self.sub = self.subresource.name if self.subresource else ""
        self.tables = (kind.stored or "list" in kind.verbs) and (kind.plural, self.sub) not in _WITHOUT_TABLES
        self.api_version = kind.api_version(self.version)
        self.opening = orjson.dumps({"kind": kind.kind, "apiVersion": self.api_version})[:-1] + b","
        self.list_opening = orjson.dumps({"kind": kind.list_kind, "apiVersion": self.api_version})[:-1] + b","
        self.item_opening = self.opening if self.custom else b"{"
        adjusted = type(stored).on_read is not Kind.on_read
        # As stored, a body needs only its opening to be an answer in this version.
        self.direct = kind is stored and self.version == kind.storage_version and not adjusted
        self.body_form = ("body", kind.group, self.version)
        self.message_form = ("protobuf", kind.group, self.version)

    @cached_property
    def type(self) -> TypeInfo:
        """The schema of this version of the kind."""
        return self.server.type_of(self.kind, self.version)

    @cached_property
    def managers(self) -> FieldManager:
        """Who owns which field, for writes through this scope."""
        return self.server.managers_of(self)

    @property
    def namespaced(self) -> bool:
        return self.kind.namespaced

    # -- versions

    def to_storage(self, obj: Obj) -> Obj:
        """A defaulted object of this version in the shape in which it is stored."""
        kind = self.kind
        if self.store.kind is not kind:
            return kind.to_shared(obj)
        if self.version != kind.storage_version:
            return kind.convert(obj, self.version, kind.storage_version)
        return obj

    def from_storage(self, obj: Obj) -> Obj:
        """A stored object in this version."""
        kind = self.kind
        if self.store.kind is not kind:
            return kind.from_shared(obj)
        if self.version != kind.storage_version:
            return kind.convert(obj, kind.storage_version, self.version)
        return obj

    # -- objects out

    def wanted(self, request: Request, *, stream: bool = False) -> Output:
        """The form in which the client wants the answer; 406. stream: the route can also watch.

        Custom resources are not behind the original's router, whose own test and text come first for the others.
        """
        if not self.custom:
            negotiate.check_route(request, negotiate.STREAMING if stream else negotiate.MEDIA_TYPES)
        return negotiate.output(request, custom=self.custom, tables=self.tables)

    def body(self, entry: Entry) -> bytes:
        """An entry's JSON in this version, without its opening `{"kind":…,"apiVersion":…,`."""
        return entry.body if self.direct else entry.form(self.body_form, self._make_body)

    def _make_body(self, entry: Entry) -> bytes:
        return self.encode(self.presented(self.store.decode(entry)))

    def presented(self, obj: Obj) -> Obj:
        """An object of the store (decoded afresh) as clients of this version see it."""
        return self.from_storage(obj)

    def encode(self, obj: Obj) -> bytes:
        """An object as the body that follows an opening."""
        document = {"metadata": obj["metadata"]}
        for name, value in obj.items():
            if name not in ("metadata", "kind", "apiVersion"):
                document[name] = value
        return orjson.dumps(document)[1:]

    def object_of(self, result: Result) -> Obj:
        """A result of the store as an object of this version, kind and apiVersion included; the caller may change it."""
        if isinstance(result, Draft):
            obj = self.presented(result.obj)
            return {"kind": self.kind.kind, "apiVersion": self.api_version, **_without_type(obj)}
        obj = orjson.loads(self.opening + self.body(result))
        return dict(obj)

    def reply(self, request: Request, form: Output, result: Result, status: int = 200) -> Reply:
        """A result of the store in the form that the client asked for."""
        if form.plain_json and not form.kind:
            body = self.body(result) if isinstance(result, Entry) else self.encode(self.presented(result.obj))
            return Reply(status, self.opening + body + b"\n")
        if form.kind:
            from apiserver.handlers import transform

            return transform.single(self, request, form, result, status)
        if form.media_type == negotiate.PROTOBUF:
            return Reply(status, self.protobuf(self.message(result)), form.media_type)
        return Reply(status, negotiate.render(self.object_of(result), form), form.media_type)

    def message(self, result: Result) -> bytes:
        """A result's protobuf message, without envelope; kept while it is hot."""
        if isinstance(result, Draft):
            return protobuf.encode(self.type, self.object_of(result))
        return result.form(self.message_form, lambda entry: protobuf.encode(self.type, self.object_of(entry)))

    def protobuf(self, message: bytes) -> bytes:
        """An object's message in its envelope."""
        return protobuf.write(self.api_version, self.kind.kind, message)

    def reply_object(self, form: Output, obj: Obj, status: int = 200) -> Reply:
        """An object that is no resource of this scope (a Status, a Scale, a review) in the client's form."""
        if form.kind and obj["kind"] != "Status":
            from apiserver.handlers import transform

            return transform.bare(self, form, obj, status)
        return Reply(status, negotiate.render(obj, form), form.media_type)

    # -- objects in

    def write(self, request: Request, options: Obj, name: str | None = None) -> Write:
        """The store's description of this request."""
        return Write(
            user=request.user,
            version=self.version,
            group=self.kind.group,
            namespace=request.info.namespace if self.namespaced else "",
            name=request.info.name if name is None else name,
            size=request.size,
            subresource=self.sub,
            dry_run=bool(options.get("dryRun")),
            options=options,
            warnings=request.warnings,
            annotations=request.annotations,
        )

    async def decode(self, request: Request, options: Obj) -> Obj:
        """The request's body as an object of this version: checked, pruned, defaulted."""
        media_type = negotiate.input_type(request, custom=self.custom)
        raw = await request.read()

        def decoded() -> Obj:
            obj = decode_body(self.type, raw, media_type, self.expected(), options, request.warnings)
            self.kind.default(obj, self.version)
            if request.audit is not None:
                request.audit.request_object(obj)
            return obj

        return await offloop.run(len(raw), decoded)

    def expected(self) -> Expected:
        return Expected(self.kind.kind, self.kind.group, self.version, self.custom)


def _without_type(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a body ought to be. custom: kind and apiVersion are required. also: apiVersions taken for the same type."""

    kind: str
    group: str
    version: str
    custom: bool = False
    also: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return gvk.api_version(self.group, self.version)


NO_API_VERSION = ".apiVersion accessor error: <nil> is of the type <nil>, expected string"
NO_TYPE = (
    "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct "
    '{{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }}'
)


def decode_body(
    info: TypeInfo, raw: bytes, media_type: str, expected: Expected, options: Obj, warnings: list[str]
) -> Obj:
    """A body as an object with kind, apiVersion and metadata; 400 with the original's words when it is none.

    options: fieldValidation decides whether unknown and duplicate fields are ignored, warned of (default) or refused.
    """
    try:
        parsed = codec.parse(raw, media_type)
    except codec.ParseError as error:
        what = error.yaml or f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(expected, str(error) if media_type == negotiate.PROTOBUF else what, raw) from error
    if parsed.obj is None:
        parsed = codec.Parsed({}, b"{}")  # to Go, null is an object of which nothing is told
    if not isinstance(parsed.obj, dict):
        raise _unrecognized(expected, NO_TYPE.format(_json_name(parsed.obj)), raw)
    check_type(parsed, expected, raw, ignoring=options.get("fieldValidation") == "Ignore")
    try:
        obj, problems = codec.decode(info, parsed)
    except codec.DecodeError as error:
        raise cannot_handle(expected.kind, expected.version, expected, str(error)) from error
    directive = options.get("fieldValidation") or "Warn"
    if problems and directive == "Strict":
        raise cannot_handle(expected.kind, expected.version, expected, codec.strict_text(problems))
    if problems and directive == "Warn":
        warnings.extend(warning_texts(problems))
    document: Obj = {"kind": expected.kind, "apiVersion": expected.api_version, "metadata": {}}
    for name, value in obj.items():
        if name not in ("kind", "apiVersion"):
            document[name] = value
    if document["metadata"] is None:
        document["metadata"] = {}
    return document


_YAML_PREFIX = "yaml: unmarshal errors:\n"


def warning_texts(problems: list[str]) -> list[str]:
    """A warning per problem, and one for each line of the YAML decoder's complaint."""
    texts = []
    for problem in problems:
        if problem.startswith(_YAML_PREFIX):
            texts += [line.strip() for line in problem.removeprefix(_YAML_PREFIX).split("\n")]
        else:
            texts.append(problem)
    return texts


def _json_name(value: Any) -> str:
    names = {list: "array", str: "string", bool: "bool", type(None): "null", dict: "object", explain.Pairs: "object"}
    return names.get(type(value), "number")


def check_type(parsed: codec.Parsed, expected: Expected, raw: bytes, *, ignoring: bool = False) -> None:
    """400 unless kind and apiVersion are those expected, or absent. ignoring: unknown fields are to be ignored."""
    body = parsed.obj
    kind, version = body.get("kind"), body.get("apiVersion")
    if kind == expected.kind and version == expected.api_version:
        return
    for name, value in (("apiVersion", version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            problem = f"json: cannot unmarshal {_json_name(value)} into Go struct field .{name} of type string"
            text = f"couldn't get version/kind; json parse error: {problem}"
            raise _unrecognized(expected, text, raw)
    if expected.custom and not kind:
        text = f"Object 'Kind' is missing in '{raw.decode('utf-8', 'replace')}'"
        if ignoring:  # which another of the original's decoders reads
            raise cannot_handle(expected.kind, expected.version, expected, text)
        raise _unrecognized(expected, text, raw)
    if expected.custom and version is None and "apiVersion" in body:
        raise cannot_handle(expected.kind, "", expected, NO_API_VERSION)
    if expected.custom and not version:
        text = f"does not match the expected API version ({expected.api_version})"
        raise errors.bad_request(f"the API version in the data () {text}")
    if expected.custom and version == expected.api_version and isinstance(body.get("metadata", {}), dict):
        name = body.get("metadata", {}).get("name") or ""
        wrong = field.invalid("kind", kind, f"must be {expected.kind}")
        raise errors.invalid(gvk.split_api_version(version)[0], kind, name, [wrong])
    kind, version = kind or expected.kind, version or expected.api_version
    if kind == expected.kind and version in expected.also:
        return
    if version.count("/") > 1:
        raise _unrecognized(expected, f"unexpected GroupVersion string: {version}", raw)
    if kind == expected.kind and version == expected.api_version:
        return
    legacy_kinds.refuse(parsed, kind, version, expected)


def _unrecognized(expected: Expected, text: str, raw: bytes) -> ApiError:
    return errors.bad_request(
        f"the object provided is unrecognized (must be of type {expected.kind}): {text} ({_summary(raw)})"
    )


def cannot_handle(kind: str, version: str, expected: Expected, text: str) -> ApiError:
    return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {expected.kind}: {text}')


def _summary(raw: bytes) -> str:
    if not raw:
        return "<empty>"
    short = raw[:30]
    text = short.decode("utf-8", "replace") if raw[:1] == b"{" else binascii.hexlify(short).decode()
    return text + " ..." if len(raw) > 30 else text


Handler = Callable[[Scope, Request], Any]
"""async (scope, request) -> Reply"""
