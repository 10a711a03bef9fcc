"""What the subresources that take a body of another kind by POST have in common: read it, check it, admit it."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery import times
from apiserver import negotiate
from apiserver.admission.base import Attributes
from apiserver.filters.base import Request
from apiserver.handlers import options
from apiserver.handlers.create import manager_of
from apiserver.handlers.scope import Expected, Scope, decode_body
from apiserver.negotiate import Output
from apiserver.patch.managed import FieldManager
from apiserver.registry import metadata
from apiserver.registry.kind import Obj
from openapi import schemas
from serving.reply import Reply


@dataclass(frozen=True, slots=True)
class Posted:
    """A decoded body, the form of the answer, and CreateOptions."""

    obj: Obj
    form: Output
    options: Obj


async def read(
    scope: Scope, request: Request, expected: Expected, *, schema: str = "", preconditions: bool = False
) -> Posted:
    """Decode the body of a POST to a subresource. schema: the type's name when it is not <apiVersion>/<kind>.

    preconditions: its uid is that of the object which it is about, and stays.
    """
    form = scope.wanted(request)
    media_type = negotiate.input_type(request)
    raw = await request.read()
    opts = options.create_options(request.query)
    info = schemas.load().type(schema or f"{expected.api_version}/{expected.kind}")
    obj = decode_body(info, raw, media_type, expected, opts, request.warnings)
    if request.audit is not None:
        request.audit.request_object(obj)
    if not preconditions:
        metadata.wipe_system_fields(obj["metadata"])
    metadata.match_namespace(obj["metadata"], request.info.namespace)
    return Posted(obj, form, opts)


def own(scope: Scope, request: Request, posted: Posted, expected: Expected) -> Posted:
    """The same with managedFields: whose its fields are."""
    version = expected.api_version
    info = schemas.load().type(f"{version}/{expected.kind}")
    managers = FieldManager(
        version, expected.kind, types=lambda wanted: info if wanted == version else None, subresource=scope.sub
    )
    now = times.now(scope.server.clock)
    obj = managers.update(None, posted.obj, manager=manager_of(request, posted.options), now=now)
    return Posted(obj, posted.form, posted.options)


def attributes(scope: Scope, request: Request, posted: Posted, name: str) -> Attributes:
    """The POST as admission sees it."""
    environment = scope.store.environment
    return Attributes(
        operation="CREATE",
        group=scope.kind.group,
        version=scope.version,
        plural=scope.kind.plural,
        subresource=scope.sub,
        namespace=request.info.namespace or None,
        name=name,
        kind=None,
        obj=posted.obj,
        old=None,
        user=request.user,
        clock=environment.clock,
        reader=environment.reader,
        dry_run=bool(posted.options.get("dryRun")),
        operation_options=posted.options,
        warnings=request.warnings,
        annotations=request.annotations,
        services=environment.services,
    )


async def admit(scope: Scope, request: Request, posted: Posted, name: str) -> Obj:
    """The body after mutating and validating admission."""
    a = attributes(scope, request, posted, name)
    admission = scope.store.environment.admission
    await admission.admit(a)
    await admission.validate(a)
    assert a.obj is not None
    return a.obj


def success(scope: Scope, posted: Posted) -> Reply:
    """201 and a Status without details."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return scope.reply_object(posted.form, status, 201)
