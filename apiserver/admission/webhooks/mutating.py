"""MutatingAdmissionWebhook: webhooks one after the other, each seeing what the ones before it made of the object.

When a webhook changed the object, plugins run once more (see chain.py), and those webhooks that asked for it and were
called before the change are called again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.versions import decoded, in_version, stored_version
from apiserver.admission.webhooks import identities, review
from apiserver.admission.webhooks.caller import Caller, CallFailed
from apiserver.admission.webhooks.hooks import Hooks, Invocation
from apiserver.admission.webhooks.validating import call, failed
from apiserver.audit.events import PATCHES
from apiserver.registry.conversion import running
from apiserver.registry.kind import Obj

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Rounds:
    """What a request's second round must know of its first. again: webhooks to call again."""

    last: bytes = b""
    called: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)

    def object_changed(self) -> None:
        """Those called so far have not seen the object as it now is."""
        self.again |= self.called
        self.called.clear()


class Plugin:
    def __init__(self, env: Env) -> None:
        self._hooks = Hooks(env, "mutatingwebhookconfigurations")
        self._caller = Caller(env.reader, env.clock, identities.followed(env.configuration, env.clock))

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return self._hooks.handles(operation, group, plural, subresource)

    async def admit(self, a: Attributes) -> None:
        hooks = await self._hooks.current()
        if not hooks:
            return
        rounds = a.reinvocation.memory.setdefault("webhooks", _Rounds())
        if a.reinvocation.again and rounds.last != orjson.dumps(a.obj):
            rounds.object_changed()
        for position, hook in enumerate(hooks):
            invocation = await self._hooks.invocation(hook, a)
            if invocation is None or (a.reinvocation.again and hook.uid not in rounds.again):
                continue
            if await self._call(position, invocation, a):
                rounds.object_changed()
                a.reinvocation.wanted = True
            if hook.raw.get("reinvocationPolicy") == "IfNeeded":
                rounds.called.add(hook.uid)
        rounds.last = orjson.dumps(a.obj)

    async def _call(self, position: int, invocation: Invocation, a: Attributes) -> bool:
        """Whether the webhook changed the object; noted for the audit whatever comes of the call."""
        mark = f"round_{int(a.reinvocation.again)}_index_{position}"
        hook = invocation.hook
        note = {"configuration": hook.configuration, "webhook": hook.name}
        changed = False
        try:
            answer = await call(self._caller, invocation, a, mutating=True)
            if not answer.allowed:
                raise review.denial(hook.name, answer.status)
            operations = _operations(answer)
            if operations:
                changed = await running(a.kind, lambda: _apply(invocation, a, operations))
                patch = [{key: operation[key] for key in sorted(operation)} for operation in operations]
                told = {**note, "patch": patch, "patchType": answer.patch_type}
                a.annotations.setdefault(f"{PATCHES}{mark}", orjson.dumps(told).decode())
        except CallFailed as error:
            refusal = failed(invocation, a, error, f"failed-open.mutation.webhook.admission.k8s.io/{mark}")
            if refusal is not None:
                raise refusal from error
        finally:
            key = f"mutation.webhook.admission.k8s.io/{mark}"
            a.annotations.setdefault(key, orjson.dumps({**note, "mutated": changed}).decode())
        return changed

    async def close(self) -> None:
        await self._caller.close()


def _operations(answer: review.Answer) -> list[Obj]:
    """The patch's. CallFailed where it is none."""
    from openapi import codec

    if not answer.patch:
        return []
    if answer.patch_type != "JSONPatch":
        raise CallFailed(f"unsupported patch type {go_quote(answer.patch_type)}")
    wrong = "received undecodable patch in webhook response: "
    try:
        found = codec.parse_json(answer.patch).obj
    except codec.ParseError as error:
        raise CallFailed(f"{wrong}{error}") from error
    if found is None:
        return []
    if not isinstance(found, list):
        raise CallFailed(f"{wrong}json: cannot unmarshal {_go_kind(found)} into Go value of type jsonpatch.Patch")
    for position, item in enumerate(found):
        if item is not None and not isinstance(item, dict):
            where = f"Patch.{position} of type jsonpatch.Operation"
            raise CallFailed(f"{wrong}json: cannot unmarshal {_go_kind(item)} into {where}")
    return [item or {} for item in found]


def _go_kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(value), "number")


async def _apply(invocation: Invocation, a: Attributes, operations: list[Obj]) -> bool:
    """Patch the object in the version that the webhook saw, and bring it back. Whether anything changed."""
    hook = invocation.hook
    if a.obj is None:
        text = f"admission webhook {go_quote(hook.name)} attempted to modify the object, which is not supported for this operation"
        raise errors.internal_error(text)
    before = orjson.dumps(in_version(a, a.obj, invocation.group, invocation.version))
    patched = _patched(orjson.loads(before), operations)
    patched = decoded(a.kind, invocation.version, patched)
    if orjson.dumps(patched) == before:
        return False
    a.obj = stored_version(a, invocation.version, patched)
    return True


def _patched(obj: Obj, operations: list[Obj]) -> Any:
    from apiserver.patch import json_patch

    try:
        return json_patch.applied(obj, operations)
    except json_patch.OperationFailed as error:
        raise errors.internal_error(str(error)) from error
    except ApiError as error:
        raise errors.internal_error(error.message) from error
