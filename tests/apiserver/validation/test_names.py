"""Syntax of names, in the original's words."""

from __future__ import annotations

import pytest

from apiserver.validation import names


@pytest.mark.parametrize("name", ["a", "a.b.c", "123", "a" * 253, "a-b.c-d"])
def test_good_subdomains(name: str) -> None:
    assert names.dns_subdomain(name) == []


@pytest.mark.parametrize("name", ["Abc", "a_b", "-a", "a.", "", "a/b", "café", "a\n"])
def test_bad_subdomains(name: str) -> None:
    (text,) = names.dns_subdomain(name)
    assert text == (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_long_names_and_prefixes() -> None:
    assert names.dns_subdomain("a" * 254) == ["must be no more than 253 characters"]
    assert names.dns_subdomain("abc-", True) == []
    assert names.dns_subdomain("abc-") != []
    assert names.dns_label("a.b") == ["must not contain dots"]
    assert names.dns1035_label("1a") != []


def test_qualified_names() -> None:
    assert names.qualified_name("example.com/Foo_1") == []
    assert names.qualified_name("") == [
        "name part must be non-empty",
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]
    assert names.qualified_name("k" * 64) == ["name part must be no more than 63 bytes"]
    assert names.qualified_name("/x")[0] == "prefix part must be non-empty"
    assert names.qualified_name("a" * 254 + "/x") == ["prefix part must be no more than 253 bytes"]
    assert names.qualified_name("a/b/c")[0].startswith("a valid label key must consist")


def test_label_values() -> None:
    assert names.label_value("") == names.label_value("v" * 63) == []
    assert names.label_value("v" * 64) == ["must be no more than 63 bytes"]
    assert names.label_value("b c")[0].startswith("a valid label must be an empty string")


def test_port_names() -> None:
    assert names.port_name("http") == []
    assert names.port_name("80") == ["must contain at least one letter (a-z)"]
    assert names.port_name("a--b-") == ["must not contain consecutive hyphens", "must not begin or end with a hyphen"]


def test_path_segments() -> None:
    assert names.path_segment("system:x") == []
    assert names.path_segment("..") == ["may not be '..'"]
    assert names.path_segment("a/b%c") == ["may not contain '/'", "may not contain '%'"]
