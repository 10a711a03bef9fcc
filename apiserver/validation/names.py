"""Syntax of names: DNS labels and subdomains, qualified names, label values, port names and their kin.

Kinds, metadata checks and custom resources call it. A check returns the texts of what is wrong, in the original's words
(apimachinery pkg/util/validation and pkg/api/validate/content); an empty list is a good name. `prefix` says that the
text is a generateName, to which something is going to be appended. No field paths here: callers know where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from apimachinery import field, memo
from apimachinery.field import FieldError

NameCheck = Callable[[str, bool], list[str]]

_LABEL_FMT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FMT = _LABEL_FMT + r"(\." + _LABEL_FMT + ")*"
_LABEL_UNDERSCORE_FMT = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE_FMT = _LABEL_UNDERSCORE_FMT + r"(\." + _LABEL_UNDERSCORE_FMT + ")*"
_DNS1035_FMT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD_FMT = r"\*\." + _SUBDOMAIN_FMT
_KEY_FMT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FMT = "(" + _KEY_FMT + ")?"
_C_IDENTIFIER_FMT = "[A-Za-z_][A-Za-z0-9_]*"
_PERCENT_FMT = "[0-9]+%"
_HEADER_FMT = "[-A-Za-z0-9]+"
_CONFIG_KEY_FMT = "[-._a-zA-Z0-9]+"
_HTTP_PATH_FMT = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_LABEL = re.compile(_LABEL_FMT)
# Possessive, where the texts show the original's plain patterns: a hundred times the memory for a name of a million labels.
_DOTTED = _LABEL_FMT + r"(?:\." + _LABEL_FMT + ")*+"
_SUBDOMAIN = re.compile(_DOTTED)
_SUBDOMAIN_UNDERSCORE = re.compile(_LABEL_UNDERSCORE_FMT + r"(?:\." + _LABEL_UNDERSCORE_FMT + ")*+")
_DNS1035 = re.compile(_DNS1035_FMT)
_WILDCARD = re.compile(r"\*\." + _DOTTED)
_KEY = re.compile(_KEY_FMT)
_VALUE = re.compile(_VALUE_FMT)
_C_IDENTIFIER = re.compile(_C_IDENTIFIER_FMT)
_PERCENT = re.compile(_PERCENT_FMT)
_HEADER = re.compile(_HEADER_FMT)
_CONFIG_KEY = re.compile(_CONFIG_KEY_FMT)
_PORT_CHARS = re.compile("[-a-z0-9]+")
_PORT_LETTER = re.compile("[a-z]")
_HTTP_PATH = re.compile(_HTTP_PATH_FMT)

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_UNDERSCORE_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_C_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', "
    "followed by a string of alphanumeric characters or '_'"
)
_RELAXED_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def regex_text(text: str, pattern: str, *examples: str) -> str:
    """How the original explains a pattern that did not match; the odd comma before "or" is its own."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def range_text(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _too_long(value: str, limit: int) -> bool:
    """Limits count bytes of UTF-8."""
    return len(value) > limit or (not value.isascii() and len(value.encode()) > limit)


def _mask(name: str) -> str:
    """A prefix may end in a dash, because something follows; the original looks at all but the last two characters."""
    return name[:-2] + "a" if len(name) > 1 and name[-1] == "-" else name


def dns_subdomain(name: str, prefix: bool = False) -> list[str]:
    """A lower-case RFC 1123 subdomain of at most 253 characters."""
    if prefix:
        name = _mask(name)
    if len(name) <= SUBDOMAIN_MAX and _SUBDOMAIN.fullmatch(name):
        return []
    texts = []
    if _too_long(name, SUBDOMAIN_MAX):
        texts.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _SUBDOMAIN.fullmatch(name):
        texts.append(regex_text(_SUBDOMAIN_TEXT, _SUBDOMAIN_FMT, "example.com"))
    return texts


def dns_subdomain_with_underscore(name: str) -> list[str]:
    """As dns_subdomain, with underscores, as DNS search paths may have."""
    texts = []
    if _too_long(name, SUBDOMAIN_MAX):
        texts.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _SUBDOMAIN_UNDERSCORE.fullmatch(name):
        texts.append(regex_text(_SUBDOMAIN_UNDERSCORE_TEXT, _SUBDOMAIN_UNDERSCORE_FMT, "example.com"))
    return texts


def dns_label(name: str, prefix: bool = False) -> list[str]:
    """A lower-case RFC 1123 label of at most 63 characters (namespaces, services from 1.34 on, claims of pods)."""
    if prefix:
        name = _mask(name)
    if len(name) <= LABEL_MAX and _LABEL.fullmatch(name):
        return []
    texts = []
    if _too_long(name, LABEL_MAX):
        texts.append(f"must be no more than {LABEL_MAX} characters")
    if not _LABEL.fullmatch(name):
        if _SUBDOMAIN.fullmatch(name):
            texts.append("must not contain dots")
        else:
            texts.append(regex_text(_LABEL_TEXT, _LABEL_FMT, "my-name", "123-abc"))
    return texts


def dns1035_label(name: str, prefix: bool = False) -> list[str]:
    """A label that begins with a letter (service names)."""
    if prefix:
        name = _mask(name)
    if len(name) <= LABEL_MAX and _DNS1035.fullmatch(name):
        return []
    texts = []
    if _too_long(name, LABEL_MAX):
        texts.append(f"must be no more than {LABEL_MAX} characters")
    if not _DNS1035.fullmatch(name):
        texts.append(regex_text(_DNS1035_TEXT, _DNS1035_FMT, "my-name", "abc-123"))
    return texts


