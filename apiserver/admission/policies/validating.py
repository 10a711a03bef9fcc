"""ValidatingAdmissionPolicy: what a bound policy finds wrong is refused, warned of or noted, as the binding says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery.errors import ApiError
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.policies import conditions, definitions, settings
from apiserver.admission.policies.definitions import Binding, Definitions, Invocation, Policy, Problem
from apiserver.admission.policies.evaluation import BUDGET, Decisions, Evaluation, OutOfBudget, Result
from apiserver.registry.kind import Obj
from apiserver.validation import expressions
from apiserver.validation.expressions import Expression

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_MAX_MESSAGE = 5 * 1024  # bytes that a messageExpression may make
_MAX_ANNOTATION = 10 * 1024  # bytes of an audit annotation


@dataclass(slots=True)
class Parts:
    """The expressions of a policy. messages: None where a validation has no messageExpression."""

    validations: list[Expression]
    messages: list[Expression | None]
    annotations: list[Expression]

    @classmethod
    def of(cls, policy: Policy) -> Parts:
        spec, scope = policy.raw["spec"], policy.scope
        rules = spec.get("validations") or ()
        return cls(
            [scope.compile(rule["expression"], expressions.BOOL) for rule in rules],
            [
                scope.compile(rule["messageExpression"], expressions.STRING, authorizer=False)
                if rule.get("messageExpression")
                else None
                for rule in rules
            ],
            [
                scope.compile(a["valueExpression"], expressions.STRING_OR_NULL)
                for a in spec.get("auditAnnotations") or ()
            ],
        )


class Denial(NamedTuple):
    """One thing that a policy has against a request. position: of the validation."""

    message: str
    reason: str = "Invalid"
    position: int = 0


class _Refusal(NamedTuple):
    policy: str
    binding: str  # "" when it is the policy itself that fails
    denial: Denial

    def text(self) -> str:
        bound = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{bound} denied request: {self.denial.message}"


class Plugin:
    def __init__(self, env: Env) -> None:
        settings.check(env.configuration, settings.VALIDATING)
        self._env = env
        self._definitions: Definitions[Parts] = Definitions(
            env, "validatingadmissionpolicies", "validatingadmissionpolicybindings", Parts.of
        )

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return definitions.handles(operation, group, plural, subresource)

    async def validate(self, a: Attributes) -> None:
        if not await self._definitions.current():
            return
        namespace = await self._definitions.namespace_of(a)
        decisions = Decisions(self._env.authorizer, a.user)
        refusals: list[_Refusal] = []
        notes: dict[tuple[str, str], list[str]] = {}
        for found in await self._definitions.concerned(a, namespace):
            if isinstance(found, Problem):
                if not found.policy.ignores_failures:
                    refusals.append(_Refusal(found.policy.name, found.binding, Denial(found.text)))
                continue
            evaluation = await definitions.evaluation(a, found, decisions, namespace)
            denials, failures = await _judge(found, evaluation, notes)
            refusals += [_Refusal(found.policy.name, found.binding.name, failure) for failure in failures]
            refusals += _act(a, found.policy.name, found.binding, denials)
        for (policy, key), values in notes.items():
            a.annotations[f"{policy}/{key}"] = ", ".join(dict.fromkeys(values))
        if refusals:
            raise _refused(a, refusals[0])


def _act(a: Attributes, policy: str, binding: Binding, denials: list[Denial]) -> list[_Refusal]:
    """Warn and note; what is to be refused."""
    refusals = []
    for denial in denials:
        actions = binding.spec.get("validationActions") or ()
        for action in actions:
            if action == "Deny":
                refusals.append(_Refusal(policy, binding.name, denial))
            elif action == "Warn":
                a.warnings.append(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding.name}': "
                    f"{denial.message}"
                )
            elif action == "Audit":
                note: list[dict[str, Any]] = [
                    {
                        "message": denial.message,
                        "policy": policy,
                        "binding": binding.name,
                        "expressionIndex": denial.position,
                        "validationActions": list(actions),
                    }
                ]
                a.annotations["validation.policy.admission.k8s.io/validation_failure"] = json.dumps(
                    note, separators=(",", ":")
                )
    return refusals


async def _judge(
    found: Invocation[Parts], evaluation: Evaluation, notes: dict[tuple[str, str], list[str]]
) -> tuple[list[Denial], list[Denial]]:
    """(what the binding's actions are for, what is refused whatever they are); takes up what is to be noted."""
    policy, parts = found.policy, found.parts
    ignores = policy.ignores_failures

    def failed(message: str) -> list[Denial]:
        return [] if ignores else [Denial(message)]

    try:
        if not await conditions.hold(policy.conditions, evaluation, ignore_failures=ignores):
            return [], []
    except conditions.ConditionsFailed as error:
        return failed(str(error)), []
    try:
        results, left = await evaluation.run(parts.validations, BUDGET)
    except OutOfBudget as error:
        return failed(str(error)), []
    rules = policy.raw["spec"].get("validations") or ()
    denials: list[Denial] = []
    try:
        messages = await _messages(parts, evaluation, left)
    except OutOfBudget as error:
        messages = None
        problem = f"failed messageExpression: {error}"
    for position, (rule, result) in enumerate(zip(rules, results, strict=True)):
        if result.error:
            denials += [Denial(d.message, d.reason, position) for d in failed(result.error)]
        elif messages is None:
            denials += [Denial(d.message, d.reason, position) for d in failed(problem)]
        elif result.value is not True:
            text = messages[position] or _default_message(rule)
            denials.append(Denial(text, rule.get("reason") or "Invalid", position))
    return denials, await _annotate(found, evaluation, notes)


async def _messages(parts: Parts, evaluation: Evaluation, budget: int) -> list[str]:
    """What the messageExpressions say; "" for those that say nothing usable."""
    wanted = [message for message in parts.messages if message is not None]
    results, _ = await evaluation.run(wanted, budget, authorizer=False) if wanted else ([], 0)
    found = iter(results)
    return ["" if message is None else _usable(next(found)) for message in parts.messages]


def _usable(result: Result) -> str:
    if result.error or not isinstance(result.value, str):
        return ""
    text = result.value.strip()
    return "" if len(text.encode()) > _MAX_MESSAGE or "\n" in text else text


def _default_message(rule: Obj) -> str:
    message = (rule.get("message") or "").strip()
    return message or f"failed expression: {rule['expression'].strip()}"


async def _annotate(
    found: Invocation[Parts], evaluation: Evaluation, notes: dict[tuple[str, str], list[str]]
) -> list[Denial]:
    policy, ignores = found.policy, found.policy.ignores_failures
    try:
        results, _ = await evaluation.run(found.parts.annotations, BUDGET)
    except OutOfBudget as error:
        return [] if ignores else [Denial(str(error))]
    failures = []
    wanted = policy.raw["spec"].get("auditAnnotations") or ()
    for annotation, result in zip(wanted, results, strict=True):
        if result.error:
            if not ignores:
                failures.append(Denial(result.error))
        elif isinstance(result.value, str) and result.value.strip():
            notes.setdefault((policy.name, annotation["key"]), []).append(result.value.strip()[:_MAX_ANNOTATION])
    return failures


def _refused(a: Attributes, refusal: _Refusal) -> ApiError:
    text = refusal.text()
    error = forbidden(a, text)
    error.reason = refusal.denial.reason
    error.code = _CODES.get(refusal.denial.reason, 422)
    details = error.details or {}
    error.details = {**details, "causes": [*(details.get("causes") or ()), {"message": text}]}
    return error
