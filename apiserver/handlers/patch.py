"""PATCH of an object or its status: JSON patch, merge patch, strategic merge patch, server-side apply.

The patch is applied anew to what is stored whenever another write came in between, as the original does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from apimachinery import errors, field, gvk, times
from apimachinery.errors import ApiError, Unconvertible
from apiserver import negotiate, offloop
from apiserver.filters.base import Request
from apiserver.handlers import compression, legacy_kinds, options
from apiserver.handlers import scope as scopes
from apiserver.handlers.create import manager_of
from apiserver.handlers.scope import NO_API_VERSION, NO_TYPE, Expected, Scope
from apiserver.handlers.update import authorize_create
from apiserver.patch import json_patch, patcher
from apiserver.registry import metadata
from apiserver.registry.kind import Obj, Patched
from openapi import codec, explain
from serving.reply import Reply

_TYPES = (negotiate.JSON_PATCH, negotiate.MERGE_PATCH, negotiate.STRATEGIC_PATCH, negotiate.APPLY_PATCH)
_CUSTOM_TYPES = (negotiate.JSON_PATCH, negotiate.MERGE_PATCH, negotiate.APPLY_PATCH)

Change = Callable[[Obj | None], Obj]
"""live object of the request's version, or None -> new one with managedFields, defaulted"""


async def patch(scope: Scope, request: Request) -> Reply:
    """200 with the object, or 201 when apply created it."""
    patch_type = negotiate.patch_type(request, _CUSTOM_TYPES if scope.custom else _TYPES)
    form = scope.wanted(request)
    raw = await request.read()
    opts = options.patch_options(request.query, patch_type)
    applies = patch_type == negotiate.APPLY_PATCH
    if request.audit is not None and request.audit.wants_request:
        await offloop.run(len(raw), lambda: record(request, raw, applies))
    write = scope.write(request, options.as_kind(opts, "UpdateOptions"))

    def seen(document: Any) -> None:
        write.patched = Patched(document, raw)

    if applies:
        change = await offloop.run(len(raw), lambda: _apply(scope, request, raw, opts, seen))
    else:
        change = _merge(scope, request, patch_type, raw, opts, seen)
    info = request.info
    namespace = info.namespace if scope.namespaced else ""
    if patch_type == negotiate.JSON_PATCH:
        write.size = json_patch.weight(raw)

    async def transform(live: Obj | None) -> Obj:
        return await offloop.run(write.size, lambda: changed(live))

    def changed(live: Obj | None) -> Obj:
        new = change(scope.from_storage(live) if live is not None else None)
        meta: Obj = new["metadata"]
        if live is None and meta.get("uid"):
            text = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            raise errors.conflict(scope.kind.group, scope.kind.plural, info.name, text)
        metadata.match_namespace(meta, namespace)
        metadata.check_name(new, info.name, namespace)
        return scope.to_storage(new)

    result, created = await scope.store.update(
        write,
        transform,
        create_missing=applies and not scope.sub,
        may_create=lambda: authorize_create(scope, request),
    )
    return await compression.compress(request, scope.reply(request, form, result, 201 if created else 200))


def record(request: Request, raw: bytes, yaml: bool) -> None:
    """The patch goes into the audit event if it can be read."""
    try:
        document = codec.parse(raw, yaml=yaml).obj
    except codec.ParseError:
        return
    if request.audit is not None:
        request.audit.request_patch(document)


def _merge(
    scope: Scope, request: Request, patch_type: str, raw: bytes, opts: Obj, seen: Callable[[Any], None]
) -> Change:
    manager, now = manager_of(request, opts), times.now(scope.server.clock)
    validation = cast("patcher.Validation", opts.get("fieldValidation") or "Warn")

    def settle(patched: Obj) -> None:
        patched.update(kind=scope.kind.kind, apiVersion=scope.api_version)
        patched.setdefault("metadata", {})
        scope.kind.default(patched, scope.version)

    strange = False

    def wrong_type(document: Any, drawn: Callable[[], str]) -> str:
        nonlocal strange
        text, strange = _wrong_type(scope, request.info.name, document, drawn)
        return text

    def change(live: Obj | None) -> Obj:
        if live is None:
            raise scope.store.missing(request.info.name, request.info.group)
        before = scope.server.copy(live)
        patched, warnings = patcher.patch(
            patch_type, live, raw, scope.type, validation, wrong_type=wrong_type, seen=seen, settle=settle
        )
        request.warnings.extend(text for text in warnings if text not in request.warnings)
        if strange:
            patched["metadata"].pop("managedFields", None)  # which nobody can say of that type
            return patched
        return scope.managers.update(before, patched, manager=manager, now=now)

    return change


