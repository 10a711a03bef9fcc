"""Makes the FieldManager of a version of a kind, or of one of its subresources; asked by server.py, once per endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import gvk
from apiserver.patch.managed import FieldManager
from apiserver.patch.owners import Managed
from apiserver.patch.resets import reset_fields
from apiserver.patch.typed import TypedError
from apiserver.registry.kind import Kind
from openapi import schemas
from openapi.explain import DecodeError
from openapi.schemas import TypeInfo

SCALE = "autoscaling/v1"


def of_kind(
    kind: Kind,
    version: str,
    subresource: str = "",
    *,
    type_of: Callable[[Kind, str], TypeInfo],
    custom: bool = False,
) -> FieldManager:
    """The field manager of writes through that version, to the object or to a subresource with the object's own type."""
    versions = {kind.api_version(name): name for name in kind.known_versions}

    def types(api_version: str) -> TypeInfo | None:
        name = versions.get(api_version)
        return type_of(kind, name) if name is not None else None

    def convert(obj: dict[str, Any], api_version: str) -> dict[str, Any]:
        source = gvk.split_api_version(obj.get("apiVersion", api_version))[1]
        target = versions[api_version]
        return obj if source == target else kind.convert(obj, source, target)

    return FieldManager(
        kind.api_version(version),
        kind.kind,
        types=types,
        convert=convert if len(versions) > 1 else None,
        subresource=subresource,
        reset=reset_fields(kind, subresource, custom=custom),
    )


class _CustomScale(FieldManager):
    """Of a custom resource's Scale: the original cannot make one out of what an apply comes to."""

    _UNCONVERTED = f"request to convert CR to an invalid group/version: {SCALE}"

    def _before_first_apply(self, live: dict[str, Any], now: str) -> Managed:
        where = f"live object (/; {SCALE}, Kind=Scale)"
        text = f"failed to create manager for existing fields: failed to convert {where} to proper version"
        raise TypedError(f"{text}: {self._UNCONVERTED}")

    def _restored(self, merged: dict[str, Any]) -> dict[str, Any]:
        raise DecodeError(self._UNCONVERTED)


def of_scale(*, custom: bool = False) -> FieldManager:
    """The field manager of writes to a scale subresource: on the Scale, with owners.to_scale() and from_scale() around it."""
    info = schemas.load().type(f"{SCALE}/Scale")
    return (_CustomScale if custom else FieldManager)(
        SCALE, "Scale", types=lambda api_version: info if api_version == SCALE else None, subresource="scale"
    )
