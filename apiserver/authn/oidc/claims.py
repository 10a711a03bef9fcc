"""Claims of a verified token, decoded as Go would: null is the zero value of whatever is asked for.

A JSON document is a payload only if it is an object; numbers stay as they are written until somebody asks for a time or for
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = {dict: "object", list: "array", str: "string", bool: "bool"}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
Claims = dict[str, Any]


class WrongType(Exception):
    """A value that is not what was asked for; the text is Go's."""


class Unsourced(Exception):
    """A distributed claim whose source is not told; the text is the original's."""


def decode(payload: bytes) -> Claims:
    """WrongType for what is no JSON object."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WrongType(str(error)) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongType(f"json: cannot unmarshal {kind_of(value)} into Go value of type map[string]json.RawMessage")
    return value


def kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "number")


def text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongType(f"json: cannot unmarshal {kind_of(value)} into Go value of type string")
    return value


def truth(value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise WrongType(f"json: cannot unmarshal {kind_of(value)} into Go value of type bool")
    return value


def texts(value: Any) -> list[str]:
    """A list of strings, or one string."""
    if value is None:
        return []
    if isinstance(value, list) and all(item is None or isinstance(item, str) for item in value):
        return [item or "" for item in value]
    return [text(value)]


def claim_text(claims: Mapping[str, Any], name: str) -> str:
    """A claim that must be there and be text. WrongType."""
    if name not in claims:
        raise WrongType("claim not present")
    return text(claims[name])


_TEXTS = ("iss", "sub", "nonce", "at_hash")
_LARGEST = float(2**63)


@dataclass(frozen=True, slots=True)
class Registered:
    """The claims that every token has. expires, not_before: seconds since the epoch."""

    issuer: str
    audiences: list[str]
    expires: int | None
    not_before: int | None


def registered(claims: Mapping[str, Any]) -> Registered:
    """WrongType when one of them is of a wrong type."""
    for name in _TEXTS:
        value = claims.get(name)
        if value is not None and not isinstance(value, str):
            raise WrongType(
                f"json: cannot unmarshal {kind_of(value)} into Go struct field idToken.{name} of type string"
            )
    _time(claims, "iat")
    audiences = _audiences(claims.get("aud"))
    _check_sources(claims)
    return Registered(text(claims.get("iss")), audiences, _time(claims, "exp"), _time(claims, "nbf"))


def _audiences(value: Any) -> list[str]:
    if isinstance(value, list):
        for at, item in enumerate(value):
            if item is not None and not isinstance(item, str):
                raise WrongType(f"json: cannot unmarshal {kind_of(item)} into .{at} of type string")
        return [item or "" for item in value]
    if value is not None and not isinstance(value, str):
        raise WrongType(f"json: cannot unmarshal {kind_of(value)} into Go value of type []string")
    return [] if value is None else [value]


def _check_sources(claims: Mapping[str, Any]) -> None:
    """Claims that are elsewhere must be at a source that is told. WrongType for wrong types, Unsourced otherwise."""
    field = "json: cannot unmarshal {} into Go struct field idToken.{} of type {}"
    names, sources = claims.get("_claim_names"), claims.get("_claim_sources")
    for name, value, go_type in (
        ("_claim_names", names, "map[string]string"),
        ("_claim_sources", sources, "map[string]oidc.claimSource"),
    ):
        if value is not None and not isinstance(value, dict):
            raise WrongType(field.format(kind_of(value), name, go_type))
    for claim, source in (names or {}).items():
        if source is not None and not isinstance(source, str):
            raise WrongType(field.format(kind_of(source), f"_claim_names.{claim}", "string"))
    for source, told in (sources or {}).items():
        if told is not None and not isinstance(told, dict):
            raise WrongType(field.format(kind_of(told), f"_claim_sources.{source}", "oidc.claimSource"))
        for name in ("endpoint", "access_token"):
            value = (told or {}).get(name)
            if value is not None and not isinstance(value, str):
                where = f"_claim_sources.{source}.{name}"
                raise WrongType(field.format(kind_of(value), where, "string"))
    for source in (names or {}).values():
        if not source:
            raise Unsourced("oidc: failed to obtain source from claim name")
        if source not in (sources or {}):
            raise Unsourced("oidc: source does not exist")


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        told = f'string "{value}"' if isinstance(value, str) else kind_of(value)
        syntax = ": invalid syntax" if isinstance(value, str) else ""
        raise WrongType(f"json: cannot unmarshal {told} into Go value of type json.Number{syntax}")
    if not -_LARGEST < value < _LARGEST:
        raise WrongType(f'strconv.ParseFloat: parsing "{value}": value out of range')
    return int(value)
