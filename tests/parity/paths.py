"""Places in JSON: `.spec.ports[0].name`, `.metadata.labels["a/b"]`, `.conditions[type=Ready]`; one language for all of a scenario.

read, put and drop take such a path; differences() reports where two values differ, in the same words; without() leaves
out what a pattern covers (`*` within one segment, `**` over any number).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_SEGMENT = re.compile(r'\.([^.\[\]]+)|\[("(?:[^"\\]|\\.)*"|[^\]]+)\]')
_PLAIN = re.compile(r"[\w${}<>-]+")

Key = str | int | tuple[str, str]


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


def parse(path: str) -> list[Key]:
    """The steps of a path: a member's name, an item's number, or (field, value) of the item that has it."""
    keys: list[Key] = []
    for name, bracket in _SEGMENT.findall(path):
        if name:
            keys.append(name)
        elif bracket[0] == '"':
            keys.append(json.loads(bracket))
        elif "=" in bracket:
            field, _, value = bracket.partition("=")
            keys.append((field, value))
        else:
            keys.append(int(bracket))
    return keys


def child(path: str, key: str | int) -> str:
    """The path of a member or item of what is at `path`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{json.dumps(key)}]"


def _enter(value: Any, key: Key) -> Any:
    if isinstance(key, tuple):
        field, wanted = key
        return next(item for item in value if isinstance(item, dict) and str(item.get(field)) == wanted)
    if isinstance(key, str) and not isinstance(value, dict):
        raise KeyError(key)
    return value[key]


def read(value: Any, path: str) -> Any:
    """What is there, or ABSENT."""
    try:
        for key in parse(path):
            value = _enter(value, key)
    except (KeyError, IndexError, TypeError, StopIteration):
        return ABSENT
    return value


def put(value: Any, path: str, new: Any) -> None:
    """Set what is there; one past the end of a list appends. KeyError when what holds it is not there."""
    *way, last = parse(path)
    for key in way:
        value = _enter(value, key)
    if isinstance(value, list) and last == len(value):
        value.append(new)
    else:
        value[last] = new


def drop(value: Any, path: str) -> None:
    """Take away what is there. KeyError when nothing is."""
    *way, last = parse(path)
    for key in way:
        value = _enter(value, key)
    del value[last]


def differences(want: Any, got: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, wanted, got) of each place where they differ; ABSENT stands for nothing. 1, 1.0 and true all differ."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in [*want, *(key for key in got if key not in want)]:
            yield from differences(want.get(key, ABSENT), got.get(key, ABSENT), child(path, key))
    elif isinstance(want, list) and isinstance(got, list):
        for i in range(max(len(want), len(got))):
            yield from differences(
                want[i] if i < len(want) else ABSENT, got[i] if i < len(got) else ABSENT, child(path, i)
            )
    elif want is not got and (type(want) is not type(got) or want != got):
        yield path, want, got


def without(value: Any, patterns: Sequence[str], path: str = "") -> Any:
    """A copy that lacks the places that a pattern covers."""
    covered = [_pattern(pattern) for pattern in patterns]
    return _without(value, covered, path) if covered else value


def _pattern(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", r"[^.\[\]]*")
    return re.compile(text + r"($|[.\[])")


def _without(value: Any, covered: Sequence[re.Pattern[str]], path: str) -> Any:
    if isinstance(value, dict):
        kept = ((key, item, child(path, key)) for key, item in value.items())
        return {key: _without(item, covered, at) for key, item, at in kept if not any(p.match(at) for p in covered)}
    if isinstance(value, list):
        items = ((item, child(path, i)) for i, item in enumerate(value))
        return [_without(item, covered, at) for item, at in items if not any(p.match(at) for p in covered)]
    return value
