"""What a whole server records."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from apimachinery.clock import RealClock
from apiserver import audit
from apiserver.audit.webhook import WebhookBackend
from tests.support import certificates
from tests.support.apiserver import Api, running

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
HOOKS = {"omitStages": ["RequestReceived"]}


class Recording:
    """The log so far."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self, **wanted: Any) -> list[Obj]:
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [event for event in lines if all(event.get(name) == value for name, value in wanted.items())]


@asynccontextmanager
async def recorded(folder: Path, tmp_path: Path, *rules: Obj, **options: Any) -> AsyncIterator[tuple[Api, Recording]]:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    options_of_policy = {"omitManagedFields": True} if options.pop("omit", False) else {}
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **options_of_policy}
    policy.write_text(yaml.safe_dump(document))
    config = audit.Config(audit_policy_file=policy, audit_log_path=str(log), **options)
    async with running(folder, audit=config) as api:
        yield api, Recording(log)


def config_map(name: str) -> Obj:
    return {"metadata": {"name": name}, "data": {"secret": "hush"}}


async def test_metadata_tells_who_what_and_how_it_ended(server_folder: Path, tmp_path: Path) -> None:
    async with recorded(server_folder, tmp_path, {"level": "Metadata"}) as (api, log):
        made = await api.ask(
            "POST", MAPS, config_map("a"), headers={"User-Agent": "test/1", "X-Forwarded-For": "10.1.2.3"}
        )
        first, last = log.events(auditID=made.headers["Audit-Id"])
        assert [first["stage"], last["stage"]] == ["RequestReceived", "ResponseComplete"]
        assert "responseStatus" not in first
        assert first["stageTimestamp"] == first["requestReceivedTimestamp"]
        assert last["level"] == "Metadata"
        assert last["verb"] == "create"
        assert last["requestURI"] == MAPS
        assert last["user"]["username"] == "admin"
        assert "system:masters" in last["user"]["groups"]
        assert last["sourceIPs"] == ["10.1.2.3", "127.0.0.1"]
        assert last["userAgent"] == "test/1"
        assert last["objectRef"] == {
            "resource": "configmaps",
            "namespace": "default",
            "name": "a",
            "apiVersion": "v1",
        }
        assert last["responseStatus"] == {"metadata": {}, "code": 201}
        assert last["annotations"]["authorization.k8s.io/decision"] == "allow"
        text = json.dumps(log.events())
        assert "hush" not in text
        assert api.token not in text


async def test_refusals_are_told_whole(server_folder: Path, tmp_path: Path) -> None:
    async with recorded(server_folder, tmp_path, {"level": "Metadata", **HOOKS}) as (api, log):
        missing = await api.get(f"{MAPS}/none")
        (event,) = log.events(auditID=missing.headers["Audit-Id"])
        assert event["responseStatus"]["reason"] == "NotFound"
        assert event["responseStatus"]["message"] == 'configmaps "none" not found'
        assert event["responseStatus"]["code"] == 404
        api.token = "wrong"
        refused = await api.get(MAPS)
        (event,) = log.events(auditID=refused.headers["Audit-Id"])
        assert event["stage"] == "ResponseStarted"
        assert event["responseStatus"]["message"] == "Unauthorized"
        assert event["responseStatus"]["code"] == 401
        assert event["user"] == {}
        assert "wrong" not in json.dumps(event)


async def test_levels_say_which_objects_are_kept(server_folder: Path, tmp_path: Path) -> None:
    rules = (
        {"level": "None", "verbs": ["get"]},
        {"level": "Request", "verbs": ["create", "patch"], **HOOKS},
        {"level": "RequestResponse", "verbs": ["update", "list", "delete"], **HOOKS},
    )
    async with recorded(server_folder, tmp_path, *rules) as (api, log):
        made = await api.post(MAPS, config_map("a"))
        (event,) = log.events(auditID=made.headers["Audit-Id"])
        assert event["requestObject"]["data"] == {"secret": "hush"}
        assert "responseObject" not in event
        patched = await api.patch(f"{MAPS}/a", {"data": {"more": "1"}})
        (event,) = log.events(auditID=patched.headers["Audit-Id"])
        assert event["requestObject"] == {"data": {"more": "1"}}
        put = await api.put(f"{MAPS}/a", {**config_map("a"), "apiVersion": "v1", "kind": "ConfigMap"})
        (event,) = log.events(auditID=put.headers["Audit-Id"])
        assert event["responseObject"] == put.body
        listed = await api.ask("GET", MAPS, headers={"Accept": "application/vnd.kubernetes.protobuf"})
        (event,) = log.events(auditID=listed.headers["Audit-Id"])
        assert [item["metadata"]["name"] for item in event["responseObject"]["items"]] == ["a"]
        gone = await api.delete(f"{MAPS}/a", {"propagationPolicy": "Background"})
        (event,) = log.events(auditID=gone.headers["Audit-Id"])
        assert event["requestObject"]["propagationPolicy"] == "Background"
        assert event["responseStatus"]["status"] == "Success"
        none = await api.get(f"{MAPS}/a")
        assert log.events(auditID=none.headers["Audit-Id"]) == []


async def test_managed_fields_can_be_left_out(server_folder: Path, tmp_path: Path) -> None:
    async with recorded(server_folder, tmp_path, {"level": "RequestResponse", **HOOKS}, omit=True) as (api, log):
        made = await api.post(MAPS, config_map("a"))
        assert made.body["metadata"]["managedFields"]
        (event,) = log.events(auditID=made.headers["Audit-Id"])
        assert "managedFields" not in event["responseObject"]["metadata"]
        listed = await api.get(MAPS)
        (event,) = log.events(auditID=listed.headers["Audit-Id"])
        assert all("managedFields" not in item["metadata"] for item in event["responseObject"]["items"])


