"""AlwaysAdmit: does nothing; kept because its name is still accepted."""

from __future__ import annotations

from apiserver.admission.base import Env, Operation


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return False
