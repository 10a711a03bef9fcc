"""Tokens of other issuers, against a real issuer over TLS: what they must be, whom they name, and how keys and files are renewed.

The texts of refusals are those that kube-apiserver 1.36.2 gave for the same tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.clock import Clock, ControlledClock, RealClock, settle
from apiserver.authn.base import AuthenticationError
from apiserver.authn.config import Config
from apiserver.authn.metrics import AuthenticationMetrics
from apiserver.authn.oidc import configuration
from apiserver.authn.oidc.reload import JwtAuthenticators
from apiserver.authn.user import User
from tests.support.issuer import Issuer, Key, issuing

DISCOVERY = "/.well-known/openid-configuration"
HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
RICH: dict[str, Any] = {
    "claimValidationRules": [
        {"claim": "hd", "requiredValue": "example.com"},
        {"expression": "!has(claims.bad) || claims.bad != true", "message": "bad is bad"},
        {"expression": "!has(claims.num) || claims.num + 1.0 > 2.0"},
    ],
    "claimMappings": {
        "username": {"expression": "has(claims.uname) ? claims.uname : 'u:' + claims.sub"},
        "groups": {"expression": "claims.?groups.orValue([])"},
        "uid": {"claim": "uid"},
        "extra": [
            {"key": "example.org/team", "valueExpression": "has(claims.team) ? claims.team : ''"},
            {
                "key": "example.org/ns",
                "valueExpression": "has(claims.kubernetes__dot__io) ? claims.kubernetes__dot__io.name__dash__space : []",
            },
        ],
    },
    "userValidationRules": [
        {"expression": "!user.username.startsWith('system:')", "message": "no system users"},
        {"expression": "user.groups.all(g, !g.startsWith('system:'))"},
    ],
}
PLAIN: dict[str, Any] = {
    "claimMappings": {
        "username": {"claim": "email", "prefix": "oidc:"},
        "groups": {"claim": "groups", "prefix": "g:"},
    }
}


def entry(issuer: Issuer, rules: Mapping[str, Any] = PLAIN, **more: Any) -> dict[str, Any]:
    told = {"url": issuer.url, "certificateAuthority": issuer.authority, "audiences": ["client"], **more}
    return {"issuer": told, **rules}


def document(*jwt: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({**HEAD, "jwt": list(jwt), **more})


@asynccontextmanager
async def authenticators(
    config: Config, clock: Clock | None = None, *, wait: bool = True, disallowed: tuple[str, ...] = ()
) -> AsyncIterator[JwtAuthenticators]:
    """The issuers of a configuration, discovered."""
    clock = clock or RealClock()
    found, raw = configuration.load(config)
    made = JwtAuthenticators(
        found,
        raw,
        path=config.authentication_config,
        disallowed=disallowed,
        api_audiences=("api",),
        clock=clock,
        metrics=AuthenticationMetrics(clock, "test"),
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        if wait:
            await asyncio.wait_for(made.initialised.wait(), 10)
        yield made
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Give what the network does its time; the clock stands."""
    async with asyncio.timeout(20):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


async def user_of(made: JwtAuthenticators, token: str) -> User | None:
    response = await made.authenticate_token(token, ())
    return None if response is None else response.user


async def refusal(made: JwtAuthenticators, token: str) -> str:
    with pytest.raises(AuthenticationError) as caught:
        await made.authenticate_token(token, ())
    return str(caught.value)


