"""Bodies become objects as the original's decoders make them."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from openapi import codec, jsontext, schemas
from openapi.codec import DecodeError, ParseError


def decode(kind: str, obj: Any) -> tuple[Any, list[str]]:
    return schemas.load().type(kind).decode(obj)


def test_writes_what_go_always_writes_and_leaves_out_what_it_never_does() -> None:
    obj, problems = decode(
        "apps/v1/Deployment",
        {
            "metadata": {"name": "x", "creationTimestamp": None, "labels": {}},
            "spec": {
                "replicas": 0,
                "paused": False,
                "selector": {"matchLabels": {}},
                "template": {"spec": {"containers": [{"name": "c", "image": ""}], "nodeSelector": None}},
            },
        },
    )
    assert problems == []
    assert obj == {
        "metadata": {"name": "x"},
        "spec": {
            "replicas": 0,
            "selector": {},
            "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}},
        },
        "status": {},
    }


def test_canonical_scalars() -> None:
    obj, _ = decode(
        "v1/Pod",
        {
            "metadata": {"name": "p", "creationTimestamp": "2001-02-03T06:05:06+02:00"},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1000m", "memory": 1024}}}]},
        },
    )
    assert obj["metadata"]["creationTimestamp"] == "2001-02-03T04:05:06Z"
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "1024"}


def test_null_for_what_is_always_written() -> None:
    role, _ = decode("rbac.authorization.k8s.io/v1/Role", {})
    assert role == {"metadata": {}, "rules": None}
    role, _ = decode("rbac.authorization.k8s.io/v1/Role", {"rules": []})
    assert role == {"metadata": {}, "rules": []}  # until it is stored: emptied.settler
    config, _ = decode("v1/ConfigMap", {"data": {"a": None}})
    assert config["data"] == {"a": ""}


def test_an_empty_list_of_managed_fields_is_kept_as_the_wish_to_clear_them() -> None:
    assert decode("v1/ConfigMap", {"metadata": {"managedFields": []}})[0]["metadata"] == {"managedFields": []}


@pytest.mark.parametrize(
    ("kind", "obj", "text"),
    [
        ("v1/ConfigMap", {"data": {"a": 1}}, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("v1/ConfigMap", {"data": "x"}, "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),  # noqa: E501
        (
            "apps/v1/Deployment",
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps/v1/Deployment",
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "v1/Pod",
            {"spec": {"containers": [{"name": 1}]}},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        ("v1/Pod", {"spec": {"containers": {}}}, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),  # noqa: E501
        ("v1/Pod", [], "json: cannot unmarshal array into Go value of type v1.Pod"),
        ("v1/Secret", {"data": {"a": "%"}}, "illegal base64 data at input byte 0"),
        (
            "v1/Pod",
            {"metadata": {"creationTimestamp": "x"}},
            'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
        ),
        (
            "coordination.k8s.io/v1/Lease",
            {"spec": {"renewTime": "2001-02-03T04:05:06Z"}},
            'parsing time "2001-02-03T04:05:06Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"',
        ),
    ],
)  # fmt: skip
def test_type_errors_in_go_words(kind: str, obj: Any, text: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(kind, obj)
    assert str(error.value) == text


def test_unknown_and_duplicate_fields_in_document_order() -> None:
    raw = b'{"metadata":{"name":"a","foo":1,"name":"b"},"data":{"a":"1","a":"2"},"bar":{"baz":1,"baz":2}}'
    obj, problems = codec.decode(schemas.load().type("v1/ConfigMap"), codec.parse(raw))
    assert obj == {"metadata": {"name": "b"}, "data": {"a": "2"}}
    assert problems == [
        'unknown field "metadata.foo"',
        'duplicate field "metadata.name"',
        'duplicate field "data.a"',
        'unknown field "bar"',
    ]


def test_an_escaped_quote_hides_no_duplicate() -> None:
    raw = b'{"data":{"a":"\\u0022","a":"x"}}'
    assert codec.decode(schemas.load().type("v1/ConfigMap"), codec.parse(raw))[1] == ['duplicate field "data.a"']


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("data: x", "invalid character 'd' looking for beginning of value"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ('{"a":1}}', "invalid character '}' after top-level value"),
        ("nul", "unexpected end of JSON input"),
        ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ("-", "unexpected end of JSON input"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
    ],
)
def test_syntax_errors_in_go_words(text: str, error: str) -> None:
    assert jsontext.error(text) == error


@pytest.mark.parametrize("text", ["{}", "[1,2.5e3,-0]", '"\\u00e9"', " null ", '{"a":[{}]}'])
def test_json_is_json(text: str) -> None:
    assert jsontext.error(text) is None


def test_nesting_is_bounded() -> None:
    for depth in (300, 5000, 200_000):
        with pytest.raises(ParseError):
            codec.parse(b"[" * depth + b"]" * depth)


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert codec.parse(b'{"a":"\xff"}').obj == {"a": "\ufffd"}


class TestYaml:
    def test_words_of_yaml_1_1(self) -> None:
        raw = b"a: y\nb: 'y'\nc: 0x10\nd: 010\ne: 1_000\nf: ~\ng: 1:30\nh: 2001-02-03\ni: 1e2\n1: x\ntrue: z\n"
        assert codec.parse(raw, codec.YAML).obj == {
            "a": True,
            "b": "y",
            "c": 16,
            "d": 8,
            "e": 1000,
            "f": None,
            "g": "1:30",
            "h": "2001-02-03",
            "i": 100,
            "1": "x",
            "true": "z",
        }

    def test_keys_set_twice_are_told(self) -> None:
        parsed = codec.parse(b"data:\n  a: '1'\n  a: '2'\n", codec.YAML)
        assert parsed.problems == ['yaml: unmarshal errors:\n  line 3: key "a" already set in map']

    def test_merge_keys_and_aliases(self) -> None:
        raw = b"base: &b {p: 1, q: 2}\nc: {<<: *b, q: 3}\n"
        assert codec.parse(raw, codec.YAML).obj["c"] == {"p": 1, "q": 3}

    def test_alias_bombs_are_refused(self) -> None:
        lines = ["a0: &a0 [" + ",".join("x" * 10) + "]"]
        lines += [f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 9)]
        with pytest.raises(ParseError, match=r"excessive aliasing|too many nodes"):
            codec.parse("\n".join(lines).encode(), codec.YAML)

    def test_errors_are_those_of_the_original(self) -> None:
        with pytest.raises(ParseError) as error:
            codec.parse(b"a: [", codec.YAML)
        assert str(error.value) == "error converting YAML to JSON: yaml: line 1: did not find expected node content"

    def test_depth_is_bounded(self) -> None:
        with pytest.raises(ParseError):
            codec.parse(b"[" * 100_000, codec.YAML)


def test_the_slow_path_leaves_nothing_behind() -> None:
    info = schemas.load().type("v1/Pod")
    body = {"spec": {"containers": [{"name": "c", "unknown": 1}]}}
    info.decode(body)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        info.decode(body)
    gc.collect()
    assert len(gc.get_objects()) - before < 50
