"""Evaluates expressions as tests want them: one line per case."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.env import Env, Program
from apimachinery.cel.errors import CompileError, EvalError
from apimachinery.cel.types import DYN_TYPE

DYNAMIC = Env({name: DYN_TYPE for name in ("x", "y", "self")})


def program(text: str, env: Env = DYNAMIC, *, optimize: bool = True) -> Program:
    return env.compile(text).program(optimize=optimize)


def value(text: str, env: Env = DYNAMIC, **variables: Any) -> Any:
    """The value; it must not depend on whether constant parts are worked out in advance."""
    plain, _ = program(text, env, optimize=False).eval(variables)
    optimized, _ = program(text, env).eval(variables)
    assert repr(plain) == repr(optimized)
    return plain


def cost(text: str, env: Env = DYNAMIC, **variables: Any) -> int:
    return program(text, env).eval(variables)[1]


def failure(text: str, env: Env = DYNAMIC, **variables: Any) -> str:
    """What evaluation complains of."""
    try:
        found, _ = program(text, env, optimize=False).eval(variables)
    except EvalError as error:
        return str(error)
    raise AssertionError(f"{text} is {found!r}")


def complaint(text: str, env: Env = DYNAMIC) -> str:
    """What compiling complains of, whole."""
    try:
        env.compile(text)
    except CompileError as error:
        return str(error)
    raise AssertionError(f"{text} compiles")


def complaints(text: str, env: Env = DYNAMIC) -> list[str]:
    """The messages only."""
    lines = [line for line in complaint(text, env).splitlines() if line.startswith("ERROR: ")]
    return [line.split(": ", 2)[2] for line in lines]
