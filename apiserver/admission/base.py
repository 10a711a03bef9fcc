"""What an admission plugin is, and what it is told of a request.

    class Plugin:                         one file, one class named Plugin, listed in apiserver/admission/__init__.py ORDER
        def __init__(self, env: Env)
        def handles(self, operation, group, plural, subresource) -> bool      asked once per combination
        async def admit(self, a)          mutating half, may change a.obj; optional
        async def validate(self, a)       validating half; optional
        async def close(self)             end what it holds open; optional
A refusal is an ApiError, usually forbidden(a, text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from apimachinery import errors
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apiserver.authn.user import User
from apiserver.configscheme import ConfigError
from apiserver.registry.kind import Kind, NotifyingReader, Obj, Reader, Writer

if TYPE_CHECKING:
    from apiserver.admission import Config
    from apiserver.authz.base import Authorizer

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class Reinvocation:
    """Whether the mutating plugins run a second time, because a webhook changed what they saw.

    wanted: set by a plugin. again: this is the second round. memory: what a plugin keeps between the rounds.
    """

    wanted: bool = False
    again: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


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
    reinvocation: Reinvocation = field(default_factory=Reinvocation)


@dataclass(frozen=True, slots=True)
class Env:
    """What plugins are built with. config: the flags. configuration: what the configuration file has for the plugin."""

    reader: NotifyingReader
    writer: Writer
    authorizer: Authorizer
    clock: Clock
    config: Config
    configuration: bytes | None = None


class NotInitialized(ConfigError):
    """A configuration that can be read, and yet be of no use."""


class Plugin(Protocol):
    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool: ...


def forbidden(a: Attributes, text: str) -> ApiError:
    """403 that names the object, or the name it will be generated from."""
    meta = (a.obj or {}).get("metadata") or {}
    name = a.name or meta.get("name") or meta.get("generateName") or "Unknown"
    return errors.forbidden(a.group, a.plural, name, text)
