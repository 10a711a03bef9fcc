"""Bootstrap tokens: cluster-info carries the signatures of those that are good, and those that have ended are removed."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apimachinery import bootstraptokens, times
from apimachinery.clock import ControlledClock
from client.resources import CONFIG_MAPS, SECRETS
from controllers.bootstrapsigner import BootstrapSignerController, signed
from controllers.tokencleaner import TokenCleanerController
from tests.controllers.harness import Harness
from tests.support import memoryapi

Obj = dict[str, Any]
INFO = f"{bootstraptokens.CLUSTER_INFO_NAMESPACE}/{bootstraptokens.CLUSTER_INFO}"
CONTENT = "kind: Config\n"


def token(token_id: str, end: float | None = None, **changes: str) -> Obj:
    data = {"token-id": token_id, "token-secret": token_id + "0123456789", "usage-bootstrap-signing": "true"}
    if end is not None:
        data["expiration"] = times.format_time(end)
    data |= {key.replace("_", "-"): value for key, value in changes.items()}
    return {
        "metadata": {"name": bootstraptokens.SECRET_PREFIX + token_id, "namespace": bootstraptokens.SECRET_NAMESPACE},
        "type": bootstraptokens.SECRET_TYPE,
        "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
    }


def info(**data: str) -> Obj:
    namespace, name = INFO.split("/")
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


async def pass_time(clock: ControlledClock, holds: Callable[[], bool]) -> None:
    """In steps, between which requests have the time to be answered."""
    async with asyncio.timeout(20):
        while True:
            if holds():
                return
            await clock.advance(5)
            await asyncio.sleep(0.02)


def test_just_the_tokens_that_may_sign_do() -> None:
    now = 1_700_000_000.0
    tokens = [
        token("aaaaaa"),
        token("bbbbbb", now + 1),
        token("cccccc", now),
        token("dddddd", usage_bootstrap_signing="false"),
        {**token("eeeeee"), "type": "Opaque"},
    ]
    before = {
        "kubeconfig": CONTENT,
        "jws-kubeconfig-cccccc": "old",
        "jws-kubeconfig-aaaaaa": "of another text",
        "a": "b",
    }
    after = signed(before, tokens, now)
    assert sorted(after) == ["a", "jws-kubeconfig-aaaaaa", "jws-kubeconfig-bbbbbb", "kubeconfig"]
    for token_id in ("aaaaaa", "bbbbbb"):
        signature = after[f"jws-kubeconfig-{token_id}"]
        assert bootstraptokens.is_signed(CONTENT, signature, token_id, token_id + "0123456789")
    assert signed({"a": "b"}, tokens, now) == {"a": "b"}


async def test_signatures_come_and_go_with_their_tokens(tmp_path: Path) -> None:
    clock = ControlledClock()
    async with memoryapi.serve(tmp_path, clock) as (api, client), Harness(api, client) as harness:

        def signers() -> list[str]:
            data = (api.get(CONFIG_MAPS, INFO) or {}).get("data") or {}
            return sorted(key[-6:] for key in data if key.startswith(bootstraptokens.SIGNATURE_PREFIX))

        harness.start(BootstrapSignerController)
        api.put(SECRETS, token("aaaaaa"))
        api.put(CONFIG_MAPS, info(kubeconfig=CONTENT))
        await harness.until(lambda: signers() == ["aaaaaa"])
        api.put(SECRETS, token("bbbbbb", clock.time() + 60))
        await harness.until(lambda: signers() == ["aaaaaa", "bbbbbb"])
        api.remove(SECRETS, f"{bootstraptokens.SECRET_NAMESPACE}/{bootstraptokens.SECRET_PREFIX}aaaaaa")
        await harness.until(lambda: signers() == ["bbbbbb"])
        await pass_time(clock, lambda: signers() == [])  # nothing else tells that a token has ended


async def test_tokens_that_have_ended_are_removed(tmp_path: Path) -> None:
    clock = ControlledClock()
    async with memoryapi.serve(tmp_path, clock) as (api, client), Harness(api, client) as harness:

        def left() -> list[str]:
            return sorted(secret["metadata"]["name"][-6:] for secret in api.all(SECRETS))

        for secret in (
            token("aaaaaa"),
            token("bbbbbb", clock.time() - 1),
            token("cccccc", clock.time() + 60),
            token("dddddd", expiration="tomorrow"),
            {**token("eeeeee", clock.time() - 1), "type": "Opaque"},
        ):
            api.put(SECRETS, secret)
        harness.start(TokenCleanerController)
        await harness.until(lambda: left() == ["aaaaaa", "cccccc", "eeeeee"])
        await pass_time(clock, lambda: left() == ["aaaaaa", "eeeeee"])
