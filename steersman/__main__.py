"""Entry point of the command `steersman` and of `python -m steersman`."""

from __future__ import annotations

import sys
from pathlib import Path

_APP = Path(__file__).parent / "_app"


def main() -> int:
    """Run the command line; the result is the exit status."""
    if _APP.is_dir() and str(_APP) not in sys.path:
        sys.path.insert(0, str(_APP))
    from steersman.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