def write(folder: Path, text: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(text)
    return Config(authentication_config=path)


ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


async def test_every_algorithm(tmp_path: Path) -> None:
    async with (
        issuing(tmp_path, *ALGORITHMS) as issuer,
        authenticators(write(tmp_path, document(entry(issuer)))) as made,
    ):
        for key in issuer.keys:
            assert await user_of(made, issuer.token(key=key, email="j")) == User("oidc:j"), key.algorithm
        assert issuer.fetches["/jwks"] == 1
        assert await user_of(made, issuer.token(iss="https://other.example")) is None


async def test_flags(tmp_path: Path) -> None:
    async with issuing(tmp_path, "RS256", "ES256") as issuer:
        authority = tmp_path / "issuer-ca.pem"
        authority.write_text(issuer.authority)
        config = Config(
            oidc_issuer_url=issuer.url,
            oidc_client_id="client",
            oidc_ca_file=authority,
            oidc_groups_claim="roles",
            oidc_groups_prefix="r:",
            oidc_required_claim={"hd": "x"},
        )
        async with authenticators(config) as made:
            token = issuer.token(roles="a", hd="x")
            assert await user_of(made, token) == User(f"{issuer.url}#jane", groups=("r:a",))
            assert await refusal(made, issuer.token()) == "oidc: required claim hd not present in ID token"
            problem = await refusal(made, issuer.token(key=issuer.keys[1], hd="x"))
            assert problem.endswith('unsupported algorithm, expected ["RS256"] got "ES256"')


RICH_GOOD: list[tuple[dict[str, Any], User]] = [
    ({}, User("u:jane", "U1")),
    ({"uname": "x", "groups": ["a", "", "b"]}, User("x", "U1", ("a", "b"))),
    ({"groups": "one", "team": ["x", ""]}, User("u:jane", "U1", ("one",), {"example.org/team": ("x",)})),
    ({"groups": None, "num": 3, "bad": False}, User("u:jane", "U1")),
    ({"kubernetes.io": {"name-space": "n1"}}, User("u:jane", "U1", (), {"example.org/ns": ("n1",)})),
    ({"jti": "J"}, User("u:jane", "U1", (), {"authentication.kubernetes.io/credential-id": ("JTI=J",)})),
    ({"jti": 5, "aud": ["x", "other"]}, User("u:jane", "U1")),
]
_NUMBER = "oidc: failed to unmarshal claims: json: cannot unmarshal "
RICH_BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"groups": 5},
        "oidc: error evaluating group claim expression: expression must return a string or a list of strings",
    ),
    ({"uname": ""}, "oidc: empty username via CEL expression is not allowed"),
    (
        {"uname": 5},
        "oidc: error evaluating username claim expression: username claim expression must return a string",
    ),
    (
        {"sub": None},
        "oidc: error evaluating username claim expression: expression 'has(claims.uname) ? claims.uname : 'u:' + claims.sub' "
        "resulted in error: no such key: sub",
    ),
    ({"hd": None}, "oidc: required claim hd not present in ID token"),
    ({"hd": "x"}, "oidc: required claim hd value does not match. Got = x, want = example.com"),
    ({"hd": 5}, "oidc: parse claim hd: json: cannot unmarshal number into Go value of type string"),
    ({"uid": None}, 'oidc: parse uid claim "uid": claim not present'),
    (
        {"bad": True},
        "oidc: error evaluating claim validation expression: validation expression '!has(claims.bad) || claims.bad != true' "
        "failed: bad is bad",
    ),
    (
        {"num": 0.5},
        "oidc: error evaluating claim validation expression: validation expression '!has(claims.num) || claims.num + 1.0 > "
        "2.0' failed: ",
    ),
    (
        {"uname": "system:admin"},
        "oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith('system:')' "
        "failed: no system users",
    ),
    (
        {"groups": ["system:masters"]},
        "oidc: error evaluating user info validation rule: validation expression 'user.groups.all(g, "
        "!g.startsWith('system:'))' failed: ",
    ),
    ({"exp": 1000}, "oidc: verify token: oidc: token is expired (Token Expiry: 1970-01-01 00:16:40 +0000 UTC)"),
    ({"exp": None}, "oidc: verify token: oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
    ({"exp": "x"}, f'oidc: verify token: {_NUMBER}string "x" into Go value of type json.Number: invalid syntax'),
    ({"aud": "nope"}, 'oidc: verify token: oidc: expected audience in ["client" "other"] got ["nope"]'),
    ({"aud": None}, 'oidc: verify token: oidc: expected audience in ["client" "other"] got []'),
    ({"aud": 5}, f"oidc: verify token: {_NUMBER}number into Go value of type []string"),
    ({"aud": [5]}, f"oidc: verify token: {_NUMBER}number into .0 of type string"),
    ({"sub": 5}, f"oidc: verify token: {_NUMBER}number into Go struct field idToken.sub of type string"),
    ({"_claim_names": {"groups": "s"}}, "oidc: verify token: oidc: source does not exist"),
]


