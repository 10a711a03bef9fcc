"""CEL expressions that select devices: what they see, what they may cost, and what is wrong with them.

    problem(expression)     ("Invalid" | "Forbidden" | "", text)

Called by the kinds of resource.k8s.io when selectors are written. Nothing is evaluated here: schedulers do that.
"""

from __future__ import annotations

from functools import lru_cache

from apimachinery.cel import macros, types
from apimachinery.cel.admission import Structs
from apimachinery.cel.env import Env
from apimachinery.cel.errors import CompileError, ProgramError
from apimachinery.cel.schemas import DeclaredSizes, DeclField, DeclType

_DEVICE = "kubernetes.DRADevice"
_MOST_COST = 1_000_000
_MOST_ENTRIES = 32
_S, _Q = types.STRING_TYPE, types.QUANTITY
_FIELDS = {
    "driver": _S,
    "attributes": types.map_of(_S, types.map_of(_S, types.DYN_TYPE)),
    "capacity": types.map_of(_S, types.map_of(_S, _Q)),
    "allowMultipleAllocations": types.BOOL_TYPE,
}


def _map(values: DeclType, keys: int) -> DeclType:
    """A map as large as drivers may publish. keys: how long its keys are at most."""
    made = DeclType(types.map_of(_S, values.type), max_elements=_MOST_ENTRIES)
    made.key = DeclType(_S, max_elements=keys)
    made.elem = values
    return made


def _sizes() -> DeclaredSizes:
    device = DeclType(types.struct(_DEVICE))
    parts = {
        "driver": DeclType(_S, max_elements=63),
        "attributes": _map(_map(DeclType(types.DYN_TYPE, max_elements=64), 32), 63),
        "capacity": _map(_map(DeclType(_Q), 32), 63),
        "allowMultipleAllocations": DeclType(types.BOOL_TYPE, max_elements=1),
    }
    device.fields = {name: DeclField(decl, name) for name, decl in parts.items()}
    return DeclaredSizes(device)


@lru_cache(1)
def _environment() -> tuple[Env, DeclaredSizes]:
    provider = types.Types(Structs({_DEVICE: _FIELDS}))
    return Env({"device": types.struct(_DEVICE)}, provider, known_macros=macros.WITH_BINDINGS), _sizes()


@lru_cache(256)
def problem(expression: str) -> tuple[str, str]:
    """The kind of error and its text; ("", "") when the expression is fine."""
    env, sizes = _environment()
    try:
        checked = env.compile(expression)
    except CompileError as error:
        return "Invalid", f"compilation failed: {error}"
    if checked.type not in (types.BOOL_TYPE, types.DYN_TYPE):
        return "Invalid", f"must evaluate to bool or the unknown type, not {checked.type}"
    try:
        checked.program()
    except ProgramError as error:
        return "Internal", f"program instantiation failed: {error}"
    if checked.cost(sizes).max > _MOST_COST:
        return "Forbidden", "too complex, exceeds cost limit"
    return "", ""
