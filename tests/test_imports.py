"""Who may import whom: the rooms of docs/architecture.md, read off every import statement in the tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "apimachinery": set(),
    "openapi": {"apimachinery"},
    "client": {"apimachinery"},
    "serving": {"apimachinery", "client"},
    "streaming": {"apimachinery"},
    "apiserver": {"apimachinery", "openapi", "client", "serving", "streaming"},
    "controllers": {"apimachinery", "client", "serving", "streaming"},
    "scheduler": {"apimachinery", "client", "serving", "streaming"},
    "nodeagent": {"apimachinery", "client", "serving", "streaming"},
}
ROOMS = {*ALLOWED, "steersman", "tests", "bench", "tools"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imports(path)
        if name in ROOMS and name != room and name not in ALLOWED[room]
    ]
    assert wrong == []


def test_relative_imports_are_not_used() -> None:
    found = [
        str(path.relative_to(ROOT))
        for room in ALLOWED
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert found == []


def test_only_steersman_reads_the_environment() -> None:
    """Configuration is handed down; a component never looks at os.environ by itself."""
    found = [
        str(path.relative_to(ROOT))
        for room in ALLOWED
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert found == []


def test_time_goes_through_the_clock() -> None:
    """No component reads the time or sleeps by itself; the clock's own file and the HTTP Date header do."""
    exempt = {"apimachinery/clock.py", "serving/reply.py"}
    found = []
    for room in ALLOWED:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if name in exempt:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                function = ast.unparse(node.func)
                yields = function == "asyncio.sleep" and ast.unparse(node.args[0]) == "0"
                if function in ("time.time", "time.monotonic", "time.sleep", "asyncio.sleep") and not yields:
                    found.append(f"{name}:{node.lineno} {function}")
    assert found == []