async def test_watches_are_told_at_both_ends(server_folder: Path, tmp_path: Path) -> None:
    async with recorded(server_folder, tmp_path, {"level": "RequestResponse", "verbs": ["watch"], **HOOKS}) as (
        api,
        log,
    ):
        async with api.watch(MAPS, timeoutSeconds=1) as events:
            (event,) = log.events()
            assert event["stage"] == "ResponseStarted"
            assert await events.ended()
        started, complete = await until(log, 2)
        assert (started["stage"], complete["stage"]) == ("ResponseStarted", "ResponseComplete")
        assert "responseObject" not in complete


async def until(log: Recording, count: int) -> list[Obj]:
    """The events once there are so many; those of streams are written after the answer."""
    for _ in range(500):
        if len(events := log.events()) >= count:
            return events
        await asyncio.sleep(0.01)
    raise AssertionError(log.events())


async def test_impersonation_shows_both(server_folder: Path, tmp_path: Path) -> None:
    async with recorded(server_folder, tmp_path, {"level": "Metadata", **HOOKS}) as (api, log):
        refused = await api.ask("GET", MAPS, headers={"Impersonate-User": "jane"})
        assert refused.code == 403
        (event,) = log.events(auditID=refused.headers["Audit-Id"])
        assert event["user"]["username"] == "admin"
        assert event["impersonatedUser"]["username"] == "jane"
        assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_a_strict_log_refuses_what_it_cannot_record(server_folder: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    rules = [{"level": "Metadata", "resources": [{"resources": ["configmaps"]}]}]
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    config = audit.Config(
        audit_policy_file=policy, audit_log_path="/dev/full", audit_log_maxsize=0, audit_log_mode="blocking-strict"
    )
    async with running(server_folder, audit=config) as api:
        refused = await api.post(MAPS, config_map("a"))
        assert refused.code == 500
        assert "failed to store audit event" in refused.message
        assert (await api.get("/api/v1/namespaces")).code == 200
        metrics = (await api.get("/metrics")).raw.decode()
        assert "apiserver_audit_requests_rejected_total 1" in metrics
        assert 'apiserver_audit_error_total{plugin="log"}' in metrics


@asynccontextmanager
async def sink(folder: Path, statuses: list[int]) -> AsyncIterator[tuple[Path, list[Obj]]]:
    """A kubeconfig for a service that takes EventLists, and what it was given. statuses: of its answers, in order."""
    taken: list[Obj] = []

    async def take(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer for-the-sink"
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == 200:
            taken.append(await request.json())
        return web.Response(status=status)

    ca = certificates.authority("sink-ca")
    pair = folder / "sink.pem"
    certificate, key = certificates.server(ca, "127.0.0.1")
    plain = serialization.NoEncryption()
    pair.write_bytes(
        certificate + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    app = web.Application()
    app.router.add_post("/events", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    cluster = {
        "server": f"https://127.0.0.1:{runner.addresses[0][1]}/events",
        "certificate-authority-data": base64.b64encode(ca.pem).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "s", "user": "u"}}],
        "clusters": [{"name": "s", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "for-the-sink"}}],
    }
    path = folder / "sink.yaml"
    path.write_text(yaml.safe_dump(config))
    try:
        yield path, taken
    finally:
        await runner.cleanup()


def webhook(path: Path, **options: Any) -> tuple[WebhookBackend, list[tuple[str, int]]]:
    failures: list[tuple[str, int]] = []
    config = audit.Config(audit_webhook_config_file=path, audit_webhook_initial_backoff=0.01, **options)
    return WebhookBackend(config, RealClock(), lambda plugin, count: failures.append((plugin, count))), failures


async def test_a_webhook_is_given_batches_until_it_takes_them(tmp_path: Path) -> None:
    async with sink(tmp_path, [500, 200]) as (path, taken):
        backend, failures = webhook(path, audit_webhook_batch_max_size=3)
        for number in range(4):
            assert backend.process(b'{"auditID":"%d"}' % number) is None
        running = asyncio.ensure_future(backend.run())
        for _ in range(500):
            if taken:
                break
            await asyncio.sleep(0.01)
        running.cancel()
        await backend.close()
        assert [[event["auditID"] for event in batch["items"]] for batch in taken] == [["0", "1", "2"], ["3"]]
        assert taken[0]["kind"] == "EventList"
        assert failures == []


async def test_events_that_a_webhook_never_takes_are_counted(tmp_path: Path) -> None:
    async with sink(tmp_path, [500]) as (path, taken):
        backend, failures = webhook(path, audit_webhook_mode="blocking-strict")
        pending = backend.process(b"{}")
        assert pending is not None
        assert not await pending
        await backend.close()
        assert (taken, failures) == ([], [("webhook", 1)])


async def test_a_webhooks_token_that_cannot_be_read_loses_its_event_and_no_other(tmp_path: Path) -> None:
    async with sink(tmp_path, [200]) as (path, taken):
        stated = yaml.safe_load(path.read_text())
        stated["users"][0]["user"] = {"tokenFile": "token"}
        path.write_text(yaml.safe_dump(stated))
        backend, failures = webhook(path, audit_webhook_mode="blocking")
        lost = backend.process(b'{"auditID":"1"}')
        assert lost is not None
        assert not await lost
        assert failures == [("webhook", 1)]
        (tmp_path / "token").write_text("for-the-sink\n")
        sent = backend.process(b'{"auditID":"2"}')
        assert sent is not None
        assert await sent
        await backend.close()
        assert [event["auditID"] for batch in taken for event in batch["items"]] == ["2"]
