"""The scale subresource: a kind's replica count as an autoscaling/v1 Scale, for every kind that declares one.

A write to it is a write to the object that changes the count alone. managedFields are kept on the Scale and translated;
admission sees the Scale, as its subjects do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import orjson

from apimachinery import errors, field, selectors, times
from apimachinery.errors import ApiError
from apiserver import negotiate
from apiserver.admission.base import Attributes
from apiserver.columns import scale_columns
from apiserver.filters.base import Request
from apiserver.handlers import legacy_kinds, options
from apiserver.handlers.create import manager_of
from apiserver.handlers.patch import applied, problem_of_type, record
from apiserver.handlers.scope import Expected, Scope, decode_body
from apiserver.kinds import cells
from apiserver.negotiate import Output
from apiserver.patch import owners, patcher
from apiserver.patch.fieldset import Path
from apiserver.registry import metadata
from apiserver.registry.kind import Obj, Scale
from apiserver.registry.store import Admission, Result
from apiserver.validation import meta as meta_rules
from apiserver.validation import names as name_rules
from openapi import schemas
from serving.reply import Reply

_GROUP, _VERSION = "autoscaling", "v1"
_API_VERSION = f"{_GROUP}/{_VERSION}"
_EXPECTED = Expected("Scale", _GROUP, _VERSION)
_PATCHES = (negotiate.JSON_PATCH, negotiate.MERGE_PATCH, negotiate.STRATEGIC_PATCH, negotiate.APPLY_PATCH)
_CUSTOM_PATCHES = (negotiate.JSON_PATCH, negotiate.MERGE_PATCH, negotiate.APPLY_PATCH)


# The original's handler of custom resources does not know its Scales when it words what it could not decode.
_UNKNOWN_SCALE = (
    "no kind is registered for the type v1.Scale in scheme "
    '"k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go:781"'
)
_SCALES = 'in scheme "k8s.io/client-go/scale/util.go:146"'


async def get(scope: Scope, request: Request) -> Reply:
    """200 with the Scale."""
    form = scope.wanted(request)
    entry = await scope.store.get(request.info.namespace, request.info.name)
    return _reply(scope, request, form, entry)


async def update(scope: Scope, request: Request) -> Reply:
    """200 with the Scale after a PUT."""
    form = scope.wanted(request)
    opts = options.update_options(request.query)
    media_type = negotiate.input_type(request)
    raw = await request.read()
    info = schemas.load().type(f"{_API_VERSION}/Scale")
    try:
        body = decode_body(info, raw, media_type, _EXPECTED, opts, request.warnings)
    except ApiError:
        if scope.custom:
            raise errors.bad_request(_UNKNOWN_SCALE) from None
        raise
    metadata.match_namespace(body["metadata"], request.info.namespace)
    metadata.check_name(body, request.info.name, request.info.namespace)
    manager, now = manager_of(request, opts), times.now(scope.server.clock)

    def change(live: Obj) -> Obj:
        new = orjson.loads(orjson.dumps(body))
        return scope.managers.update(live, new, manager=manager, now=now)

    return await _write(scope, request, form, opts, change, uid=body["metadata"].get("uid") or "")


async def patch(scope: Scope, request: Request) -> Reply:
    """200 with the Scale after a PATCH of any kind."""
    patch_type = negotiate.patch_type(request, _CUSTOM_PATCHES if scope.custom else _PATCHES)
    form = scope.wanted(request)
    raw = await request.read()
    opts = options.patch_options(request.query, patch_type)
    if request.audit is not None and request.audit.wants_request:
        record(request, raw, patch_type == negotiate.APPLY_PATCH)
    now = times.now(scope.server.clock)
    info = schemas.load().type(f"{_API_VERSION}/Scale")
    parsed = applied(raw).obj if patch_type == negotiate.APPLY_PATCH else None

    def wrong_type(document: Any, drawn: Any) -> str:
        return problem_of_type(document, _EXPECTED, _SCALES if scope.custom else legacy_kinds.SCHEME)

    def change(live: Obj) -> Obj:
        if patch_type == negotiate.APPLY_PATCH:
            force = bool(opts.get("force"))
            return scope.managers.apply(live, parsed, manager=opts["fieldManager"], force=force, now=now)
        before = scope.server.copy(live)
        validation = cast("patcher.Validation", opts.get("fieldValidation") or "Warn")
        new, warnings = patcher.patch(patch_type, live, raw, info, validation, wrong_type=wrong_type)
        request.warnings.extend(text for text in warnings if text not in request.warnings)
        return scope.managers.update(before, new, manager=manager_of(request, opts), now=now)

    return await _write(scope, request, form, options.as_kind(opts, "UpdateOptions"), change)


ENDPOINTS = {"GET": get, "PUT": update, "PATCH": patch}


async def _write(scope: Scope, request: Request, form: Output, opts: Obj, change: Any, uid: str = "") -> Reply:
    replicas = _replicas_paths(scope)

    async def transform(live: Obj | None) -> Obj:
        assert live is not None  # nothing is created here
        parent = scope.from_storage(live)
        meta = parent["metadata"]
        shown = scale_of(scope, parent, unset=True)
        if entries := owners.to_scale(meta.get("managedFields"), replicas):
            shown["metadata"]["managedFields"] = entries
        new: Obj = change(shown)
        metadata.check_name(new, request.info.name, "")
        if not scope.custom:  # whose own validation says it
            _validate(new)
        after = new["metadata"].get("managedFields")
        entries = owners.from_scale(meta.get("managedFields"), after, scope.api_version, replicas)
        if entries:
            meta["managedFields"] = entries
        else:
            meta.pop("managedFields", None)
        revision = new["metadata"].get("resourceVersion")
        if revision:
            meta["resourceVersion"] = revision
        _set(parent, _scale(scope).spec_replicas, (new.get("spec") or {}).get("replicas") or 0)
        return scope.to_storage(parent)

    admission = _ScaleAdmission(scope, scope.store.environment.admission)
    result, _ = await scope.store.update(scope.write(request, opts), transform, uid=uid, admission=admission)
    return _reply(scope, request, form, result)


def _reply(scope: Scope, request: Request, form: Output, result: Result) -> Reply:
    document = scale_of(scope, scope.object_of(result))
    if form.kind:
        from apiserver.handlers import transform

        info = schemas.load().type(f"{_API_VERSION}/Scale")
        sheet = transform.Sheet(scale_columns(scope.custom), info, lambda scale: _cells(scale, scope))
        return transform.foreign(scope, request, form, document, sheet)
    return scope.reply_object(form, document)


def _cells(scale: Obj, scope: Scope) -> list[Any]:
    desired = scale["spec"].get("replicas") or 0
    return [scale["metadata"]["name"], desired, scale["status"]["replicas"], cells.age(scale, scope.server.clock)]


def _scale(scope: Scope) -> Scale:
    assert scope.kind.scale is not None
    return scope.kind.scale


def _replicas_paths(scope: Scope) -> dict[str, Path | None]:
    paths: dict[str, Path | None] = {}
    for version in scope.kind.known_versions:
        where = scope.kind.in_version(version).scale
        names = _names(where.spec_replicas) if where is not None else None
        paths[scope.kind.api_version(version)] = tuple(f"f:{name}" for name in names) if names else None
    return paths


def _names(path: str) -> list[str]:
    return path.strip(".").split(".")


def _get(obj: Obj, path: str) -> Any:
    value: Any = obj
    for name in _names(path):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _set(obj: Obj, path: str, value: Any) -> None:
    *parents, last = _names(path)
    for name in parents:
        obj = obj.setdefault(name, {})
    obj[last] = value


def scale_of(scope: Scope, obj: Obj, *, unset: bool = False) -> Obj:
    """The Scale of an object of this scope's version. unset: it may have no replicas yet, which a write gives it."""
    where = _scale(scope)
    meta = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    count = _get(obj, where.spec_replicas)
    if count is None and scope.custom and not unset:
        raise errors.internal_error(f'the spec replicas field "{where.spec_replicas}" does not exist')
    status: Obj = {"replicas": _get(obj, where.status_replicas) or 0}
    selector = _selector_text(_get(obj, where.selector)) if where.selector else ""
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": _API_VERSION,
        "metadata": {name: meta[name] for name in names if name in meta},
        "spec": {"replicas": count} if count else {},
        "status": status,
    }