async def test_rules_and_mappings_by_expression(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        told = entry(issuer, RICH, audiences=["client", "other"], audienceMatchPolicy="MatchAny")
        async with authenticators(write(tmp_path, document(told))) as made:
            base: dict[str, Any] = {"hd": "example.com", "uid": "U1"}
            for claims, user in RICH_GOOD:
                assert await user_of(made, issuer.token(**{**base, **claims})) == user
            for claims, text in RICH_BAD:
                assert await refusal(made, issuer.token(**{**base, **claims})) == text
            late = await refusal(made, issuer.token(**base, nbf=time.time() + 1000))
            assert "before the nbf (not before) time" in late
            assert await user_of(made, issuer.token(**base, nbf=time.time() + 30)) is not None


async def test_mappings_by_claim(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer, authenticators(write(tmp_path, document(entry(issuer)))) as made:
        token = issuer.token
        assert await user_of(made, token(email="e", email_verified=True, groups=["a"])) == User(
            "oidc:e", groups=("g:a",)
        )
        assert await user_of(made, token(email="e", groups="one")) == User("oidc:e", groups=("g:one",))
        assert await refusal(made, token(email="e", email_verified=False)) == "oidc: email not verified"
        wrong = "json: cannot unmarshal string into Go value of type bool"
        assert (
            await refusal(made, token(email="e", email_verified="yes"))
            == f"oidc: parse 'email_verified' claim: {wrong}"
        )
        assert await refusal(made, token()) == 'oidc: parse username claims "email": claim not present'
        wrong = "json: cannot unmarshal array into Go value of type string"
        assert await refusal(made, token(email="e", groups=["a", 5])) == f'oidc: parse groups claim "groups": {wrong}'
        single = 'oidc: verify token: oidc: expected audience "client" got ["x"]'
        assert await refusal(made, token(email="e", aud=["x"])) == single


async def test_signatures(tmp_path: Path) -> None:
    """Whatever a header says, only a key of the issuer, used as it is meant, makes a token good."""
    async with (
        issuing(tmp_path, "ES256", "RS256") as issuer,
        authenticators(write(tmp_path, document(entry(issuer)))) as made,
    ):
        good = issuer.token(email="e")
        assert await user_of(made, issuer.token(email="e", header={"kid": ""})) == User("oidc:e")
        verify = "oidc: verify token: failed to verify signature: failed to verify id token signature"
        stranger = Key.make("k0")
        for token in (
            issuer.token(email="e", key=stranger),
            issuer.token(email="e", header={"kid": "unknown"}),
            issuer.token(email="e", header={"alg": "RS256"}),
            issuer.token(email="e", header={"crit": ["x"]}),
            good[:-4] + "AAAA",
        ):
            assert await refusal(made, token) == verify
        for algorithm in ("none", "HS256", ""):
            problem = await refusal(made, issuer.token(email="e", header={"alg": algorithm}))
            assert problem.endswith(f'got "{algorithm}"')
        illegal = "oidc: verify token: oidc: malformed jwt: illegal base64 data at input byte "
        assert await refusal(made, good[:-4] + "!!!!") == illegal + "82"
        assert await refusal(made, "!!" + good) == illegal + "0"


async def test_keys_are_renewed_but_not_for_anybody(tmp_path: Path) -> None:
    clock = ControlledClock(time.time())
    async with issuing(tmp_path) as issuer, authenticators(write(tmp_path, document(entry(issuer))), clock) as made:
        old = issuer.token(email="e")
        assert await user_of(made, old) == User("oidc:e")
        issuer.rotate()
        assert await user_of(made, issuer.token(email="e")) == User("oidc:e")
        assert issuer.fetches["/jwks"] == 2
        assert "failed to verify" in await refusal(made, old)
        for _ in range(30):
            await refusal(made, issuer.token(email="e", header={"kid": "made-up"}))
        assert issuer.fetches["/jwks"] == 10  # as many as the bucket holds
        await clock.advance(2)
        await refusal(made, issuer.token(email="e", header={"kid": "made-up"}))
        assert issuer.fetches["/jwks"] == 11


async def test_one_fetch_for_all_who_need_it(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer, authenticators(write(tmp_path, document(entry(issuer)))) as made:
        tokens = [issuer.token(email=f"e{at}") for at in range(20)]
        users = await asyncio.gather(*(user_of(made, token) for token in tokens))
        assert [user.name for user in users if user] == [f"oidc:e{at}" for at in range(20)]
        assert issuer.fetches["/jwks"] == 1


async def test_keys_live_as_long_as_the_issuer_says(tmp_path: Path) -> None:
    clock = ControlledClock(time.time())
    async with issuing(tmp_path) as issuer, authenticators(write(tmp_path, document(entry(issuer))), clock) as made:
        issuer.headers = {"Cache-Control": "max-age=600"}
        old, stale = issuer.token(email="e"), issuer.token(email="e", exp=time.time() + 10_000)
        assert await user_of(made, old) == User("oidc:e")
        issuer.rotate()
        assert "failed to verify" in await refusal(made, issuer.token(email="e"))
        assert issuer.fetches["/jwks"] == 1
        await clock.advance(571)
        assert await user_of(made, issuer.token(email="e")) == User("oidc:e")
        assert "failed to verify" in await refusal(made, stale)


async def test_an_issuer_that_cannot_be_reached_yet(tmp_path: Path) -> None:
    clock = ControlledClock(time.time())
    async with issuing(tmp_path) as issuer:
        issuer.status = 503
        async with authenticators(write(tmp_path, document(entry(issuer))), clock, wait=False) as made:
            await until(lambda: "not healthy" in made._issuers.problem)
            assert await refusal(made, issuer.token(email="e")) == "oidc: authenticator not initialized"
            issuer.status = 200
            await clock.advance(10)
            await asyncio.wait_for(made.initialised.wait(), 10)
            assert await user_of(made, issuer.token(email="e")) == User("oidc:e")


async def test_discovery_elsewhere_and_a_wrong_issuer(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        told = entry(
            issuer, discoveryURL=f"{issuer.url}/elsewhere/.well-known/openid-configuration", url="https://named.example"
        )
        issuer.document = {"issuer": "https://named.example"}
        async with authenticators(write(tmp_path, document(told))) as made:
            assert await user_of(made, issuer.token(iss="https://named.example", email="e")) == User("oidc:e")
        assert issuer.fetches == {"/elsewhere/.well-known/openid-configuration": 1, "/jwks": 1}


# -- distributed claims


def sources(issuer: Issuer, name: str, token: str = "claims-secret") -> dict[str, Any]:
    endpoint = {"endpoint": f"{issuer.url}/claims/{name}", "access_token": token}
    return {"_claim_names": {"groups": "s"}, "_claim_sources": {"s": endpoint}, "email": "e"}


async def test_distributed_claims(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer, authenticators(write(tmp_path, document(entry(issuer)))) as made:
        issuer.claims = {
            "good": issuer.token(groups=["dist"]),
            "none": issuer.token(),
            "junk": "junk",
            "old": issuer.token(groups=["x"], exp=1000),
        }
        not_yet = await refusal(made, issuer.token(**sources(issuer, "good")))
        assert not_yet.endswith(f'failed: verifier not initialized for issuer: "{issuer.url}"')
        while "not initialized" in not_yet:
            await asyncio.sleep(0)
            try:
                found = await user_of(made, issuer.token(**sources(issuer, "good")))
                break
            except AuthenticationError as error:
                not_yet = str(error)
        assert found == User("oidc:e", groups=("g:dist",))
        words = "oidc: could not expand distributed claims: "
        where = f"{issuer.url}/claims"
        for told, text in (
            (
                sources(issuer, "none"),
                f'jwt returned by distributed claim endpoint "{where}/none" did not contain claim: groups',
            ),
            (
                sources(issuer, "junk"),
                f'getting untrusted issuer from endpoint {where}/junk failed for claim "groups": malformed token',
            ),
            (
                sources(issuer, "old"),
                "verify distributed claim token: oidc: token is expired (Token Expiry: 1970-01-01 00:16:40 +0000 UTC)",
            ),
            (
                sources(issuer, "good", "wrong"),
                'while getting distributed claim "groups": error while getting distributed claim JWT: 404 Not Found',
            ),
        ):
            assert await refusal(made, issuer.token(**told)) == words + text
        here = {**sources(issuer, "good"), "groups": ["here"]}
        assert await user_of(made, issuer.token(**here)) == User("oidc:e", groups=("g:here",))


# -- the file changes


async def test_a_changed_file_is_taken_and_a_bad_one_is_not(tmp_path: Path) -> None:
    clock = ControlledClock(time.time())
    (tmp_path / "two").mkdir()
    async with issuing(tmp_path) as issuer, issuing(tmp_path / "two") as other:
        config = write(tmp_path, document(entry(issuer), anonymous={"enabled": True}))
        async with authenticators(config, clock) as made:
            metrics = made._metrics
            taken = asyncio.Event()
            made.changed = taken.set

            async def replace(text: str, *, seconds: float = 0) -> None:
                """seconds: for which it is tried to make use of it."""
                before = dict(metrics.reloads.values)
                write(tmp_path, text)
                await clock.advance(1)
                if seconds:
                    await until(lambda: other.fetches.get(DISCOVERY, 0) > 0)
                    await clock.advance(seconds)
                await until(lambda: metrics.reloads.values != before)
                await settle()

            assert await user_of(made, other.token(email="e")) is None
            for bad in (
                "not: [yaml",
                document({}, anonymous={"enabled": True}),
                document(entry(issuer), entry(other)),  # without the anonymous section
            ):
                await replace(bad)
                assert await user_of(made, other.token(email="e")) is None
                assert await user_of(made, issuer.token(email="e")) == User("oidc:e")
            assert list(metrics.reloads.values.values()) == [3]
            other.status = 500
            await replace(document(entry(issuer), entry(other), anonymous={"enabled": True}), seconds=60)
            assert await user_of(made, issuer.token(email="e")) == User("oidc:e")
            assert not taken.is_set()
            other.status = 200
            await clock.advance(60)  # it is tried again, as the issuer may come back
            await asyncio.wait_for(taken.wait(), 10)
            await settle()
            assert await user_of(made, other.token(email="e")) == User("oidc:e")
            await replace(document(entry(other), anonymous={"enabled": True}))
            assert await user_of(made, issuer.token(email="e")) is None
            status = {labels[0]: count for labels, count in metrics.reloads.values.items()}
            assert status == {"failure": 4, "success": 2}
            assert metrics.config_info.values.keys() == {(metrics.identity, metrics_hash(tmp_path))}
            await clock.advance(61)
            assert {labels[0] for labels in metrics.jwks_info.values} == {issuer_hash(other)}


def metrics_hash(folder: Path) -> str:
    from apiserver.authn.metrics import sha256

    return sha256((folder / "config.yaml").read_bytes())


def issuer_hash(issuer: Issuer) -> str:
    from apiserver.authn.metrics import sha256

    return sha256(issuer.url)
