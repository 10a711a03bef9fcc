"""ValidatingAdmissionWebhook: all webhooks that a request concerns are asked at once; the first refusal counts."""

from __future__ import annotations

import asyncio
import logging

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.webhooks import identities, review
from apiserver.admission.webhooks.caller import Caller, CallFailed
from apiserver.admission.webhooks.hooks import Hooks, Invocation
from apiserver.registry.conversion import running
from apiserver.validation import names

log = logging.getLogger(__name__)


class Plugin:
    def __init__(self, env: Env) -> None:
        self._hooks = Hooks(env, "validatingwebhookconfigurations")
        self._caller = Caller(env.reader, env.clock, identities.followed(env.configuration, env.clock))

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return self._hooks.handles(operation, group, plural, subresource)

    async def validate(self, a: Attributes) -> None:
        hooks = await self._hooks.current()
        if not hooks:
            return
        concerned = [found for hook in hooks if (found := await self._hooks.invocation(hook, a)) is not None]
        if not concerned:
            return
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(i, call, a), name=call.hook.name) for i, call in enumerate(concerned)]
        for task in asked:  # in the webhooks' order, so that answers do not depend on who was faster
            refusal = task.result()
            if refusal is not None:
                raise refusal

    async def _ask(self, position: int, invocation: Invocation, a: Attributes) -> ApiError | None:
        try:
            answer = await call(self._caller, invocation, a, mutating=False)
        except CallFailed as error:
            return failed(
                invocation, a, error, f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{position}"
            )
        except ApiError as error:
            return error
        return None if answer.allowed else review.denial(invocation.hook.name, answer.status)

    async def close(self) -> None:
        await self._caller.close()


async def call(caller: Caller, invocation: Invocation, a: Attributes, *, mutating: bool) -> review.Answer:
    """Ask one webhook. CallFailed when there is no usable answer; ApiError 400 for dry runs that it cannot take part in."""
    hook = invocation.hook
    if a.dry_run and hook.raw.get("sideEffects") not in ("None", "NoneOnDryRun"):
        raise errors.bad_request(f"admission webhook {go_quote(hook.name)} does not support dry run")
    sent = await running(a.kind, lambda: review.request(a, invocation))
    got = await caller.post(hook.raw.get("clientConfig") or {}, sent, hook.timeout)
    try:
        answer = review.read(sent, got, mutating=mutating)
    except review.BadAnswer as error:
        raise CallFailed(f"received invalid webhook response: {error}") from error
    a.warnings.extend(answer.warnings)
    for key, value in answer.annotations.items():
        named = f"{hook.name}/{key}"
        if named.count("/") == 1 and not names.qualified_name(named):
            a.annotations.setdefault(named, str(value))
    return answer


def failed(invocation: Invocation, a: Attributes, error: CallFailed, annotation: str) -> ApiError | None:
    """What a call without an answer means: 500, or nothing where the webhook says that it may fail."""
    hook = invocation.hook
    if hook.ignores_failures:
        log.warning("failed calling webhook, failing open %s: %s", hook.name, error)
        a.annotations.setdefault(annotation, hook.name)
        return None
    log.warning("failed calling webhook, failing closed %s: %s", hook.name, error)
    return errors.internal_error(f"failed calling webhook {go_quote(hook.name)}: {error}")
