import pytest

from apimachinery import selectors
from apimachinery.selectors import SelectorError, from_map, from_object, parse_fields, parse_labels


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("a notin (b,c)", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a,!b,c in (d)", {"a": "1", "c": "d"}, True),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "x"}, False),
        ("a<5", {}, False),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a in ()", {"a": ""}, True),
        ("a in (,b)", {"a": ""}, True),
        ("in in (notin)", {"in": "notin"}, True),
        (" example.com/x = y , z ", {"example.com/x": "y", "z": ""}, True),
    ],
)
def test_labels_match(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_labels(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b,a", "a,b"),
        ("x in (c,a,b)", "x in (a,b,c)"),
        ("x==y", "x==y"),
        ("!x , y != z", "!x,y!=z"),
        ("x in (,a)", "x in (,a)"),
        ("x>01", "x>01"),
    ],
)
def test_canonical_strings(text: str, canonical: str) -> None:
    assert str(parse_labels(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
    ],
)
def test_label_parse_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_labels(text)
    assert str(caught.value) == message


def test_bad_key_and_value_are_told_in_full() -> None:
    with pytest.raises(
        SelectorError, match=r'^unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'
    ):
        parse_labels("-a=b")
    with pytest.raises(
        SelectorError, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "-b": a valid label'
    ):
        parse_labels("a in (-b)")


def test_label_selector_objects() -> None:
    assert not from_object(None).matches({"a": "b"})
    assert from_object({}).matches(None)
    selector = from_object(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]}
    )
    assert selector.matches({"a": "b", "c": "e"})
    assert not selector.matches({"a": "b", "c": "d"})
    assert str(selector) == "a=b,c notin (d)"
    with pytest.raises(SelectorError, match='"Foo" is not a valid label selector operator'):
        from_object({"matchExpressions": [{"key": "a", "operator": "Foo"}]})


def test_exact_and_maps() -> None:
    assert parse_labels("a in (b),c").exact("a") == "b"
    assert parse_labels("a in (b,c)").exact("a") is None
    assert from_map({"b": "2", "a": "1"}).matches({"a": "1", "b": "2", "c": "3"})
    assert str(from_map({"b": "2", "a": "1"})) == "a=1,b=2"


def test_fields() -> None:
    selector = parse_fields("spec.nodeName=n1,status.phase!=Running")
    assert selector.matches({"spec.nodeName": "n1"})
    assert not selector.matches({"spec.nodeName": "n1", "status.phase": "Running"})
    assert selector.exact("spec.nodeName") == "n1"
    assert parse_fields(r"a=b\,c\=d").terms[0].value == "b,c=d"
    assert str(parse_fields(r"a==b\,c")) == r"a=b\,c"
    assert parse_fields("").empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_field_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields(text)
    assert str(caught.value) == message


def test_label_syntax() -> None:
    assert selectors.label_key_errors("example.com/name") == []
    assert selectors.label_key_errors("a/b/c")[0].startswith("a valid label key must consist of")
    assert selectors.label_key_errors("/x") == ["prefix part must be non-empty"]
    assert selectors.label_value_errors("x" * 64) == ["must be no more than 63 bytes"]
