"""What an admission plugin is, and what it is told of a request.

    class Plugin:                         one file, one class, listed in apiserver/admission/__init__.py ORDER
        name = "ServiceAccount"           as in --enable-admission-plugins
        async def admit(self, a)          mutating half, may change a.obj; optional
        async def validate(self, a)       validating half; optional
A refusal is an ApiError, usually errors.forbidden(a.group, a.plural, a.name, text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from apimachinery.clock import Clock
from apiserver.authn.user import User
from apiserver.registry.kind import Kind, Obj, Reader

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class Attributes:
    """One request as admission sees it.

    obj: the new object in `version` (None for DELETE; options for CONNECT). old: the stored one for UPDATE and DELETE.
    operation_options: CreateOptions/UpdateOptions/DeleteOptions/PatchOptions. request_kind/version/subresource are those
    of the request; `kind` may be None for virtual bodies (Binding, Eviction, Scale).
    """

    operation: Operation
    group: str
    version: str
    plural: str
    subresource: str
    namespace: str | None
    name: str
    kind: Kind | None
    obj: Obj | None
    old: Obj | None
    user: User
    clock: Clock
    reader: Reader
    dry_run: bool = False
    operation_options: Obj = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)


class MutatingPlugin(Protocol):
    name: str

    async def admit(self, a: Attributes) -> None: ...


class ValidatingPlugin(Protocol):
    name: str

    async def validate(self, a: Attributes) -> None: ...
