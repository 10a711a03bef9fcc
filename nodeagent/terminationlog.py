"""A container's last words: its termination message file, or the end of its log where the policy says so. Blocking."""

from __future__ import annotations

import dataclasses
from collections import deque
from pathlib import Path

from nodeagent import crilog, runtime
from nodeagent.runtime import ContainerState

MAX_MESSAGE, MAX_LOG, MAX_LINES = 4096, 2048, 80


def with_message(container: ContainerState) -> ContainerState:
    """The ended container with its message, which replaces the runtime's own where there is one."""
    path = container.annotations.get(runtime.TERMINATION_PATH, "")
    text = ""
    host = next((host for inside, host in container.mounts if inside == path), "") if path else ""
    if host:
        try:
            with open(host, "rb") as file:
                text = file.read(MAX_MESSAGE).decode("utf-8", "replace")
        except OSError as error:
            text = f"Error on reading termination log {host}: {error.strerror}"
    policy = container.annotations.get(runtime.TERMINATION_POLICY)
    if not text and policy == "FallbackToLogsOnError" and container.exit_code != 0 and container.log_path:
        text = _tail(Path(container.log_path))
    return dataclasses.replace(container, message=text) if text else container


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64 * 1024))
            lines: deque[bytes] = deque(file.read().rstrip(b"\n").split(b"\n"), maxlen=MAX_LINES)
    except OSError:
        return ""
    text = b"".join(entry.text for entry in map(crilog.parse, lines) if entry is not None)
    return text[-MAX_LOG:].decode("utf-8", "replace")
