"""JSON, merge and strategic merge patches, with the answers that the original gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.patch import patcher
from openapi import schemas

CONFIG = schemas.load().type("v1/ConfigMap")
DEPLOYMENT = schemas.load().type("apps/v1/Deployment")


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": dict(data)}


def json_patch(doc: dict[str, Any], *operations: dict[str, Any]) -> Any:
    return patcher.patch(patcher.JSON_PATCH, doc, json.dumps(operations).encode(), CONFIG)


class TestJsonPatch:
    def test_operations(self) -> None:
        obj, warnings = json_patch(
            config(a="1", b="2"),
            {"op": "replace", "path": "/data/a", "value": "9"},
            {"op": "test", "path": "/data/a", "value": "9"},
            {"op": "copy", "path": "/data/c", "from": "/data/a"},
            {"op": "move", "path": "/data/d", "from": "/data/b"},
            {"op": "add", "path": "/metadata/annotations", "value": {"x/y": "1"}},
            {"op": "replace", "path": "/metadata/annotations/x~1y", "value": "2"},
        )
        assert obj["data"] == {"a": "9", "c": "9", "d": "2"}
        assert obj["metadata"]["annotations"] == {"x/y": "2"}
        assert warnings == []

    def test_quirks_of_the_original(self) -> None:
        obj, warnings = json_patch(
            config(a="1"),
            {"op": "replace", "path": "/data/missing", "value": "x"},
            {"op": "test", "path": "/data/nothing", "value": None},
            {"op": "add", "path": "data/q", "value": "9"},
        )
        assert obj["data"] == {"a": "1", "missing": "x"}
        assert warnings == ['unknown field "q"']

    def test_an_empty_path_is_the_whole_document(self) -> None:
        other = config(b="2")
        obj, _ = json_patch(
            config(a="1"),
            {"op": "test", "path": "", "value": config(a="1")},
            {"op": "replace", "path": "", "value": other},
            {"op": "add", "path": "/data/c", "value": "3"},
        )
        assert obj["data"] == {"b": "2", "c": "3"}

        with pytest.raises(ApiError, match="the server rejected our request"):
            json_patch(config(), {"op": "replace", "path": "", "value": "a scalar is no document"})

    def test_negative_positions_count_from_the_end(self) -> None:
        doc = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["a/a", "b/b"]}}
        obj, _ = json_patch(
            doc,
            {"op": "replace", "path": "/metadata/finalizers/-1", "value": "z/z"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "e/e"},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        )
        assert obj["metadata"]["finalizers"] == ["z/z", "e/e"]

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/data/a", "value": "no"},
            {"op": "remove", "path": "/data/nope"},
            {"op": "add", "path": "/metadata/labels/x", "value": "y"},
            {"op": "frob", "path": "/data/a"},
            {"op": "remove", "path": ""},
            {"op": "test", "path": "", "value": {}},
            {"op": "replace", "path": ""},
            {"path": "/data/a"},
        ],
    )
    def test_whatever_fails_fails_alike(self, operation: dict[str, Any]) -> None:
        with pytest.raises(ApiError) as error:
            json_patch(config(a="1"), operation)
        assert (error.value.code, error.value.message) == (
            422,
            "the server rejected our request due to an error in our request",
        )

    def test_limits(self) -> None:
        with pytest.raises(ApiError) as error:
            json_patch(config(), *({"op": "add", "path": "/data/a", "value": "x"} for _ in range(10_001)))
        assert error.value.code == 413
        grow = [{"op": "add", "path": "/data/a0", "value": "x" * 100_000}]
        grow += [{"op": "copy", "from": "/data", "path": "/data/n"} for _ in range(50)]
        with pytest.raises(ApiError) as error:
            json_patch(config(), *grow)
        assert error.value.code == 422

    def test_what_is_no_list_of_operations(self) -> None:
        for raw, text in (
            (b'{"op":"add"}', "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
            (b"[{", "unexpected end of JSON input"),
        ):
            with pytest.raises(ApiError) as error:
                patcher.patch(patcher.JSON_PATCH, config(), raw, CONFIG)
            assert (error.value.code, error.value.message) == (400, "error decoding patch: " + text)


class TestMergePatch:
    def test_nulls_delete(self) -> None:
        obj, _ = patcher.patch(patcher.MERGE_PATCH, config(a="1", b="2"), b'{"data":{"a":null,"c":"3"}}', CONFIG)
        assert obj["data"] == {"b": "2", "c": "3"}

    def test_strictness(self) -> None:
        raw = b'{"foo":"bar","data":{"a":"1","a":"2"}}'
        _, warnings = patcher.patch(patcher.MERGE_PATCH, config(), raw, CONFIG)
        assert warnings == ['duplicate field "data.a"', 'unknown field "foo"']
        assert patcher.patch(patcher.MERGE_PATCH, config(), raw, CONFIG, "Ignore")[1] == []
        with pytest.raises(ApiError) as error:
            patcher.patch(patcher.MERGE_PATCH, config(), raw, CONFIG, "Strict")
        assert error.value.code == 422
        assert error.value.message.endswith('strict decoding error: duplicate field "data.a", unknown field "foo"')

    def test_a_wrong_type_is_the_patch_s_fault(self) -> None:
        with pytest.raises(ApiError) as error:
            patcher.patch(patcher.MERGE_PATCH, config(), b'{"data":"x"}', CONFIG)
        assert error.value.causes[0]["field"] == "patch"


def deployment(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"metadata": {}, "spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template, **spec},
    }


def strategic(doc: dict[str, Any], spec: dict[str, Any], **top: Any) -> Any:
    raw = json.dumps({"spec": spec, **top}).encode()
    return patcher.patch(patcher.STRATEGIC_PATCH, doc, raw, DEPLOYMENT)[0]


def names(obj: dict[str, Any]) -> list[str]:
    return [container["name"] for container in obj["spec"]["template"]["spec"]["containers"]]


class TestStrategicMerge:
    A, B = {"name": "a", "image": "1"}, {"name": "b", "image": "2"}

    def patch(self, patch: dict[str, Any], *containers: dict[str, Any]) -> Any:
        return strategic(
            deployment(*(dict(found) for found in containers or (self.A, self.B))), {"template": {"spec": patch}}
        )

    def test_items_merge_by_key_and_new_ones_come_first(self) -> None:
        obj = self.patch({"containers": [{"name": "b", "image": "9"}, {"name": "c", "image": "3"}]})
        assert names(obj) == ["a", "b", "c"] or names(obj)[-1] != "a"
        merged = {found["name"]: found["image"] for found in obj["spec"]["template"]["spec"]["containers"]}
        assert merged == {"a": "1", "b": "9", "c": "3"}
        assert names(self.patch({"containers": [{"name": "c", "image": "3"}]})) == ["c", "a", "b"]

    def test_element_order(self) -> None:
        obj = self.patch({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})
        assert names(obj) == ["b", "a"]

    def test_directives_in_lists(self) -> None:
        assert names(self.patch({"containers": [{"name": "a", "$patch": "delete"}]})) == ["b"]
        assert names(self.patch({"containers": [{"$patch": "replace"}, {"name": "x", "image": "i"}]})) == ["x"]

    def test_directives_in_maps(self) -> None:
        doc = deployment(self.A, selector={"matchLabels": {"a": "b"}})
        assert strategic(doc, {"selector": {"$patch": "delete"}})["spec"]["selector"] == {}
        doc = deployment(self.A, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})
        obj = strategic(doc, {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}})
        assert obj["spec"]["strategy"] == {"type": "Recreate"}

    def test_primitive_lists(self) -> None:
        doc = {**deployment(self.A), "metadata": {"name": "d", "finalizers": ["a/a", "b/b"]}}
        obj = strategic(doc, {}, metadata={"$deleteFromPrimitiveList/finalizers": ["a/a"], "finalizers": ["c/c"]})
        assert sorted(obj["metadata"]["finalizers"]) == ["b/b", "c/c"]

    @pytest.mark.parametrize(
        ("patch", "code", "text"),
        [
            ({"containers": [{"image": "x"}]}, 500, "map: map[image:x] does not contain declared merge key: name"),
            (
                {"containers": [{"name": "z"}], "$setElementOrder/containers": [{"name": "b"}]},
                500,
                "The order in patch list:\n[map[name:z]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
            ),
        ],
    )
    def test_errors(self, patch: dict[str, Any], code: int, text: str) -> None:
        with pytest.raises(ApiError) as error:
            self.patch(patch)
        assert (error.value.code, error.value.message) == (code, text)

    def test_wrong_types_in_the_converter_s_words(self) -> None:
        with pytest.raises(ApiError) as error:
            strategic(deployment(self.A), {"replicas": "x"})
        assert (
            error.value.message
            == ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32'
        )
