"""Field paths and field errors, in the words of the original's validation.

Validation functions return lists of FieldError; apimachinery.errors.invalid() draws them into one Status.
A path is a plain string that has already its final form: "spec.containers[0].ports[1].name", `metadata.labels[a/b]`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Cause reasons (metav1.CauseType) and the words that begin an error's text (field.ErrorType.String()).
_WORDS = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "InternalError": "Internal error",
    "FieldValueTypeInvalid": "Invalid value",
}
_WITHOUT_VALUE = {"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"}


def child(path: str, *names: str) -> str:
    """The path of a named child; an empty path has no leading dot."""
    return ".".join([path, *names]) if path else ".".join(names)


def index(path: str, position: int) -> str:
    """The path of a list item by position."""
    return f"{path}[{position}]"


def key(path: str, name: str) -> str:
    """The path of a map entry by key."""
    return f"{path}[{name}]"


class Pointed(str):
    """A text to which Go has a pointer: as a bad value it is drawn as JSON, unescaped where %q would escape."""

    __slots__ = ()


def draw_value(value: Any) -> str:
    """A bad value as the original prints it: strings quoted, numbers and booleans plain, the rest as JSON."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Pointed):
        return go_quote(value)
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, int):
        return str(value)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_HTML) if any(char in text for char in "<>&\u2028\u2029") else text


def go_float(value: float) -> str:
    """The number as Go's %v prints a float64."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    exponent = int(f"{value:.17e}".partition("e")[2])
    # repr() has the fewest digits that tell the number from its neighbours, as Go's shortest form has.
    shown = repr(abs(value))
    sign = "-" if value < 0 else ""
    if -4 <= exponent < 6:
        return sign + shown.removesuffix(".0")
    digits = shown.partition("e")[0].replace(".", "").strip("0")
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def as_map(value: Any) -> Any:
    """A JSON value with the keys of its objects in the order in which Go writes a map."""
    if isinstance(value, dict):
        return {name: as_map(value[name]) for name in sorted(value)}
    return [as_map(item) for item in value] if isinstance(value, list) else value


# Go's encoder writes these so.
_HTML = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def go_quote(text: str) -> str:
    """The text as Go's strconv.Quote (%q) prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable() or char == " ":
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


class _Omitted:
    """The type of OMITTED."""


OMITTED = _Omitted()  # as a FieldError's value: the text shows none, although its kind of error would


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field.

    reason: the cause's reason (a key of the original's CauseType). field: the path. value: the offending value, drawn
    only for the reasons that show one. detail: the text after the value.
    """

    reason: str
    field: str
    value: Any
    detail: str

    def body(self) -> str:
        """The text of the cause: everything but the path."""
        words = _WORDS[self.reason]
        plain = self.reason in _WITHOUT_VALUE or self.value is OMITTED
        text = words if plain else f"{words}: {draw_value(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"

    def cause(self) -> dict[str, str]:
        """The error as an entry of Status.details.causes."""
        out = {"reason": self.reason, "message": self.body()}
        if self.field:
            out["field"] = self.field
        return out


def not_found(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueNotFound", path, value, detail)


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", path, "", detail)


def duplicate(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueDuplicate", path, value, detail)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, value, detail)


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", path, value, detail)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The supported values are listed in the order given; the original sorts sets, so pass them sorted where it does."""
    names = ", ".join(go_quote(name) for name in supported)
    return FieldError("FieldValueNotSupported", path, value, f"supported values: {names}" if names else "")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", path, "", detail)


def too_long(path: str, max_length: int) -> FieldError:
    """max_length: bytes; negative when the limit is not told."""
    detail = f"may not be more than {max_length} bytes" if max_length >= 0 else "value is too long"
    return FieldError("FieldValueTooLong", path, "", detail)


def too_many(path: str, actual: int, maximum: int) -> FieldError:
    detail = f"must have at most {maximum} item{'' if maximum == 1 else 's'}" if maximum >= 0 else "has too many items"
    return FieldError("FieldValueTooMany", path, actual, detail)


def internal(path: str, detail: str) -> FieldError:
    return FieldError("InternalError", path, "", detail)
