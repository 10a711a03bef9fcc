"""Whether one type can stand for another, and what type parameters are bound to on the way.

A substitution maps the names of type parameters to types. assignable() tries with a copy and keeps it on success, as the
published algorithm does; order matters to what compile errors say, so it is followed step by step.
"""

from __future__ import annotations

from apimachinery.cel.types import (
    DURATION,
    DYN,
    DYN_TYPE,
    ERROR,
    LIST,
    MAP,
    NULL,
    OPAQUE,
    PARAM,
    STRUCT,
    TIMESTAMP,
    TYPE,
    Type,
)

Substitution = dict[str, Type]
_WILD = frozenset({DYN, ERROR})
_NULLABLE = frozenset({OPAQUE, STRUCT, DURATION, TIMESTAMP, NULL})
_COMPOSED = frozenset({OPAQUE, LIST, MAP})


def substitute(bound: Substitution, t: Type, *, free_to_dyn: bool = False) -> Type:
    """The type with its parameters replaced; unbound ones by dyn if asked for."""
    if t.kind == PARAM:
        found = bound.get(t.name)
        if found is not None:
            return substitute(bound, found, free_to_dyn=free_to_dyn)
        return DYN_TYPE if free_to_dyn else t
    if not t.params:
        return t
    params = tuple(substitute(bound, p, free_to_dyn=free_to_dyn) for p in t.params)
    return t if params == t.params else Type(t.kind, t.name, params)


def assignable(bound: Substitution, source: Type, target: Type) -> Substitution | None:
    """The extended substitution under which the source fits the target, or None."""
    trial = dict(bound)
    return trial if _fits(trial, source, target) else None


def all_assignable(bound: Substitution, sources: list[Type], targets: list[Type]) -> Substitution | None:
    """The same for lists of types, position by position."""
    if len(sources) != len(targets):
        return None
    trial = dict(bound)
    return trial if all(_fits(trial, s, t) for s, t in zip(sources, targets, strict=True)) else None


def most_general(first: Type, second: Type) -> Type:
    """The less specific of two types that fit each other."""
    return first if _less_specific(first, second) else second


def _fits(bound: Substitution, source: Type, target: Type) -> bool:
    kind1, kind2 = source.kind, target.kind
    if kind2 == PARAM:
        valid, has = _binds(bound, source, target)
        if valid:
            return True
        if has:
            return False
    if kind1 == PARAM:
        return _binds(bound, target, source)[0]
    if kind1 in _WILD or kind2 in _WILD:
        return True
    if kind1 == NULL:
        return kind2 in _NULLABLE
    if kind2 == NULL:
        return kind1 in _NULLABLE
    if kind1 == TYPE:
        return kind2 == TYPE
    if kind1 in _COMPOSED:
        return (
            kind1 == kind2
            and source.name == target.name
            and len(source.params) == len(target.params)
            and all(_fits(bound, s, t) for s, t in zip(source.params, target.params, strict=True))
        )
    return source == target


def _binds(bound: Substitution, t: Type, parameter: Type) -> tuple[bool, bool]:
    """Whether the parameter can stand for the type, and whether it was bound before."""
    if t == parameter:
        return True, True
    old = bound.get(parameter.name)
    if old is not None:
        if t == old:
            return True, True
        if _fits(bound, t, old):
            new = most_general(t, old)
            if _free_of(bound, parameter, new):
                bound[parameter.name] = new
            return True, True
        return False, True
    if _free_of(bound, parameter, t):
        bound[parameter.name] = t
        return True, False
    return False, False


def _free_of(bound: Substitution, parameter: Type, within: Type) -> bool:
    """Whether the parameter does not occur in the type (the occurs check)."""
    if parameter == within:
        return False
    if within.kind == PARAM:
        found = bound.get(within.name)
        return found is None or _free_of(bound, parameter, found)
    return all(_free_of(bound, parameter, p) for p in within.params)


def _less_specific(first: Type, second: Type) -> bool:
    if first.kind in (DYN, PARAM):
        return True
    if second.kind in (DYN, PARAM) or first.kind != second.kind:
        return False
    if first.kind == TYPE:
        return True
    if first.kind in _COMPOSED:
        return (
            first.name == second.name
            and len(first.params) == len(second.params)
            and all(_less_specific(a, b) for a, b in zip(first.params, second.params, strict=True))
        )
    return first == second
