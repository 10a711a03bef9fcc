"""String and number formats that schemas of custom resources may name, checked as the original's strfmt package does."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

from openapi import scalars

_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"


def _regex(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(text) and (text.startswith("/") or bool(parts.scheme)) and " " not in text


_EMAIL = re.compile(r"[^@\s<>(),;:\\\"\[\]]+@[^@\s<>(),;:\\\"\[\]]+")
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?(?:[zZ]|[+-][0-9]{2}:[0-9]{2}))?"
)
_HOST_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?|[_a-zA-Z0-9-]{1,63})"


def _hostname(text: str) -> bool:
    return len(text) <= 255 and re.fullmatch(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?", text) is not None


def _ip(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text and text.rpartition("/")[2].isdigit()


def _byte(text: str) -> bool:
    try:
        b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError:
        return False
    return True


def _date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _date_time(text: str) -> bool:
    match = _DATE_TIME.fullmatch(text)
    if match is None or match[4] is None:
        return False
    return _date(text[:10]) and int(match[4]) < 24 and int(match[5]) < 60 and int(match[6]) < 60


_SCALA = re.compile(
    r"[+-]?\d+(?:\.\d+)?\s*(?:ns|nano|nanos|nanosecond|nanoseconds|us|µs|micro|micros|microsecond|microseconds|ms|milli|millis|"
    r"millisecond|milliseconds|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hour|hours|d|day|days|w|wk|week|weeks)"
)


def _duration(text: str) -> bool:
    try:
        scalars.parse_duration(text)
    except ValueError:
        return _SCALA.fullmatch(text) is not None
    return True


def _isbn(length: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        digits = re.sub(r"[\s-]+", "", text)
        if length == 10:
            if not re.fullmatch(r"[0-9]{9}X|[0-9]{10}", digits):
                return False
            total = sum((i + 1) * (10 if char == "X" else int(char)) for i, char in enumerate(digits))
            return total % 11 == 0
        if not re.fullmatch(r"[0-9]{13}", digits):
            return False
        return (10 - sum((1, 3)[i % 2] * int(char) for i, char in enumerate(digits[:12])) % 10) % 10 == int(digits[12])

    return check


def _credit_card(text: str) -> bool:
    digits = re.sub(r"\D+", "", text)
    if not re.fullmatch(
        r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
        r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11}",
        digits,
    ):
        return False
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
# By name without dashes. A format that is not here is ignored.
CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _regex(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": _hostname,
    "ipv4": _ip(4),
    "ipv6": _ip(6),
    "cidr": _cidr,
    "mac": _regex(r"(?:[0-9a-fA-F]{2}[:-]){5}(?:[0-9a-fA-F]{2})|(?:[0-9a-fA-F]{2}[:-]){7}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{4}\.){2,3}[0-9a-fA-F]{4}"),  # noqa: E501
    "uuid": _regex(_UUID % ("[0-9a-f]", "[0-9a-f]"), re.I),
    "uuid3": _regex(_UUID % ("3", "[0-9a-f]"), re.I),
    "uuid4": _regex(_UUID % ("4", "[89ab]"), re.I),
    "uuid5": _regex(_UUID % ("5", "[89ab]"), re.I),
    "isbn": lambda text: _isbn(10)(text) or _isbn(13)(text),
    "isbn10": _isbn(10),
    "isbn13": _isbn(13),
    "creditcard": _credit_card,
    "ssn": _regex(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _regex(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _regex(r"rgb\(\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*(?:,\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*){2}\)"),
    "byte": _byte,
    "password": lambda text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": lambda text: len(text) <= 63 and re.fullmatch(_NAME, text) is not None,
    "k8slongname": lambda text: len(text) <= 253 and re.fullmatch(rf"{_NAME}(?:\.{_NAME})*", text) is not None,
}  # fmt: skip


def known(format_: str, kind: str) -> bool:
    """Whether a schema's format means anything for values of that type."""
    if kind in ("", "string"):
        return format_.replace("-", "") in CHECKS
    return format_ in {"integer": ("int32", "int64"), "number": ("float", "double")}.get(kind, ())


def check(format_: str, text: str) -> bool:
    """Whether a string has the format; unknown formats have every string."""
    test = CHECKS.get(format_.replace("-", ""))
    return test is None or test(text)