def _selector_text(selector: Any) -> str:
    if isinstance(selector, str):
        return selector
    if not isinstance(selector, dict):
        return ""
    if selector.keys() & {"matchLabels", "matchExpressions"} or not selector:
        return str(selectors.from_object(selector))
    return str(selectors.from_map(selector))


def _validate(scale: Obj) -> None:
    found = meta_rules.validate_object_meta(scale["metadata"], True, name_rules.dns_subdomain, core=True)
    count = (scale.get("spec") or {}).get("replicas") or 0
    if count < 0:
        found.append(field.invalid("spec.replicas", count, "must be greater than or equal to 0"))
    if found:
        raise errors.invalid(_GROUP, "Scale", scale["metadata"].get("name", ""), found)


class _ScaleAdmission:
    """Shows admission the Scale where the store has the object."""

    def __init__(self, scope: Scope, chain: Admission) -> None:
        self._scope = scope
        self._chain = chain

    def _shown(self, a: Attributes) -> Attributes:
        scope = self._scope
        obj, old = (
            scale_of(scope, scope.from_storage(side), unset=True) if side is not None else None
            for side in (a.obj, a.old)
        )
        return replace(a, kind=None, obj=obj, old=old)

    async def admit(self, a: Attributes) -> None:
        shown = self._shown(a)
        before = ((shown.obj or {}).get("spec") or {}).get("replicas") or 0
        await self._chain.admit(shown)
        after = ((shown.obj or {}).get("spec") or {}).get("replicas") or 0
        if after != before and a.obj is not None:
            parent = self._scope.from_storage(a.obj)
            _set(parent, _scale(self._scope).spec_replicas, after)
            a.obj = self._scope.to_storage(parent)

    async def validate(self, a: Attributes) -> None:
        await self._chain.validate(self._shown(a))
