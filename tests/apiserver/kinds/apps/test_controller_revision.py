"""ControllerRevisions over a real server: data is compared by its bytes, and answered by its value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.apiserver import MERGE, STRATEGIC, Api

REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"


def body(data: str, **metadata: Any) -> bytes:
    return ('{"metadata":' + json.dumps({"name": "r", **metadata}) + ',"revision":1,"data":' + data + "}").encode()


async def test_data_that_was_sent_as_it_is_stored_lets_the_rest_change(api: Api) -> None:
    assert (await api.post(REVISIONS, body('{"a":1}'))).code == 201
    assert (await api.patch(REVISIONS + "/r", {"revision": 2})).body["revision"] == 2
    assert (await api.put(REVISIONS + "/r", body('{"a":1}'))).code == 200
    refused = await api.put(REVISIONS + "/r", body('{"a":2}'))
    assert (refused.code, refused.body["details"]["causes"][0]["field"]) == (422, "data")


@pytest.mark.parametrize("media_type", [MERGE, STRATEGIC])
async def test_white_space_makes_a_patch_change_data(api: Api, media_type: str) -> None:
    made = await api.post(REVISIONS, body('{"a": 1}'))
    assert (made.code, made.body["data"]) == (201, {"a": 1})
    refused = await api.patch(REVISIONS + "/r", {"revision": 2}, media_type)
    assert refused.code == 422
    assert refused.message.endswith('is invalid: data: Invalid value: {"a":1}: field is immutable')
    assert (await api.put(REVISIONS + "/r", body('{"a":1}'))).code == 422
    changed = await api.put(REVISIONS + "/r", body('{"a": 1}', labels={"x": "y"}))
    assert changed.code == 200
    assert set(changed.body) == {"kind", "apiVersion", "metadata", "revision", "data"}
    listed = (await api.get(REVISIONS)).body["items"][0]
    assert (listed["data"], set(listed)) == ({"a": 1}, {"metadata", "revision", "data"})


async def test_a_client_that_escapes_html_and_one_that_does_not(api: Api) -> None:
    assert (await api.post(REVISIONS, body('{"a":"\\u003c"}'))).code == 201
    assert (await api.patch(REVISIONS + "/r", {"revision": 2})).code == 200
    assert (await api.delete(REVISIONS + "/r")).code == 200
    assert (await api.post(REVISIONS, body('{"a":"<"}'))).code == 201
    assert (await api.patch(REVISIONS + "/r", {"revision": 2})).code == 422
