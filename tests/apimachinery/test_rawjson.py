"""JSON as text."""

from __future__ import annotations

import pytest

from apimachinery import rawjson


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"data": {"a": 1} }', '{"a": 1}'),
        (' {"x":[{"data":0}],"data" : [1, 2]\n}', "[1, 2]"),
        ('{"data":1,"data":"two"}', '"two"'),
        ('{"x":"\\"data\\":1"}', None),
        ("{ }", None),
    ],
)
def test_a_member_is_found_as_it_was_written(text: str, found: str | None) -> None:
    assert rawjson.member(text, "data") == found


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        ('{ "a b" :\n[ 1.0 , "x  y" ] }', '{"a b":[1.0,"x  y"]}'),
        ('["<&>", "\\" <"]', '["\\u003c\\u0026\\u003e","\\" \\u003c"]'),
        ('"\u2028"', '"\\u2028"'),
    ],
)
def test_white_space_goes_and_html_is_escaped(text: str, compact: str) -> None:
    assert rawjson.compact(text) == compact
