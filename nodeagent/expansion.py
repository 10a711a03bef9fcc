"""$(NAME) references in commands, arguments and environment values. Pure.

The original's third_party/forked/golang/expansion: $(NAME) becomes the value where it is known and stays as it is where
not; $$ is a dollar sign that begins no reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, *known: Mapping[str, str]) -> str:
    """The text with its references replaced; earlier mappings win."""
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        for mapping in known:
            if match[2] in mapping:
                return mapping[match[2]]
        return match[0]

    return _REFERENCE.sub(replace, text)


def missing(text: str, known: Mapping[str, str]) -> list[str]:
    """The names that the text refers to and nobody knows."""
    return [match[2] for match in _REFERENCE.finditer(text) if match[1] != "$" and match[2] not in known]
