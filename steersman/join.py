"""`steersman nodeagent --join URL`: how a machine learns to trust a cluster from a token and a CA hash alone.

kubeadm's discovery. The ConfigMap kube-public/cluster-info is read from a server that is not trusted yet; its kubeconfig must be
signed with the token, the CA in it must have the pinned public key, and the same ConfigMap must come again from a
server with a certificate of that CA. What is learned is written to the data directory as a bootstrap kubeconfig with the
token, with which the node agent then asks for a certificate of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from apimachinery import bootstraptokens
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client.api import Client, Unreachable
from client.kubeconfig import Credentials
from client.resources import CONFIG_MAPS
from steersman import __version__
from steersman.commands import CommandError
from steersman.options import OptionError
from steersman.paths import DataDir, write_private
from steersman.tokens import ca_hashes

log = logging.getLogger(__name__)

PATIENCE = 300.0  # seconds that the cluster is waited for; kubeadm's
_AGAIN = 5.0


class JoinError(CommandError):
    """The cluster cannot be joined, or not be trusted; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """A cluster that the token and the hashes vouch for: URL and CA bundle."""

    server: str
    ca: bytes


def join(data: DataDir, server: str, token: str, hashes: Sequence[str], clock: Clock) -> bool:
    """Prepare the data directory to be a node of that cluster; False when it is one already. JoinError, OptionError."""
    if (data.kubeconfigs / "nodeagent.yaml").exists():
        if not data.bootstrap_kubeconfig.exists():
            raise JoinError(
                f"{data.root} holds a cluster of its own; a node that joins another one wants its own --data-dir"
            )
        return False
    parts = bootstraptokens.split(token)
    if parts is None:
        raise OptionError("--token: a token is six characters, a dot and sixteen, all of them of a-z and 0-9")
    pins = checked_hashes(hashes)
    if not server.startswith("https://"):
        server = f"https://{server}"
    found = asyncio.run(discover(server.rstrip("/"), parts, pins, clock))
    write_private(data.pki / "ca.crt", found.ca, 0o644)
    write_private(data.bootstrap_kubeconfig, bootstrap_kubeconfig(found, token))
    return True


def checked_hashes(hashes: Sequence[str]) -> list[str]:
    """The hashes, in lower case. OptionError without any: without one, a stranger who saw the token could be the cluster."""
    if not hashes:
        raise OptionError("--join needs --discovery-token-ca-cert-hash (`steersman token create --print-join-command`)")
    for text in hashes:
        kind, _, digits = text.partition(":")
        if kind != "sha256" or len(digits) != 64 or set(digits.lower()) - set("0123456789abcdef"):
            raise OptionError(f"--discovery-token-ca-cert-hash: {text!r} is not sha256:<64 hexadecimal digits>")
    return [text.lower() for text in hashes]


async def discover(server: str, token: tuple[str, str], pins: Sequence[str], clock: Clock) -> Discovered:
    """What cluster-info says, once it is proved. JoinError."""
    signed = await _cluster_info(Credentials(server=server, verify=False), token[0], clock)
    content = signed.get(bootstraptokens.KUBECONFIG_KEY, "")
    signature = signed[bootstraptokens.SIGNATURE_PREFIX + token[0]]
    if not bootstraptokens.is_signed(content, signature, *token):
        raise JoinError(f"the cluster at {server} does not know this token: its cluster-info is not signed with it")
    found = _parsed(content)
    if not any(hmac.compare_digest(have, pin) for have in _hashes(found.ca) for pin in pins):
        raise JoinError(
            f"the CA of the cluster at {server} has none of the public keys that were pinned; do not trust it"
        )
    again = await _cluster_info(Credentials(server=server, ca=found.ca), token[0], clock)
    if again.get(bootstraptokens.KUBECONFIG_KEY) != content:
        raise JoinError(f"the cluster-info of {server} changed between two reads; try again")
    return found


async def _cluster_info(credentials: Credentials, token_id: str, clock: Clock) -> dict[str, str]:
    """cluster-info's data, once it is signed with the token."""
    deadline = clock.monotonic() + PATIENCE
    key = bootstraptokens.SIGNATURE_PREFIX + token_id
    problem = ""
    while clock.monotonic() < deadline:
        try:
            async with Client(credentials, clock=clock, user_agent=f"steersman/{__version__}") as client:
                info = await client.get(
                    CONFIG_MAPS, bootstraptokens.CLUSTER_INFO, bootstraptokens.CLUSTER_INFO_NAMESPACE
                )
            data: dict[str, str] = info.get("data") or {}
            if key in data:
                return data
            problem = "its cluster-info is not signed with this token; has it expired?"
        except (ApiError, Unreachable, TimeoutError) as error:
            problem = str(error) or "it does not answer"
        log.warning("waiting for %s: %s", credentials.server, problem)
        await clock.sleep(_AGAIN)
    raise JoinError(f"{credentials.server} cannot be joined: {problem}")


def _parsed(content: str) -> Discovered:
    try:
        cluster: dict[str, Any] = yaml.safe_load(content)["clusters"][0]["cluster"]
        return Discovered(str(cluster["server"]), base64.b64decode(cluster["certificate-authority-data"]))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError) as error:
        raise JoinError(f"the kubeconfig in cluster-info cannot be read: {error}") from error


def _hashes(ca: bytes) -> list[str]:
    try:
        return ca_hashes(ca)
    except ValueError as error:
        raise JoinError(f"the CA in cluster-info cannot be read: {error}") from error


def bootstrap_kubeconfig(found: Discovered, token: str) -> str:
    """A kubeconfig whose user is the token."""
    cluster = {"server": found.server, "certificate-authority-data": base64.b64encode(found.ca).decode()}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default", "cluster": cluster}],
            "users": [{"name": "bootstrap", "user": {"token": token}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "bootstrap"}}],
            "current-context": "default",
        },
        sort_keys=False,
    )
