from typing import Any

from apimachinery import times
from apimachinery.clock import ControlledClock
from client.resources import CONFIG_MAPS, SERVICE_ACCOUNTS
from controllers.credentials import ServiceAccountToken
from tests.controllers.harness import Harness

Obj = dict[str, Any]


async def test_a_controllers_account_is_made_and_its_token_renewed(harness: Harness) -> None:
    clock = ControlledClock()
    given: list[str] = []

    def answer(name: str, body: Obj) -> Obj:
        given.append(f"token-{len(given)}")
        harness.api.tokens = {"memory-token", given[-1]}
        expires = clock.time() + body["spec"]["expirationSeconds"]
        return {"token": given[-1], "expirationTimestamp": times.format_time(expires)}

    harness.api.answers[("", "serviceaccounts/token")] = answer
    source = ServiceAccountToken(harness.client, "job-controller", clock)
    client = harness.client.acting_as(source)
    assert (await client.list(CONFIG_MAPS))["items"] == []
    assert harness.get(SERVICE_ACCOUNTS, "job-controller", "kube-system") is not None
    await client.list(CONFIG_MAPS)
    assert given == ["token-0"]
    await clock.advance(3600 * 0.8)
    await client.list(CONFIG_MAPS)
    assert given == ["token-0", "token-1"]
    harness.api.tokens = {"memory-token"}  # the signing key was replaced: the token is refused before its time
    await client.list(CONFIG_MAPS)
    assert given[-1] == "token-2"
