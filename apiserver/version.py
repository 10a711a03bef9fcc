"""Which Kubernetes this is: /version, and what it says of itself in other places."""

from __future__ import annotations

import platform
import sys
from typing import Any

MAJOR, MINOR, PATCH = "1", "36", "2"
GIT_VERSION = f"v{MAJOR}.{MINOR}.{PATCH}+steersman"


def document() -> dict[str, Any]:
    """version.Info, in the original's key order."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{sys.platform}/{machine}",
    }
