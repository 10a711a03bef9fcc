"""MutatingAdmissionPolicy: bound policies change the object one after the other, each seeing what those before it made of it.

When one changed it, plugins run once more (see chain.py), and policies that asked for it are applied again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from apimachinery import errors
from apimachinery.cel.errors import EvalError
from apimachinery.errors import ApiError
from apimachinery.gvk import split_api_version
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.policies import conditions, definitions, patching, settings
from apiserver.admission.policies.definitions import Definitions, Invocation, Policy, Problem
from apiserver.admission.policies.evaluation import Decisions, Evaluation
from apiserver.admission.policies.patching import PatchFailed
from apiserver.admission.versions import decoded, kind_in, stored_version
from apiserver.registry.conversion import running
from apiserver.registry.kind import Obj
from apiserver.validation import expressions
from apiserver.validation.expressions import Expression


class Mutation(NamedTuple):
    expression: Expression
    apply: bool  # makes an Object, else a list of JSONPatch


def _mutations(policy: Policy) -> list[Mutation]:
    out = []
    for raw in policy.raw["spec"].get("mutations") or ():
        apply = raw.get("patchType") == "ApplyConfiguration"
        text = (raw.get("applyConfiguration" if apply else "jsonPatch") or {}).get("expression") or ""
        returns = expressions.APPLY if apply else expressions.JSON_PATCHES
        out.append(Mutation(policy.scope.compile(text, returns), apply))
    return out


_Key = tuple[str, str, str, str]  # policy, binding, namespace and name of the parameters


@dataclass(slots=True)
class _Rounds:
    """What a request's second round must know of its first. again: what is to be applied again."""

    last: bytes = b""
    applied: set[_Key] = field(default_factory=set)
    again: set[_Key] = field(default_factory=set)

    def object_changed(self) -> None:
        """Those applied so far have not seen the object as it now is."""
        self.again |= self.applied
        self.applied.clear()


class _Refusal(NamedTuple):
    policy: Policy
    binding: str
    text: str
    reason: str

    def message(self) -> str:
        if self.binding:
            return f"policy '{self.policy.name}' with binding '{self.binding}' denied request: {self.text}"
        return f'policy "{self.policy.name}" denied request: {self.text}'


class Plugin:
    def __init__(self, env: Env) -> None:
        settings.check(env.configuration, settings.MUTATING)
        self._env = env
        self._definitions: Definitions[list[Mutation]] = Definitions(
            env, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", _mutations, mutation=True
        )

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation != "DELETE" and definitions.handles(operation, group, plural, subresource)

    async def admit(self, a: Attributes) -> None:
        if not await self._definitions.current():
            return
        namespace = await self._definitions.namespace_of(a)
        concerned = await self._definitions.concerned(a, namespace)
        if not concerned:
            return
        refusals = [_Refusal(f.policy, f.binding, f.text, "Forbidden") for f in concerned if isinstance(f, Problem)]
        invocations = [found for found in concerned if not isinstance(found, Problem)]
        if invocations:
            refusals += await self._apply(a, invocations, namespace)
        refusals = [refusal for refusal in refusals if not refusal.policy.ignores_failures]
        if refusals:
            raise _refused(a, refusals)

    async def _apply(
        self, a: Attributes, invocations: list[Invocation[list[Mutation]]], namespace: Obj | None
    ) -> list[_Refusal]:
        if a.namespace and (a.group, a.plural) != ("", "namespaces") and namespace is None:
            raise errors.not_found("", "namespaces", a.namespace)
        rounds = a.reinvocation.memory.setdefault("policies", _Rounds())
        if a.reinvocation.again and rounds.last != orjson.dumps(a.obj):
            rounds.object_changed()
        decisions = Decisions(self._env.authorizer, a.user)
        refusals: list[_Refusal] = []
        touched = False
        for invocation in invocations:
            policy, binding = invocation.policy, invocation.binding.name
            evaluation = await definitions.evaluation(a, invocation, decisions, namespace)
            try:
                concerned = await conditions.hold(
                    policy.conditions, evaluation, ignore_failures=policy.ignores_failures
                )
            except conditions.ConditionsFailed as error:
                refusals.append(_Refusal(policy, binding, str(error), "Invalid"))
                continue
            key = _key(invocation)
            if not concerned or (a.reinvocation.again and key not in rounds.again):
                continue
            before = orjson.dumps(a.obj)
            for mutation in invocation.parts if a.obj is not None else ():
                try:
                    await _mutate(a, evaluation, mutation)
                    touched = True
                except (PatchFailed, EvalError) as error:
                    refusals.append(_Refusal(policy, binding, str(error), "Invalid"))
            if orjson.dumps(a.obj) != before:
                rounds.object_changed()
                a.reinvocation.wanted = True
            if policy.raw["spec"].get("reinvocationPolicy") == "IfNeeded":
                rounds.applied.add(key)
        if touched:
            rounds.object_changed()
            a.reinvocation.wanted = True
        rounds.last = orjson.dumps(a.obj)
        return refusals


def _key(invocation: Invocation[Any]) -> _Key:
    meta = (invocation.param or {}).get("metadata") or {}
    return invocation.policy.name, invocation.binding.name, meta.get("namespace", ""), meta.get("name", "")


async def _mutate(a: Attributes, evaluation: Evaluation, mutation: Mutation) -> None:
    """Change the object, here and in the evaluation."""
    version, live = evaluation.seen.version, evaluation.seen.obj
    assert live is not None
    made = await patching.evaluate(mutation.expression, evaluation)
    known = kind_in(a, live)
    if known is not a.kind:
        version = split_api_version(live.get("apiVersion") or "")[1]
    if mutation.apply:
        out = patching.merged(made, live, known.type_info(version) if known is not None else None)
    else:
        out = patching.patched(made, live)
    out = decoded(known, version, out, strict=not mutation.apply)

    async def back() -> Obj:
        return stored_version(a, version, out)

    a.obj = await running(a.kind, back)
    evaluation.seen = evaluation.seen._replace(obj=out)


def _refused(a: Attributes, refusals: list[_Refusal]) -> ApiError:
    error = forbidden(a, "")
    error.message = refusals[0].message()
    error.reason = refusals[0].reason
    details = error.details or {}
    causes = [{"message": refusal.message()} for refusal in refusals]
    error.details = {**details, "causes": [*(details.get("causes") or ()), *causes]}
    return error
