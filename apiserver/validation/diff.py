"""What differs between two objects, for messages that refuse a change without naming the field."""

from __future__ import annotations

import difflib
import json
from typing import Any


def diff(old: Any, new: Any) -> str:
    """Unified diff of the two as indented JSON, three lines of context, without a header. Keys are in their order; see
    gostruct for how API values are drawn."""
    before = json.dumps(old, indent=1, ensure_ascii=False).splitlines()
    after = json.dumps(new, indent=1, ensure_ascii=False).splitlines()
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return "\n".join(lines[2:]) + "\n" if lines else ""