def _wrong_type(scope: Scope, name: str, patched: Any, drawn: Callable[[], str]) -> tuple[str, bool]:
    """(what is wrong when the patch made another kind or version of the object, whether it is another one but taken).

    A strategic patch cannot. ApiError where a custom resource's own validation, or its decoder, would refuse it.
    """
    if text := _illegible_type(patched):
        return text, False
    patched = patched or {}
    kind, api_version = patched.get("kind"), patched.get("apiVersion")
    if kind == scope.kind.kind and api_version == scope.api_version:
        return "", False
    if scope.custom:
        if not kind:
            return f"Object 'Kind' is missing in '{drawn()}'", False
        if api_version is None and "apiVersion" in patched:
            return NO_API_VERSION, False
        if not api_version:
            raise errors.internal_error("Object 'apiVersion' is missing in 'object has no apiVersion field'")
        return "", _other_custom(scope, name, kind, api_version)
    kind, api_version = kind or scope.kind.kind, api_version or scope.api_version
    if kind == scope.kind.kind and api_version == scope.api_version:
        return "", False
    return legacy_kinds.problem(codec.Parsed(patched, None), kind, api_version, scope.expected())[0], False


def _illegible_type(patched: Any) -> str:
    if not isinstance(patched, dict):
        return NO_TYPE.format(_json_type(patched)) if patched is not None else ""
    for member in ("apiVersion", "kind"):
        value = patched.get(member)
        if value is not None and not isinstance(value, str):
            text = f"json: cannot unmarshal {_json_type(value)} into Go struct field .{member} of type string"
            return f"couldn't get version/kind; json parse error: {text}"
    if (patched.get("apiVersion") or "").count("/") > 1:
        return f"unexpected GroupVersion string: {patched['apiVersion']}"
    return ""


def problem_of_type(patched: Any, expected: Expected, scheme: str) -> str:
    """What is wrong with the kind and apiVersion of a patched Scale, "" if nothing."""
    if text := _illegible_type(patched):
        return text
    patched = patched or {}
    kind = patched.get("kind") or expected.kind
    api_version = patched.get("apiVersion") or expected.api_version
    if (kind, api_version) == (expected.kind, expected.api_version):
        return ""
    if scheme == legacy_kinds.SCHEME:
        return legacy_kinds.problem(codec.Parsed(patched, None), kind, api_version, expected)[0]
    return f'no kind "{kind}" is registered for version "{api_version}" {scheme}'


def _other_custom(scope: Scope, name: str, kind: str, api_version: str) -> bool:
    """True for a status, which leaves the type as it is; else 422, for what the custom resource became."""
    if scope.sub == "status":
        group, version = gvk.split_api_version(api_version)
        return kind != scope.kind.kind or group != scope.kind.group or version not in scope.kind.known_versions
    found = []
    if kind != scope.kind.kind:
        found.append(field.invalid("kind", kind, f"must be {scope.kind.kind}"))
    if api_version != scope.api_version:
        found.append(field.invalid("apiVersion", api_version, f"must be {scope.api_version}"))
    raise errors.invalid(gvk.split_api_version(api_version)[0], kind, name, found)


def _json_type(value: Any) -> str:
    """A JSON value that is no object, as Go's decoder calls it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "number"


def applied(raw: bytes) -> codec.Parsed:
    """The configuration that is applied, parsed; 400 when it is no object."""
    try:
        parsed = codec.parse(raw, yaml=True)
    except codec.ParseError as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from error
    if parsed.obj is not None and not isinstance(parsed.obj, dict):
        found = f"cannot unmarshal {_json_type(parsed.obj)} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: json: {found}")
    parsed.obj = explain.plain(parsed.obj)  # 1.0 is 1, and what 64 bits do not hold a float
    return parsed


def _apply(scope: Scope, request: Request, raw: bytes, opts: Obj, seen: Callable[[Any], None]) -> Change:
    parsed = applied(raw)
    manager, now = opts["fieldManager"], times.now(scope.server.clock)
    force = bool(opts.get("force"))
    directive = opts.get("fieldValidation") or "Warn"

    def change(live: Obj | None) -> Obj:
        new = scope.managers.apply(live, parsed.obj, manager=manager, force=force, now=now, seen=seen)
        if parsed.problems and directive == "Strict":
            text = "error strict decoding YAML: error converting YAML to JSON: "
            raise errors.bad_request(text + "\n".join(parsed.problems))
        if directive == "Warn":
            request.warnings.extend(
                text for text in scopes.warning_texts(parsed.problems) if text not in request.warnings
            )
        try:
            scope.kind.default(new, scope.version)
        except Unconvertible as error:
            place = scope.managers.place(parsed.obj)
            raise ApiError(500, "", f"failed to convert to unversioned ({place}): {error.detail}") from None
        return new

    return change
