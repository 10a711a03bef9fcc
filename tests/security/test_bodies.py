"""Bodies made to hurt: each gets a clear refusal (or is what it claims to be), in bounded time, and the server goes on answering.

Time is not asserted, since machines differ: an attack that is not bounded makes these tests run for minutes, and a loop that is
held up is seen by the other client, which must get its answers meanwhile.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from apiserver.patch.json_patch import MAX_OPERATIONS
from tests.support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Api
from tests.support.chaos import Obj

CMS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/x.io/v1/namespaces/default/widgets"
YAML = "application/yaml"
LIMIT = 3 << 20


@pytest.fixture(autouse=True)
def no_bug(caplog: pytest.LogCaptureFixture) -> Iterable[None]:
    """Nothing here may end in a logged traceback."""
    caplog.set_level(logging.ERROR)
    yield
    assert not caplog.records


async def send(api: Api, method: str, path: str, body: bytes, media_type: str = "application/json") -> Answer:
    return await api.ask(method, path, body, headers={"Content-Type": media_type})


def config_map(data: bytes, name: str = "a") -> bytes:
    return b'{"metadata":{"name":"%s"},"data":%s}' % (name.encode(), data)


def entries(shape: bytes, size: int) -> bytes:
    """So many bytes of items of a shape with a number in it."""
    items, length, number = [], 0, 0
    while length < size:
        items.append(shape.replace(b"#", b"%d" % number))
        length += len(items[-1]) + 1
        number += 1
    return b",".join(items)


def definition(schema: Obj, plural: str = "widgets") -> Obj:
    kind = plural[:-1].title()
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": kind + "List"}
    spec = {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.x.io"}, "spec": spec}


async def widgets(api: Api) -> None:
    """Serve widgets whose spec may hold anything."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    assert (await api.post(CRDS, definition(schema))).code == 201
    await established(api, "widgets.x.io")


async def established(api: Api, name: str) -> None:
    async with api.watch(CRDS, fieldSelector=f"metadata.name={name}", resourceVersion="0") as events:
        while True:
            conditions = (await events.next())["object"].get("status", {}).get("conditions") or ()
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                return


def widget(spec: bytes, name: str = "a") -> bytes:
    return b'{"apiVersion":"x.io/v1","kind":"Widget","metadata":{"name":"%s"},"spec":%s}' % (name.encode(), spec)


