"""Column definitions of Tables as clients see them; descriptions that a kind only points at come from its schema."""

from __future__ import annotations

from typing import Any

from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Column, Obj


class ColumnDefinitions:
    """Made once per kind and version."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, str], list[Obj]] = {}

    def of(self, scope: Scope) -> list[Obj]:
        key = (scope.kind, scope.version)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = [_definition(column, scope) for column in scope.kind.columns]
        return made


def _definition(column: Column, scope: Scope) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
