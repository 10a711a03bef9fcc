"""format.dns1123Label().validate(name): named formats that say what is wrong with a string."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from typing import ClassVar

from apimachinery import selectors
from apimachinery.cel import types
from apimachinery.cel.declarations import Overload
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library import urls
from apimachinery.cel.timevalues import Timestamp
from apimachinery.cel.values import NONE, Opaque, Optional

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"


class Format(Opaque):
    """regexp_size: the length of the pattern that its cost is computed with."""

    __slots__ = ("check", "name", "regexp_size")
    cel_type: ClassVar[types.Type] = types.FORMAT

    def __init__(self, name: str, check: Callable[[str], list[str]], regexp_size: int) -> None:
        self.name = name
        self.check = check
        self.regexp_size = regexp_size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _name(pattern: str, limit: int, text: str, prefix: bool) -> Callable[[str], list[str]]:
    """A check of names. prefix: of a generateName, which ends in '-' and is judged as if more followed."""
    compiled = re.compile(pattern)

    def check(name: str) -> list[str]:
        if prefix and len(name) > 1 and name.endswith("-"):
            name = name[:-2] + "a"
        out = []
        if len(name.encode()) > limit:
            out.append(f"must be no more than {limit} bytes")
        if not compiled.fullmatch(name):
            out.append(text)
        return out

    return check


_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    f"with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_DNS1035}')"
)


def _qualified(name: str) -> list[str]:
    return [text.removeprefix("a valid label key ") for text in selectors.label_key_errors(name)]


def _uri(text: str) -> list[str]:
    try:
        urls.parse(text)
    except EvalError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


def _refused(valid: Callable[[str], bool], text: str) -> Callable[[str], list[str]]:
    return lambda value: [] if valid(value) else [text]


_UUID = re.compile("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return bool(text)


def _date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _datetime(text: str) -> bool:
    try:
        return Timestamp.parse(text.upper().replace(" ", "T")) is not None
    except EvalError:
        return False


# Lengths of the patterns that the original estimates costs with.
_URL_SIZE, _BASE64_SIZE, _DATE_TIME_SIZE, _UUID_SIZE = 1103, 84, 71, 70
FORMATS = {
    "dns1123Label": Format("DNS1123Label", _name(_LABEL, 63, _LABEL_TEXT, False), 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", _name(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT, False), 60),
    "dns1035Label": Format("DNS1035Label", _name(_DNS1035, 63, _DNS1035_TEXT, False), 30),
    "qualifiedName": Format("QualifiedName", _qualified, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _name(_LABEL, 63, _LABEL_TEXT, True), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _name(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT, True), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _name(_DNS1035, 63, _DNS1035_TEXT, True), 30),
    "labelValue": Format("LabelValue", selectors.label_value_errors, 40),
    "uri": Format("URI", _uri, _URL_SIZE),
    "uuid": Format(
        "uuid", _refused(lambda t: _UUID.match(t) is not None, "does not match the UUID format"), _UUID_SIZE
    ),
    "byte": Format("byte", _refused(_base64, "invalid base64"), _BASE64_SIZE),
    "date": Format("date", _refused(_date, "invalid date"), _DATE_TIME_SIZE),
    "datetime": Format("datetime", _refused(_datetime, "invalid datetime"), _DATE_TIME_SIZE),
}


def _validate(format_: Format, text: str) -> Optional:
    problems = format_.check(text)
    return Optional(problems) if problems else NONE


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return Optional(found) if found is not None else NONE


OVERLOADS = [
    Overload("validate", "format-validate", "format.(string) optional(list(string))", _validate),
    Overload("format.named", "format-named", "(string) optional(format)", _named),
    *(Overload(f"format.{name}", f"format.{name}", "() format", lambda f=f: f) for name, f in FORMATS.items()),
]
