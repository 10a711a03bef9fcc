"""Laws of what clients write as text: quantities, selectors, request targets, continue tokens."""

from __future__ import annotations

import base64
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantity, selectors
from apimachinery.errors import ApiError
from apimachinery.quantity import Quantity, QuantityError
from apimachinery.selectors import SelectorError
from apiserver import requestinfo
from apiserver.handlers import list as lists
from openapi import codec

# -- quantities

SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
written = st.builds(
    lambda sign, digits, fraction, suffix: f"{sign}{digits}{fraction}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**9).map(str),
    st.sampled_from(["", ".5", ".25", ".125"]),
    st.sampled_from([*SUFFIXES, "e3", "E-3"]),
)
whole = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.integers(-(10**6), 10**6),
    st.sampled_from(["", "Ki", "Mi", "Gi", "Ti"]),
)


def value(text: str) -> Fraction:
    """What a quantity means, by another way."""
    for suffix, power in BINARY.items():
        if text.endswith(suffix):
            return Fraction(text[:-2]) * Fraction(1024**power)
    if text[-1] in SUFFIXES:
        power = SUFFIXES[text[-1]]
        return Fraction(text[:-1]) * (Fraction(10**power) if power >= 0 else Fraction(1, 10**-power))
    return Fraction(Decimal(text))


@given(written | whole)
def test_the_canonical_form_means_the_same_and_stays(text: str) -> None:
    drawn = quantity.canonical(text)
    assert quantity.canonical(drawn) == drawn
    exact = value(text)
    if (exact * 10**9).denominator == 1:
        assert value(drawn) == exact
    assert abs(value(drawn)) >= abs(exact)  # rounded away from zero


@given(whole, whole, whole)
def test_quantities_add_up(left: str, middle: str, right: str) -> None:
    a, b, c = (quantity.parse(text) for text in (left, middle, right))
    assert value(str(a + b)) == value(left) + value(middle)
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a < b) == (value(left) < value(middle))
    assert quantity.total([a, b, c]) == a + b + c


@given(st.text(max_size=12) | st.text("0123456789.eEnumkKMGTPi+-", max_size=12))
def test_any_text_is_a_quantity_or_none(text: str) -> None:
    try:
        assert isinstance(quantity.parse(text), Quantity)
    except QuantityError:
        pass


# -- selectors

label_keys = st.sampled_from(["a", "b", "c.d/e", "x-1"])
label_values = st.sampled_from(["", "1", "2", "x", "-"]).filter(lambda text: text != "-")
terms = st.one_of(
    label_keys,
    label_keys.map(lambda key: "!" + key),
    st.builds(lambda k, op, v: f"{k}{op}{v}", label_keys, st.sampled_from(["=", "==", "!="]), label_values),
    st.builds(
        lambda k, op, v: f"{k} {op} ({','.join(v)})",
        label_keys,
        st.sampled_from(["in", "notin"]),
        st.lists(label_values, min_size=1, max_size=3),
    ),
    st.builds(
        lambda k, op, v: f"{k}{op}{v}",
        label_keys,
        st.sampled_from(["<", ">"]),
        st.integers(-3, 3).filter(lambda n: n >= 0),
    ),
)
labels = st.dictionaries(label_keys, label_values, max_size=4)


@given(st.lists(terms, min_size=1, max_size=4).map(",".join), labels)
def test_a_selector_that_is_written_again_selects_the_same(text: str, given_labels: dict[str, str]) -> None:
    parsed = selectors.parse_labels(text)
    again = selectors.parse_labels(str(parsed))
    assert str(again) == str(parsed)
    assert again.matches(given_labels) == parsed.matches(given_labels)


@given(labels, labels)
def test_a_selector_of_labels_selects_what_has_them(wanted: dict[str, str], given_labels: dict[str, str]) -> None:
    selector = selectors.from_object({"matchLabels": wanted})
    assert selector.matches(given_labels) == (wanted.items() <= given_labels.items())
    assert selector.matches(given_labels) == selectors.from_map(wanted).matches(given_labels)


@given(st.text("ab!=,()<> in\\otu\x00é\"'", max_size=20))
def test_any_text_is_a_selector_or_none(text: str) -> None:
    for parse in (selectors.parse_labels, selectors.parse_fields):
        try:
            parsed = parse(text)
        except SelectorError:
            continue
        assert str(parse(str(parsed))) == str(parsed)


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=5).filter(lambda t: not set(t) & set("=!,\\")),
            st.booleans(),
            st.text(max_size=6),
        ),
        max_size=3,
    )
)
def test_field_selectors_take_any_value(wanted: list[tuple[str, bool, str]]) -> None:
    text = ",".join(
        f"{name}{'=' if equal else '!='}{selectors.escape_field_value(value)}" for name, equal, value in wanted
    )
    parsed = selectors.parse_fields(text)
    assert sorted((term.field, term.equal, term.value) for term in parsed.terms) == sorted(wanted)


# -- targets

segments = st.sampled_from(
    [
        "api",
        "apis",
        "v1",
        "apps",
        "namespaces",
        "default",
        "pods",
        "x",
        "status",
        "watch",
        "proxy",
        "",
        ".",
        "..",
        "%2f",
        "%2e",
        "a%2Fb",
        "%",
        "é",
    ]
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO")


@given(st.sampled_from(METHODS), st.lists(segments, max_size=9).map(lambda parts: "/" + "/".join(parts)))
def test_what_is_authorised_is_what_is_served(method: str, path: str) -> None:
    info = requestinfo.parse(method, path, {})
    again = requestinfo.parse(method, path, {})
    assert info == again
    if not info.is_resource or info.bad:
        return
    # The segments that routing goes by are those that authorisation saw.
    assert info.parts[0] == info.resource
    assert info.name == (info.parts[1] if len(info.parts) > 1 else info.name)
    assert info.subresource == (info.parts[2] if len(info.parts) > 2 and not info.proxy_prefix else "")
    assert not {"", ".", ".."} & set(info.parts[:3])  # what follows is the proxied server's
    assert not any("/" in part for part in info.parts[:3])


@given(st.text(max_size=60))
def test_any_target_is_split_and_parsed(target: str) -> None:
    path, query = requestinfo.split_target(target)
    assert "?" not in path
    requestinfo.parse("GET", path, requestinfo.parse_query(query))


# -- continue tokens

key = st.text("abc-.", min_size=1, max_size=8).filter(lambda text: text not in (".", ".."))


@given(key, st.sampled_from(["", "ns"]), st.integers(1, 2**62))
def test_a_continue_token_says_where_to_go_on(name: str, namespace: str, revision: int) -> None:
    after = f"{namespace}/{name}" if namespace else name
    start, found = lists._decode_continue(lists.encode_continue(after, namespace, revision))
    assert (start.removesuffix("\0"), found) == (name, revision)


@given(
    st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(ApiError) as told:
        lists._decode_continue(token)
    assert told.value.code == 400


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_body_or_none(raw: bytes) -> None:

    for media_type in ("application/json", "application/yaml", codec.PROTOBUF):
        parsed: Any = None
        try:
            parsed = codec.parse(raw, media_type)
        except codec.ParseError:
            continue
        assert codec.encoded(parsed.obj) is not None
