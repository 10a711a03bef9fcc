"""Options in queries, against a whole server."""

from __future__ import annotations

from pathlib import Path

from tests.support.apiserver import Events, running

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_preconditions_of_a_deletion_in_the_query(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        made = (await api.post(MAPS, {"metadata": {"name": "a"}})).body["metadata"]
        refused = await api.delete(f"{MAPS}/a", uid="other")
        assert (refused.code, refused.reason) == (409, "Conflict")
        refused = await api.delete(f"{MAPS}/a", resourceVersion="1")
        assert (refused.code, refused.reason) == (409, "Conflict")
        assert "the ResourceVersion in the precondition (1)" in refused.message
        gone = await api.delete(f"{MAPS}/a", uid=made["uid"], resourceVersion=made["resourceVersion"])
        assert gone.code == 200


async def test_a_watch_from_the_beginning_goes_with_no_continue_token(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for revision in ("", "0"):
            query = {"watch": "1", "continue": "x", "resourceVersion": revision}
            refused = await api.get(MAPS, **query)
            assert refused.code == 422
            assert refused.body["details"]["causes"] == [
                {
                    "reason": "FieldValueForbidden",
                    "message": "Forbidden: resourceVersionMatch is forbidden when continue is provided",
                    "field": "resourceVersionMatch",
                }
            ]


async def test_only_who_asks_is_told_where_initial_events_end(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await api.post(MAPS, {"metadata": {"name": "a"}})
        async with api.watch(MAPS, allowWatchBookmarks="true", fieldSelector="metadata.name=a") as events:
            assert (await events.next())["type"] == "ADDED"
            assert (await events.next())["type"] == "BOOKMARK"
        old_path = "/api/v1/watch/namespaces/default/configmaps/a?allowWatchBookmarks=true"
        headers = {"Authorization": f"Bearer {api.token}"}
        async with api.session.get(api.url + old_path, headers=headers) as response:
            events = Events(response)
            assert (await events.next())["type"] == "ADDED"
            await api.put(f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"b": "c"}})
            assert (await events.next())["type"] == "MODIFIED"


async def test_duplicate_owners_are_dropped_before_admission(tmp_path: Path) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    body = {"metadata": {"name": "a", "ownerReferences": [owner, owner]}}
    async with running(tmp_path) as api:
        for answer in (await api.post(MAPS, body), await api.put(f"{MAPS}/a", body)):
            assert answer.body["metadata"]["ownerReferences"] == [owner]
            assert ".metadata.ownerReferences contains duplicate entries; API server" in answer.headers["Warning"]
        patched = await api.patch(f"{MAPS}/a", body)
        assert "contains duplicate entries after mutating admission happens; API" in patched.headers["Warning"]
