from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantity
from apimachinery.quantity import Quantity, QuantityError, canonical, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("0Ki", "0"),
        ("1", "1"),
        ("1000m", "1"),
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("100Mi", "100Mi"),
        ("0.1", "100m"),
        ("0.5Gi", "512Mi"),
        ("0.5Ki", "512"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("100000000", "100M"),
        ("1e3", "1e3"),
        ("1e4", "10e3"),
        ("1E6", "1E6"),
        ("12e6", "12e6"),
        (".5", "500m"),
        ("5.", "5."),
        ("-1.5", "-1500m"),
        ("1.0000000001", "1000000001n"),
        ("0.1n", "1n"),
        ("9223372036854775808Ki", "9223372036854775807"),
        ("1.1Ki", "1126400m"),
        ("512Ki", "512Ki"),
        ("2048Mi", "2Gi"),
        ("1.500", "1.500"),
        ("+5", "+5"),
        ("8192Pi", "9223372036854775807"),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["", "aoeu", " 1", "1 ", "1.1.M", "1+1.0M", "-3.01e1.2", "1x", "١"])
def test_malformed(text: str) -> None:
    with pytest.raises(QuantityError, match=r"^quantities must match"):
        parse(text)


@pytest.mark.parametrize("text", ["1i", ".5i", "0.1mi", "-3.01e-", "1Kii", "1e1000000000"])
def test_bad_suffix(text: str) -> None:
    with pytest.raises(QuantityError, match=r"^unable to parse quantity's suffix"):
        parse(text)


def test_numbers_of_json() -> None:
    assert canonical(1) == "1"
    assert canonical(0.5) == "500m"
    assert canonical(1000.0) == "1k"
    with pytest.raises(QuantityError):
        parse(True)


def test_values_round_away_from_zero() -> None:
    assert parse("100m").value() == 1
    assert parse("-1100m").value() == -2
    assert parse("1.0001").milli_value() == 1001
    assert parse("1Gi").value() == 2**30
    assert parse("10E").milli_value() == 2**63 - 1
    assert parse("100u").round_up(quantity.MILLI) == parse("1m")


def test_arithmetic_keeps_the_left_family() -> None:
    assert str(parse("1Gi") + parse("1024")) == "1048577Ki"
    assert str(Quantity(0) + parse("2Gi")) == "2Gi"
    assert str(parse("1") - parse("1500m")) == "-500m"
    assert str(parse("250m") * 4) == "1"
    assert parse("1") == parse("1000m")
    assert hash(parse("1")) == hash(parse("1000m"))
    assert parse("1Mi") > parse("1M")
    assert float(parse("1500m")) == 1.5


_NUMBERS = st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{0,6})?", fullmatch=True)
_SUFFIXES: dict[str, Fraction | int] = {
    "": 1,
    "m": Fraction(1, 1000),
    "k": 1000,
    "M": 10**6,
    "Ki": 1024,
    "Mi": 2**20,
    "e2": 100,
}


@given(_NUMBERS, st.sampled_from(sorted(_SUFFIXES)))
def test_the_canonical_form_means_the_same(number: str, suffix: str) -> None:
    parsed = parse(number + suffix)
    again = parse(str(parsed))
    assert again == parsed
    exact = Fraction(number) * _SUFFIXES[suffix]
    if abs(exact) < 10**14 and (exact * 10**9).denominator == 1:
        assert Fraction(parsed.mantissa) * Fraction(10) ** parsed.scale == exact


def test_lists() -> None:
    total = quantity.parse_list({"cpu": "100m"})
    quantity.add_list(total, quantity.parse_list({"cpu": 1, "memory": "1Gi"}))
    assert quantity.draw_list(total) == {"cpu": "1100m", "memory": "1Gi"}
    quantity.max_list(total, {"cpu": parse("500m"), "memory": parse("2Gi")})
    assert quantity.draw_list(total) == {"cpu": "1100m", "memory": "2Gi"}
