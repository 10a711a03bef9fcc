"""String and number formats that schemas of custom resources may name, checked as the original's strfmt package does."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from datetime import date

from openapi import scalars

_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"


def _regex(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _uri(text: str) -> bool:
    from apimachinery.cel.library import urls

    return urls.is_url(text)


_ATOM_CHAR = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-"
_ATOM = f"[{_ATOM_CHAR}]+"
_DOTTED = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e\x80-\U0010ffff])*"'
_ADDRESS = rf"(?:{_DOTTED}|{_QUOTED})@(?:{_DOTTED}|\[[^\[\]\\\s]*\])"
_EMAIL = re.compile(rf"(?:{_ADDRESS}|(?:[.\s{_ATOM_CHAR}]|{_QUOTED})*<\s*{_ADDRESS}\s*>)\s*(?:\([^()]*\))?")


def _email(text: str) -> bool:
    """An address, with a name before it and a comment behind it or without. The text between brackets is an IP address."""
    if _EMAIL.fullmatch(text.strip()) is None:
        return False
    literal = re.search(r"@\[([^\[\]]*)\]", text)
    return literal is None or _address(literal[1].removeprefix("IPv6:")) is not None


_HOSTNAME = re.compile(r"[lds](?:-?[lds]{0,62})?|(?:[lds](?:[lds-]{0,61}[lds])?\.)+l{2,63}")


def _hostname(text: str) -> bool:
    drawn = "".join(map(_kind_of_char, text))
    if _HOSTNAME.fullmatch(drawn) is None or len(text.encode()) > 255:
        return False
    return all(len(label.encode()) <= 63 for label in text.split("."))


def _kind_of_char(char: str) -> str:
    """l: a letter, d: a digit, s: a symbol; dots and dashes stay."""
    if char in "0123456789":
        return "d"
    if char in ".-":
        return char
    return "l" if char.isalpha() else "s" if unicodedata.category(char).startswith("S") else "x"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without a zone; numbers may have leading zeros."""
    try:
        found = ipaddress.ip_address(
            re.sub(r"(?<![0-9a-fA-F:])0+(?=[0-9]+(?:\.|$))", "", text) if "." in text else text
        )
    except ValueError:
        return None
    return None if "%" in text else found


def _ipv4(text: str) -> bool:
    return "." in text and _address(text) is not None


def _ipv6(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return ":" in text and "%" not in text


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    found = _address(address)
    return (
        found is not None
        and bool(slash)
        and re.fullmatch("[0-9]{1,5}", length) is not None
        and int(length) <= found.max_prefixlen
    )


def _date(text: str) -> bool:
    """A day as of year 0; that has the calendar of year 400."""
    try:
        date.fromisoformat("0400" + text[4:] if text.startswith("0000") else text)
    except ValueError:
        return False
    return len(text) == 10


_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[^\n][0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})")


def _date_time(text: str) -> bool:
    parts = text.lower().split("t")
    if len(parts) < 2 or not _date(parts[0]):
        return False
    match = _TIME.fullmatch(parts[1])
    return match is not None and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


_UNITS = ("ns", "us", "µs", "ms", "s", "m", "min", "h", "hr", "d", "w", "wk")
_UNIT_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_PART = re.compile(r"(?<![0-9])[0-9]+\s*([A-Za-zµ]+)")


def _duration(text: str) -> bool:
    """As Go reads durations, or any text with a number of some unit in it."""
    try:
        scalars.parse_duration(text)
    except ValueError:
        units = [unit.lower() for unit in _PART.findall(text)]
        return any(unit in _UNITS or unit.startswith(_UNIT_PREFIXES) for unit in units)
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


_MAC = re.compile(
    r"[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1)*[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{4}\.)+[0-9a-fA-F]{4}|[0-9a-fA-F]+"
)


def _mac(text: str) -> bool:
    """6, 8 or 20 bytes by two digits, by four with dots, or without anything between."""
    return _MAC.fullmatch(text) is not None and len(re.sub("[:.-]", "", text)) in (12, 16, 40)


_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
# By name without dashes. A format that is not here is ignored.
CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _regex(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _regex(_UUID % ("[0-9a-f]", "[0-9a-f]"), re.I),
    "uuid3": _regex(_UUID % ("3", "[0-9a-f]"), re.I),
    "uuid4": _regex(_UUID % ("4", "[89ab]"), re.I),
    "uuid5": _regex(_UUID % ("5", "[89ab]"), re.I),
    "isbn": lambda text: _isbn(10)(text) or _isbn(13)(text),
    "isbn10": _isbn(10),
    "isbn13": _isbn(13),
    "creditcard": _credit_card,
    "ssn": _regex(r"[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}"),
    "hexcolor": _regex(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _regex(r"rgb\(\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*(?:,\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*){2}\)"),
    "byte": _regex(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
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