def nested(levels: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * levels + b"1" + closing * levels


# -- nesting


@pytest.mark.parametrize("levels", [300, 9_000, 11_000, 300_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_deep_nesting_is_refused(api: Api, levels: int, opening: bytes, closing: bytes) -> None:
    await api.post(CMS, {"metadata": {"name": "a"}})
    deep = nested(levels, opening, closing)
    for media_type in ("application/json", YAML):
        assert (await send(api, "POST", CMS, config_map(deep, "b"), media_type)).code == 400
        assert (await send(api, "POST", CMS, config_map(opening * levels, "b"), media_type)).code == 400
    patch = b'[{"op":"add","path":"/data","value":%s}]' % deep
    assert (await send(api, "PATCH", f"{CMS}/a", patch, JSON_PATCH)).code == 400
    for media_type in (MERGE, STRATEGIC, APPLY):
        told = await send(api, "PATCH", f"{CMS}/a?fieldManager=m", config_map(deep), media_type)
        assert (told.code, told.reason) == (400, "BadRequest")
        assert "exceeded max depth" in told.message


async def test_what_is_as_deep_as_bodies_may_be_can_be_read_in_every_form(api: Api) -> None:
    await widgets(api)
    for levels, code in ((190, 201), (205, 400)):
        made = await send(api, "POST", WIDGETS, widget(nested(levels), f"n{levels}"))
        assert made.code == code
    applied = await send(api, "PATCH", f"{WIDGETS}/n190?fieldManager=m&force=1", widget(nested(190), "n190"), APPLY)
    assert applied.code == 200
    again = await send(api, "PATCH", f"{WIDGETS}/n190", b'{"spec":{"b":1}}', MERGE)
    assert again.code == 200
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    for accept in ("application/json", YAML, table):
        for path in (f"{WIDGETS}/n190", WIDGETS, f"{WIDGETS}?pretty=1&includeObject=Object"):
            assert (await api.ask("GET", path, headers={"Accept": accept})).code == 200
    async with api.watch(WIDGETS, resourceVersion="0") as events:
        assert (await events.next())["object"]["metadata"]["name"] == "n190"


async def test_no_patch_nests_deeper_than_a_body_may(api: Api) -> None:
    await widgets(api)
    assert (await send(api, "POST", WIDGETS, widget(b"{}"))).code == 201
    add = [{"op": "add", "path": f"/spec/k{at}", "value": {}} for at in range(2000)]
    move = [{"op": "move", "from": f"/spec/k{at}", "path": f"/spec/k{at + 1}/a"} for at in range(1999)]
    more: list[Obj] = [
        {"op": "copy", "from": "/spec/k1999", "path": "/spec/q"},
        {"op": "test", "path": "/spec/k1999", "value": {}},
    ]
    for last in ([], more[:1], more[1:]):
        told = await api.patch(f"{WIDGETS}/a", [*add, *move, *last], JSON_PATCH)
        assert told.code in (400, 422)
    assert (await api.get(f"{WIDGETS}/a")).body["spec"] == {}


# -- YAML


def aliases() -> bytes:
    lines = [b"a: &a [" + b",".join([b"x"] * 9) + b"]"]
    for one, before in zip(b"bcdefghij", b"abcdefghi", strict=True):
        lines.append(b"%c: &%c [%s]" % (one, one, b",".join([b"*%c" % before] * 9)))
    return b"\n".join(lines)


def chain(shape: bytes, links: int) -> bytes:
    return b"a0: &a0 {x: 1, y: 2}\n" + b"".join(
        shape.replace(b"#", b"%d" % at).replace(b"@", b"%d" % (at - 1)) for at in range(1, links)
    )


BOMBS = {
    "lists of aliases": aliases(),
    "maps of aliases": chain(b"a#: &a# {p: *a@, q: *a@}\n", 200),
    "merges": chain(b"a#: &a# {<<: [*a@, *a@], k#: 1}\n", 2000),
    "one of itself": b"a: &a [*a]\n",
    "one small thing often": b'a: &a "' + b"y" * 1000 + b'"\nb: [' + b",".join([b"*a"] * 400_000) + b"]",
    "flow lists": b"[" * 500_000,
    "flow maps": b"{" * 500_000,
    "complex keys": b"? " * 200_000,
    "nested sequences": b"- " * 200_000,
    "indentation": b"".join(b" " * at + b"a:\n" for at in range(2000)),
    "too many nodes": b"[" + b",".join([b"x"] * 1_500_000) + b"]",
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_yaml_bombs_are_refused(api: Api, bomb: str) -> None:
    told = await send(api, "POST", CMS, BOMBS[bomb], YAML)
    assert (told.code, told.reason) == (400, "BadRequest")
    applied = await send(api, "PATCH", f"{CMS}/a?fieldManager=m", BOMBS[bomb], APPLY)
    assert (applied.code, applied.reason) == (400, "BadRequest")
    assert len(told.raw) < 2000


async def test_odd_yaml_is_read_or_refused(api: Api) -> None:
    for text in (
        b"%" * LIMIT,
        b"!" * 1000,
        b"&",
        b"*",
        b"'",
        b"`",
        b"a: .nan",
        b"a: .inf",
        b"? {a: b}\n: c",
        b"- !!python/object:os.x {}",
        b"\x00",
        b"\xff",
    ):
        assert (await send(api, "POST", CMS, text[: LIMIT - 1], YAML)).code in (400, 422)
    number = b"metadata: {name: a}\ndata: {}\nx: " + b"9" * 300_000
    assert (await send(api, "POST", CMS, number, YAML)).code == 201


# -- numbers, text


@pytest.mark.parametrize(
    "number", [b"9" * 3_000_000, b"1e999", b"-1e99999999999", b"9" * 5000 + b".5"], ids=lambda n: n[:9].decode()
)
async def test_numbers_that_nothing_can_hold(api: Api, number: bytes) -> None:
    await widgets(api)
    told = await send(api, "POST", WIDGETS, widget(b'{"a":%s}' % number))
    assert told.code == 400
    assert "cannot unmarshal number" in told.message
    assert len(told.raw) < 2000
    assert (await send(api, "POST", WIDGETS, widget(b"{}"))).code == 201
    assert (await send(api, "PATCH", f"{WIDGETS}/a", b'{"spec":{"a":%s}}' % number, MERGE)).code == 400
    quota = b'{"metadata":{"name":"q"},"spec":{"hard":{"cpu":"%s"}}}' % number
    told = await send(api, "POST", "/api/v1/namespaces/default/resourcequotas", quota)
    assert told.code in (201, 400)


async def test_bytes_that_are_no_text(api: Api) -> None:
    replaced = await send(api, "POST", CMS, config_map(b'{"a":"\xff\xfe","b":"\\ud800"}'))
    assert replaced.code == 201
    assert replaced.body["data"] == {"a": "\ufffd\ufffd", "b": "\ufffd"}
    for raw in (
        b"\xff" * LIMIT,
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a":"\0"}',
        b" " * LIMIT,
        b'{"a":"' + b"x" * 1_000_000,
    ):
        assert (await send(api, "POST", CMS, raw[: LIMIT - 1])).code == 400


async def test_duplicate_keys(api: Api) -> None:
    many = config_map(b"{" + b",".join([b'"a":"b"'] * 300_000) + b"}")
    warned = await send(api, "POST", CMS, many)
    assert warned.code == 201
    assert 'duplicate field \\"data.a\\"' in warned.headers["Warning"]
    assert (await send(api, "POST", CMS + "?fieldValidation=Strict", many)).code == 400
    distinct = b'{"metadata":{"name":"c"},%s}' % entries(b'"f#":1', 2_500_000)
    told = await send(api, "POST", CMS, distinct)
    assert told.code == 201
    assert sum(len(value) for name, value in told.headers.items() if name == "Warning") < 8000


# -- sizes


async def test_an_object_cannot_grow_without_end(api: Api) -> None:
    assert (await api.post(CMS, {"metadata": {"name": "a"}})).code == 201
    codes = []
    for at in range(6):
        patch = b'{"data":{%s}}' % entries(b'"k%d-#":""' % at, 700_000)
        codes.append((await send(api, "PATCH", f"{CMS}/a", patch, MERGE)).code)
    assert codes[0] == 200
    assert codes[-1] == 413
    told = await send(api, "PATCH", f"{CMS}/a", patch, MERGE)
    assert told.reason == "RequestEntityTooLarge"
    assert len((await api.get(f"{CMS}/a")).raw) < 4 << 20


METADATA = {
    "labels": (b'"labels":{%s}', b'"-a#":"-"'),
    "annotations": (b'"annotations":{%s}', b'"/#":""'),
    "finalizers": (b'"finalizers":[%s]', b'"-#"'),
    "empty owners": (b'"ownerReferences":[%s]', b"{}"),
    "owners in control": (
        b'"ownerReferences":[%s]',
        b'{"apiVersion":"v1","kind":"A","name":"#","uid":"#","controller":true}',
    ),
}


@pytest.mark.parametrize("kind", METADATA)
async def test_a_hundred_thousand_mistakes_get_an_answer_of_bounded_size(api: Api, kind: str) -> None:
    around, item = METADATA[kind]
    told = await send(api, "POST", CMS, b'{"metadata":{"name":"a",%s}}' % (around % entries(item, 2_500_000)))
    assert (told.code, told.reason) == (422, "Invalid")
    assert len(told.body["details"]["causes"]) <= 1000
    assert len(told.raw) < 16 << 20


@pytest.mark.parametrize("name", ["a" * 100_000, "a." * 1_000_000, "a-" * 1_000_000, "A" * 3_000_000])
async def test_names_without_end(api: Api, name: str) -> None:
    told = await api.post(CMS, {"metadata": {"name": name}})
    assert (told.code, told.reason) == (422, "Invalid")
    assert (await api.post(CMS, {"metadata": {"name": "a", "labels": {f"{name}/x": "b"}}})).code == 422


async def test_equal_and_distinct_owners(api: Api) -> None:
    equal = b",".join([b'{"apiVersion":"v1","kind":"A","name":"a","uid":"1"}'] * 50_000)
    made = await send(api, "POST", CMS, b'{"metadata":{"name":"a","ownerReferences":[%s]}}' % equal)
    assert made.code == 201
    assert len(made.body["metadata"]["ownerReferences"]) == 1
    assert sum(len(value) for name, value in made.headers.items() if name == "Warning") < 8000
    distinct = entries(b'{"apiVersion":"v1","kind":"A","name":"#","uid":"#"}', 1_000_000)
    assert (await send(api, "POST", CMS, b'{"metadata":{"name":"b","ownerReferences":[%s]}}' % distinct)).code == 201


async def test_compressed_and_endless_bodies(api: Api) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(200)) + packer.flush()
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert (await api.ask("POST", CMS, bomb, headers=headers)).code == 413
    assert (await api.ask("POST", CMS, gzip.compress(b"{}")[:-3], headers=headers)).code == 400

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b" " * 65536

    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    async with api.session.post(api.url + CMS, data=endless(), headers=headers) as response:
        assert response.status == 413


# -- patches


async def test_json_patches_that_explode(api: Api) -> None:
    await widgets(api)
    assert (await send(api, "POST", WIDGETS, widget(b'{"x":[1,1,1,1,1,1,1,1]}'))).code == 201
    double: list[Obj] = [{"op": "copy", "from": "/spec/x", "path": "/spec/x/-"} for _ in range(60)]
    assert (await api.patch(f"{WIDGETS}/a", double, JSON_PATCH)).code == 422
    whole: list[Obj] = [{"op": "copy", "from": "/spec", "path": f"/spec/a{at}"} for at in range(40)]
    assert (await api.patch(f"{WIDGETS}/a", whole, JSON_PATCH)).code == 422
    adds: list[Obj] = [{"op": "add", "path": f"/spec/z{at}", "value": at} for at in range(MAX_OPERATIONS)]
    assert (await api.patch(f"{WIDGETS}/a", adds, JSON_PATCH)).code == 200
    told = await api.patch(f"{WIDGETS}/a", [*adds, adds[0]], JSON_PATCH)
    assert (told.code, told.message) == (413, "The allowed maximum operations in a JSON patch is 10000, got 10001")
    tiny = await send(api, "PATCH", f"{WIDGETS}/a", b"[" + b",".join([b"{}"] * 900_000) + b"]", JSON_PATCH)
    assert tiny.code == 413
    items = b'{"op":"add","path":"/spec/l","value":[' + b",".join([b"0"] * 1_000_000) + b"]}"
    for operation in (b'{"op":"add","path":"/spec/l/0","value":0}', b'{"op":"remove","path":"/spec/l/0"}'):
        told = await send(
            api, "PATCH", f"{WIDGETS}/a", b"[" + b",".join([items, *[operation] * 9000]) + b"]", JSON_PATCH
        )
        assert told.code == 413
    for pointer in (
        "/spec" + "/a" * 500_000,
        "/spec/" + "~0~1" * 500_000,
        "/spec/x/" + "9" * 10_000,
        "/spec/x/²",
        "",
        "/",
    ):
        told = await api.patch(f"{WIDGETS}/a", [{"op": "add", "path": pointer, "value": 1}], JSON_PATCH)
        assert told.code in (200, 422)


LONG = 15_000


@pytest.mark.parametrize("media_type", [STRATEGIC, APPLY])
async def test_long_lists_merge(api: Api, media_type: str) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"

    def deployment(env: list[Obj], extra: Obj | None = None) -> Obj:
        container = {"name": "c", "image": "i", "env": env, **(extra or {})}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}

    assert (await api.post(path, deployment([]))).code == 201
    for value in ("x", "y"):
        env = [{"name": f"e{at}", "value": value} for at in range(LONG)]
        query = "fieldManager=m&force=1" if media_type == APPLY else ""
        merged = await api.patch(f"{path}/d?{query}", deployment(env), media_type)
        assert merged.code == 200
        assert len(merged.body["spec"]["template"]["spec"]["containers"][0]["env"]) == LONG
    if media_type == STRATEGIC:
        order = {"$setElementOrder/env": [{"name": f"e{at}"} for at in reversed(range(LONG))]}
        turned = await api.patch(f"{path}/d", deployment([{"name": "e1", "value": "z"}], order), media_type)
        assert turned.body["spec"]["template"]["spec"]["containers"][0]["env"][-2] == {"name": "e1", "value": "z"}
        gone = [{"name": f"e{at}", "$patch": "delete"} for at in range(LONG)]
        empty = await api.patch(f"{path}/d", deployment(gone), media_type)
        assert "env" not in empty.body["spec"]["template"]["spec"]["containers"][0]


async def test_primitive_lists_merge(api: Api) -> None:
    assert (await api.post(CMS, {"metadata": {"name": "a"}})).code == 201
    names = [f"a.b/{at}" for at in range(20_000)]
    for _ in range(2):
        merged = await api.patch(f"{CMS}/a", {"metadata": {"finalizers": names}}, STRATEGIC)
        assert merged.body["metadata"]["finalizers"] == names
    order = {"$setElementOrder/finalizers": names[::-1], "finalizers": []}
    assert (await api.patch(f"{CMS}/a", {"metadata": order}, STRATEGIC)).body["metadata"]["finalizers"] == names[::-1]
    gone = await api.patch(f"{CMS}/a", {"metadata": {"$deleteFromPrimitiveList/finalizers": names}}, STRATEGIC)
    assert "finalizers" not in gone.body["metadata"]


FORGED: tuple[Obj, ...] = (
    {"fieldsV1": []},
    {"fieldsV1": {"f:data": 1}},
    {"fieldsV1": {"v:" + "[" * 50_000: {}}},
    {"fieldsV1": {"v:1e999": {}, "i:" + "9" * 5000: {}, "k:{}": {}, 'k:{"a":{}}': {}, "f:": {}}},
    {"fieldsV1": json.loads(nested(199, b'{"f:a":').replace(b"1", b"{}"))},
    {"time": "yesterday"},
    {"operation": "Steal"},
    {"manager": "x" * 5000},
)


@pytest.mark.parametrize("entry", FORGED, ids=lambda entry: str(entry)[:30])
async def test_forged_managed_fields(api: Api, entry: Obj) -> None:
    usual = {
        "manager": "m",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {}},
    }
    meta = {"name": "a", "managedFields": [{**usual, **entry}]}
    assert (await api.post(CMS, {"metadata": meta})).code in (201, 400, 422)
    await api.post(CMS, {"metadata": {"name": "a"}})
    for media_type in (MERGE, STRATEGIC):
        assert (await api.patch(f"{CMS}/a", {"metadata": meta}, media_type)).code in (200, 400, 422)
    assert (await api.put(f"{CMS}/a", {"metadata": meta})).code in (200, 400, 422)
    assert (await api.patch(f"{CMS}/a", {"data": {"b": "c"}})).code == 200


# -- definitions


PATTERNS = ("((a{1,100}){1,100}){1,100}", "(" * 50_000, "a{1000}" * 1000, "[" * 1000, "(?P<n>x)" * 5000, "\\")


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern[:12])
async def test_patterns_of_definitions(api: Api, pattern: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    assert (await api.post(CRDS, definition(schema))).code in (201, 422)


async def test_no_pattern_takes_exponential_time(api: Api) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    assert (await api.post(CRDS, definition(schema))).code == 201
    await established(api, "widgets.x.io")
    body = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "a"}, "a": "a" * 500_000 + "!"}
    assert (await api.post(WIDGETS, body)).code == 422


