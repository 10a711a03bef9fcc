"""`steersman token create|list|delete|generate`: bootstrap tokens, with which other machines join as nodes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apimachinery import bootstraptokens, times
from apimachinery.clock import RealClock
from apimachinery.errors import ApiError
from steersman import __version__, options
from steersman.commands import CommandError, existing_data_dir
from steersman.options import OptionError
from steersman.paths import DataDir

Obj = dict[str, Any]
T = TypeVar("T")

USAGE = """steersman token create [TOKEN]    make a bootstrap token (a random one, unless given) and print it
steersman token list              those that there are
steersman token delete TOKEN|ID…  end them before their time
steersman token generate          print a random token that the cluster does not know
"""


@dataclass(frozen=True, slots=True)
class TokenConfig:
    data_dir: Path | None = None
    # The cluster's data directory.
    ttl: float = 86_400.0
    # How long the token is good; 0 for ever.
    usages: Sequence[str] = bootstraptokens.USAGES
    # What it is good for: signing (a machine can tell that this is the cluster), authentication (it may ask to join).
    groups: Sequence[str] = ("system:bootstrappers:steersman:default-node-token",)
    # Groups that its bearer belongs to besides system:bootstrappers.
    description: str = ""
    # What it is for, in your words.
    print_join_command: bool = False
    # Print the whole command with which another machine joins, instead of the token alone.


def token(arguments: Sequence[str]) -> int:
    """Carry out the command. OptionError, CommandError."""
    values, positional = options.parse_flags(arguments, options.options_of(TokenConfig))
    told: TokenConfig = options.fill(TokenConfig, values)
    word, *rest = positional or [""]
    if word == "generate" and not rest:
        sys.stdout.write(bootstraptokens.generate() + "\n")
    elif word == "create" and len(rest) <= 1:
        _create(told, rest[0] if rest else bootstraptokens.generate())
    elif word == "list" and not rest:
        _list(told)
    elif word == "delete" and rest:
        _delete(told, rest)
    else:
        raise OptionError("usage:\n" + USAGE.rstrip())
    return 0


def _create(told: TokenConfig, text: str) -> None:
    from client.resources import SECRETS
    from steersman import joining

    data = existing_data_dir(told.data_dir)
    secret = secret_of(text, told, RealClock().time())
    server, ca = _advertised(data), (data.pki / "ca.crt").read_bytes()

    async def work(client: Any) -> None:
        await joining.ensure(client, server, ca)
        await client.create(SECRETS, secret)

    _with_client(data, work)
    if not told.print_join_command:
        sys.stdout.write(text + "\n")
        return
    hashes = ",".join(ca_hashes(ca))
    sys.stdout.write(f"steersman nodeagent --join={server} --token={text} --discovery-token-ca-cert-hash={hashes}\n")


def secret_of(text: str, told: TokenConfig, now: float) -> Obj:
    """The Secret of a token. OptionError for what it may not be."""
    parts = bootstraptokens.split(text)
    if parts is None:
        raise OptionError("a token is six characters, a dot and sixteen, all of them of a-z and 0-9")
    unknown = [usage for usage in told.usages if usage not in bootstraptokens.USAGES]
    if unknown:
        raise OptionError(f"--usages: {unknown[0]!r} is not one of {', '.join(bootstraptokens.USAGES)}")
    bad = [group for group in told.groups if not bootstraptokens.is_group(group)]
    if bad:
        raise OptionError(f"--groups: {bad[0]!r} does not begin with {bootstraptokens.DEFAULT_GROUP}:")
    data = {"token-id": parts[0], "token-secret": parts[1]}
    if told.description:
        data["description"] = told.description
    if told.ttl:
        data["expiration"] = times.format_time(now + told.ttl)
    data |= {f"usage-bootstrap-{usage}": "true" for usage in told.usages}
    if told.groups and "authentication" in told.usages:
        data["auth-extra-groups"] = ",".join(told.groups)
    metadata = {"name": bootstraptokens.SECRET_PREFIX + parts[0], "namespace": bootstraptokens.SECRET_NAMESPACE}
    return {"metadata": metadata, "type": bootstraptokens.SECRET_TYPE, "stringData": data}


def ca_hashes(bundle: bytes) -> list[str]:
    """sha256:<hex> of the public key of each certificate (RFC 7469), as kubeadm pins them."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    keys = (certificate.public_key() for certificate in x509.load_pem_x509_certificates(bundle))
    infos = (key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys)
    return ["sha256:" + hashlib.sha256(info).hexdigest() for info in infos]


def _list(told: TokenConfig) -> None:
    secrets = _with_client(existing_data_dir(told.data_dir), _tokens)
    now = RealClock().time()
    rows: list[tuple[str, ...]] = [("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS")]
    rows += [_row(bootstraptokens.texts(secret), now) for secret in secrets]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


async def _tokens(client: Any) -> list[Obj]:
    from client.resources import SECRETS

    selector = f"type={bootstraptokens.SECRET_TYPE}"
    found: list[Obj] = await client.list_all(SECRETS, bootstraptokens.SECRET_NAMESPACE, field_selector=selector)
    return found


def _row(data: dict[str, str], now: float) -> tuple[str, ...]:
    end = bootstraptokens.expires_at(data)
    left = "<forever>" if end is None else times.human_duration(end - now) if end > now else "<expired>"
    usages = ",".join(usage for usage in bootstraptokens.USAGES if data.get(f"usage-bootstrap-{usage}") == "true")
    return (
        f"{data.get('token-id', '')}.{data.get('token-secret', '')}",
        left,
        data.get("expiration") or "<never>",
        usages or "<none>",
        data.get("description") or "<none>",
        data.get("auth-extra-groups") or "<none>",
    )


def _delete(told: TokenConfig, texts: Sequence[str]) -> None:
    from client.resources import SECRETS

    ids = []
    for text in texts:
        parts = bootstraptokens.split(text)
        if parts is None and not bootstraptokens.is_id(text):
            raise OptionError("name a token by its first six characters, or whole")
        ids.append(parts[0] if parts else text)

    async def work(client: Any) -> None:
        for token_id in ids:
            name = bootstraptokens.SECRET_PREFIX + token_id
            await client.delete(SECRETS, name, bootstraptokens.SECRET_NAMESPACE)

    _with_client(existing_data_dir(told.data_dir), work)
    for token_id in ids:
        sys.stdout.write(f"bootstrap token {token_id!r} deleted\n")


def _advertised(data: DataDir) -> str:
    """The API server's URL for other machines."""
    server = data.read_state().get("advertised")
    if not server:
        raise CommandError(f"the cluster in {data.root} does not run; `steersman up` starts it")
    return str(server)


def _with_client(data: DataDir, work: Callable[[Any], Awaitable[T]]) -> T:
    """Do something as the administrator."""
    from client.api import Client, Unreachable

    async def connected() -> T:
        agent = f"steersman/{__version__}"
        async with Client.from_kubeconfig(data.admin_kubeconfig, clock=RealClock(), user_agent=agent) as client:
            return await work(client)

    if not os.access(data.admin_kubeconfig, os.R_OK):
        raise CommandError(f"{data.admin_kubeconfig} cannot be read; run this as the cluster's owner")
    try:
        return asyncio.run(connected())
    except (ApiError, Unreachable, TimeoutError) as error:
        raise CommandError(str(error) or "the API server does not answer") from error
