"""How start-up hooks make sure of an object: create it when it is missing, bring some of its fields up to date when not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apiserver.registry.kind import Obj, Reader, Writer
from apiserver.registry.registry import SERVER_MANAGER

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Access:
    """What hooks read and write through."""

    reader: Reader
    writer: Writer
    clock: Clock


async def ensure(
    access: Access,
    group: str,
    plural: str,
    wanted: Obj,
    change: Callable[[Obj], bool] | None = None,
    *,
    manager: str = SERVER_MANAGER,
) -> None:
    """change(existing) alters the object and says whether it did. ApiError when it cannot be made so."""
    meta = wanted["metadata"]
    for attempt in range(_ATTEMPTS):
        existing = await access.reader.get(group, plural, meta.get("namespace"), meta["name"])
        try:
            if existing is None:
                await access.writer.create(group, plural, wanted, manager=manager)
            elif change is not None and change(existing):
                await access.writer.update(group, plural, existing, manager=manager)
            return
        except ApiError as error:
            if attempt == _ATTEMPTS - 1 or not errors.is_reason(error, "AlreadyExists", "Conflict", "NotFound"):
                raise
