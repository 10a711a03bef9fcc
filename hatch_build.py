"""Build hook: distils the published API definitions into openapi/data/ for wheels, sdists and development installs alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DefinitionsHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)
        try:
            from openapi import distil
        finally:
            sys.path.remove(self.root)
        distil.main(Path(self.root) / "openapi" / "data")