def deep_schema(levels: int) -> Obj:
    schema: Obj = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def columns(count: int) -> Obj:
    made = definition({"type": "object"})
    made["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": f"c{at}", "type": "string", "jsonPath": ".a.b"} for at in range(count)
    ]
    return made


def versions(count: int) -> Obj:
    made = definition({"type": "object"})
    one = made["spec"]["versions"][0]
    made["spec"]["versions"] = [{**one, "name": f"v{at + 1}", "storage": not at} for at in range(count)]
    return made


DEFINITIONS = {
    "properties": definition({"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(15_000)}}),
    "wrong properties": definition({"type": "object", "properties": {f"p{at}": {} for at in range(20_000)}}),
    "depth": definition(deep_schema(90)),
    "more depth": definition(deep_schema(300)),
    "enum": definition(
        {"type": "object", "properties": {"a": {"type": "string", "enum": [f"e{at}" for at in range(50_000)]}}}
    ),
    "required": definition({"type": "object", "required": [f"r{at}" for at in range(50_000)]}),
    "columns": columns(10_000),
    "versions": versions(400),
    "rules": definition(
        {
            "type": "object",
            "x-kubernetes-validations": [{"rule": "(" * 3000 + "true" + ")" * 3000}, {"rule": "!" * 20_000 + "true"}],
        }
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_definitions_of_odd_size(api: Api, name: str) -> None:
    told = await api.post(CRDS, DEFINITIONS[name])
    assert told.code in (201, 400, 422)
    if told.code == 201:
        await established(api, "widgets.x.io")
        assert (await api.get("/openapi/v3/apis/x.io/v1")).code == 200


# -- the loop


@asynccontextmanager
async def another_client(api: Api) -> AsyncIterator[list[float]]:
    """Somebody who asks for small things all the while; how long each answer took."""
    taken: list[float] = []
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        while True:
            begun = loop.time()
            assert (await api.get("/version")).code == 200
            taken.append(loop.time() - begun)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(ask())
    try:
        yield taken
    finally:
        task.cancel()


async def test_others_are_served_while_large_bodies_are_worked_on(api: Api) -> None:
    """A large body costs half a second and more; on the loop itself nobody would be answered in that time."""
    large = b'{"metadata":{"name":"a"},%s}' % entries(b'"f#":{"a":[1,2]}', 2_800_000)
    async with another_client(api) as taken:
        assert (await send(api, "POST", CMS, large)).code == 201
        assert len(taken) >= 5
