"""Lifecycle hooks: postStart and preStop by command, HTTP request or sleep. Texts as the original's."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from nodeagent import handlers, podspec
from nodeagent.runtime import Runtime, RuntimeFailure

Obj = dict[str, Any]

_HTTP_SECONDS = 30.0


class HookFailed(Exception):
    """The hook did not succeed; the text is the event's."""


async def run(
    runtime: Runtime, clock: Clock, pod: Obj, container: Obj, container_id: str, hook: Obj, pod_ip: str
) -> None:
    """Run one hook to its end. HookFailed."""
    name, where = container["name"], podspec.describe(pod)
    if hook.get("exec"):
        command = hook["exec"].get("command") or []
        try:
            done = await runtime.exec_sync(container_id, command, 0)
            problem = ""
            if done.exit_code:
                stderr = done.stderr.decode("utf-8", "replace")
                problem = f"command '{' '.join(command)}' exited with {done.exit_code}: {stderr}"
            output = (done.stdout + done.stderr).decode("utf-8", "replace")
        except RuntimeFailure as error:
            problem, output = str(error), ""
        if problem:
            listed = "[" + " ".join(command) + "]"
            text = f'Exec lifecycle hook ({listed}) for Container "{name}" in Pod "{where}" failed - error: {problem}'
            raise HookFailed(f'{text}, message: "{output}"')
    elif hook.get("httpGet"):
        action = hook["httpGet"]
        answer = await handlers.get_http(action, container, pod_ip, _HTTP_SECONDS)
        # Any answer at all will do: the hook is a message, not a question.
        if answer.result != handlers.SUCCESS and not answer.output.startswith(
            ("HTTP probe failed", "Probe terminated")
        ):
            path = action.get("path") or "/"
            text = (
                f'HTTP lifecycle hook ({path}) for Container "{name}" in Pod "{where}" failed - error: {answer.output}'
            )
            raise HookFailed(f'{text}, message: ""')
    elif hook.get("sleep"):
        await clock.sleep(float(hook["sleep"].get("seconds") or 0))
    else:
        raise HookFailed(f"cannot run handler: {hook}")