def path_segment(name: str, prefix: bool = False) -> list[str]:
    """A name that is safe as one segment of a URL path (RBAC objects and others named freely)."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def wildcard_subdomain(name: str) -> list[str]:
    """ "*." and a subdomain (ingress hosts)."""
    texts = []
    if _too_long(name, SUBDOMAIN_MAX):
        texts.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _WILDCARD.fullmatch(name):
        texts.append(regex_text(_WILDCARD_TEXT, _WILDCARD_FMT, "*.example.com"))
    return texts


@memo.short(16384)
def _qualified_name(value: str) -> tuple[str, ...]:
    parts = value.split("/")
    if len(parts) > 2:
        text = regex_text(_KEY_TEXT, _KEY_FMT, "MyName", "my.name", "123-abc")
        return (f"a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    texts = []
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            texts.append("prefix part must be non-empty")
        else:
            texts += [f"prefix part {text.replace('characters', 'bytes') if text.startswith('must') else text}"
                      for text in dns_subdomain(parts[0])]  # fmt: skip
    if not name:
        texts.append("name part must be non-empty")
    elif _too_long(name, LABEL_MAX):
        texts.append(f"name part must be no more than {LABEL_MAX} bytes")
    if not _KEY.fullmatch(name):
        texts.append("name part " + regex_text(_KEY_TEXT, _KEY_FMT, "MyName", "my.name", "123-abc"))
    return tuple(texts)


def qualified_name(value: str) -> list[str]:
    """A name with an optional DNS prefix: label and annotation keys, finalizers, resource names."""
    texts = _qualified_name(value)
    return list(texts) if texts else []


@memo.short(16384)
def _label_value(value: str) -> tuple[str, ...]:
    texts = []
    if _too_long(value, LABEL_MAX):
        texts.append(f"must be no more than {LABEL_MAX} bytes")
    if not _VALUE.fullmatch(value):
        texts.append(regex_text(_VALUE_TEXT, _VALUE_FMT, "MyValue", "my_value", "12345"))
    return tuple(texts)


def label_value(value: str) -> list[str]:
    texts = _label_value(value)
    return list(texts) if texts else []


def c_identifier(value: str) -> list[str]:
    if _C_IDENTIFIER.fullmatch(value):
        return []
    return [regex_text(_C_IDENTIFIER_TEXT, _C_IDENTIFIER_FMT, "my_name", "MY_NAME", "MyName")]


def port_number(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [range_text(1, 65535)]


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [range_text(low, high)]


def user_or_group_id(value: int) -> list[str]:
    """A uid or gid as the API allows them: 0 to 2^31-1."""
    return in_range(value, 0, 2**31 - 1)


def port_name(port: str) -> list[str]:
    """An IANA service name: 15 characters, at least one letter, no doubled or outer hyphens."""
    texts = []
    if _too_long(port, 15):
        texts.append("must be no more than 15 characters")
    if not _PORT_CHARS.fullmatch(port):
        texts.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _PORT_LETTER.search(port):
        texts.append("must contain at least one letter (a-z)")
    if "--" in port:
        texts.append("must not contain consecutive hyphens")
    if port and "-" in (port[0], port[-1]):
        texts.append("must not begin or end with a hyphen")
    return texts


def percent(value: str) -> list[str]:
    if _PERCENT.fullmatch(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_text(text, _PERCENT_FMT, "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    if _HEADER.fullmatch(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_text(text, _HEADER_FMT, "X-Header-Name")]


def _dot_prefix(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def relaxed_env_var_name(value: str) -> list[str]:
    """Any printable ASCII but "=" (what pods may use by default)."""
    texts = [] if value else ["environment variable name must be non-empty"]
    if not value.isascii() or not value.isprintable() or "=" in value:
        texts.append(_RELAXED_ENV_TEXT)
    return texts


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: a file name."""
    if len(value) <= SUBDOMAIN_MAX and not value.startswith(".") and _CONFIG_KEY.fullmatch(value):
        return []
    texts = []
    if _too_long(value, SUBDOMAIN_MAX):
        texts.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _CONFIG_KEY.fullmatch(value):
        texts.append(regex_text(_CONFIG_KEY_TEXT, _CONFIG_KEY_FMT, "key.name", "KEY_NAME", "key-name"))
    return texts + _dot_prefix(value)


def http_path_text(path: str) -> list[str]:
    """The path part of a domain-prefixed path ("acme.io/foo")."""
    return [] if _HTTP_PATH.fullmatch(path) else [regex_text("Invalid path", _HTTP_PATH_FMT)]


def domain_prefixed_path(value: str, path: str) -> list[FieldError]:
    """A text like "acme.io/foo"; unlike the others this one knows its field, because its parts are reported apart."""
    if not value:
        return [field.required(path)]
    host, slash, rest = value.partition("/")
    if not slash or not host or not rest:
        return [field.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [field.invalid(path, host, text) for text in dns_subdomain(host)]
    return errors + [field.invalid(path, rest, text) for text in http_path_text(rest)]


def fully_qualified_domain_name(value: str, path: str) -> list[FieldError]:
    """At least two labels, a trailing dot allowed; texts of one part come joined."""
    if not value:
        return [field.required(path)]
    name = value.removesuffix(".")
    if texts := dns_subdomain(name):
        return [field.invalid(path, name, ",".join(texts))]
    labels = name.split(".")
    if len(labels) < 2:
        return [field.invalid(path, name, "should be a domain with at least two segments separated by dots")]
    return [field.invalid(path, label, ",".join(texts)) for label in labels if (texts := dns_label(label))]
