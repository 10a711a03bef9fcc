"""As whom webhooks are called: the users of the kubeconfig that the webhook plugins' configuration names.

A user is called like the server it is for: "name.namespace.svc:443", "host:port" (":443" may be left out), with "*." for one or
more leading labels, or "*" for all; otherwise the current context's user is meant. Without any, calls are anonymous.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apimachinery.filewatch import Followed
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, file_error, parse_object
from client import kubeconfig

_TYPES: Types = {
    "WebhookAdmission": {"kubeConfigFile": ["s", "string"], "staticManifestsDir": ["s", "string"]},
}
_ENTRY = Entry("WebhookAdmission", "")
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/admission/plugin/webhook/config/kubeconfig.go:34",
    _TYPES,
    {
        ("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"): _ENTRY,
        ("apiserver.config.k8s.io/v1alpha1", "WebhookAdmissionConfiguration"): _ENTRY,
    },
)
_KUBECONFIG = "k8s.io/client-go/tools/clientcmd/api/latest/latest.go:50"
_HTTPS = ":443"


@dataclass(frozen=True, slots=True)
class Identity:
    """name: of the user, by which it is told apart."""

    name: str
    token: str = ""
    token_file: Path | None = None
    basic: str = ""
    certificate: bytes = b""
    key: bytes = b""

    async def headers(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.token_file is not None:
            token = await asyncio.to_thread(self.token_file.read_text)
            return {"Authorization": f"Bearer {token.strip()}"}
        return {"Authorization": f"Basic {self.basic}"} if self.basic else {}

    def equip(self, context: ssl.SSLContext) -> None:
        """Give the context the client certificate. ssl.SSLError when it and its key are no pair."""
        if self.certificate:
            kubeconfig.show(context, self.certificate, self.key)


@dataclass(frozen=True, slots=True)
class Identities:
    """files: those that say so."""

    users: Mapping[str, Identity]
    current: str = ""
    files: Sequence[Path] = ()

    def of(self, target: str) -> Identity | None:
        """Whom to be towards "host:port"; without a port it is that of HTTPS."""
        if ":" not in target.rpartition("]")[2]:
            target += _HTTPS
        names = list(_names(target))
        if target.endswith(_HTTPS):
            names += _names(target.removesuffix(_HTTPS))
        for name in (*names, "*", self.current):
            if name and name in self.users:
                return self.users[name]
        return None


def _names(target: str) -> Iterator[str]:
    yield target
    steps = target.split(".")
    for position in range(1, len(steps)):
        yield "*." + ".".join(steps[position:])


def load(raw: bytes | None) -> Identities | None:
    """What a plugin's configuration says. ConfigError."""
    if raw is None:
        return None
    stated = _SCHEME.read(raw).obj
    file = stated.get("kubeConfigFile") or ""
    if file and not file.startswith("/"):
        raise ConfigError(str(field.invalid("kubeConfigFile", file, "must be an absolute file path")))
    if stated.get("staticManifestsDir"):
        text = "staticManifestsDir requires the ManifestBasedAdmissionControlConfig feature gate to be enabled"
        raise ConfigError(str(field.forbidden("staticManifestsDir", text)))
    return _read(Path(file)) if file else None


def followed(raw: bytes | None, clock: Clock) -> Followed[Identities] | None:
    """As load(), and what the kubeconfig and the certificates it names hold later. ConfigError."""
    if load(raw) is None:
        return None

    def current() -> tuple[Identities, Sequence[Path]]:
        found = load(raw) or Identities({})
        for identity in found.users.values():
            try:
                identity.equip(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            except ssl.SSLError as error:
                raise ConfigError(f"the certificate of user {go_quote(identity.name)}: {error}") from None
        return found, found.files

    return Followed(clock, current)


def _read(path: Path) -> Identities:
    try:
        path.stat()
        document = parse_object(path.read_bytes()).obj
        version, kind = document.get("apiVersion") or "v1", document.get("kind") or "Config"
        if (version, kind) != ("v1", "Config"):
            text = f"no kind {go_quote(str(kind))} is registered for version {go_quote(str(version))}"
            raise ConfigError(f"{text} in scheme {go_quote(_KUBECONFIG)}")
        users = {str(entry.get("name")): entry.get("user") or {} for entry in document.get("users") or ()}
        found = {name: _identity(name, user, path.parent) for name, user in users.items()}
        contexts = {entry.get("name"): entry.get("context") or {} for entry in document.get("contexts") or ()}
    except OSError as error:
        raise ConfigError(file_error(error, "stat")) from None
    except (ConfigError, AttributeError) as error:
        raise ConfigError(f'error loading config file "{path}": {error}') from None
    current = contexts.get(document.get("current-context")) or {}
    names = [user[name] for user in users.values() for name in ("client-certificate", "client-key") if user.get(name)]
    files = [path, *dict.fromkeys(path.parent / str(name) for name in names)]
    return Identities(found, str(current.get("user") or ""), files)


def _identity(name: str, user: Mapping[str, Any], base: Path) -> Identity:
    if "exec" in user or "auth-provider" in user:
        raise ConfigError("exec plugins and auth providers are not supported")
    basic = f"{user.get('username') or ''}:{user.get('password') or ''}".encode()
    token_file = user.get("tokenFile")
    return Identity(
        name,
        token=str(user.get("token") or ""),
        token_file=base / str(token_file) if token_file else None,
        basic=base64.b64encode(basic).decode() if basic != b":" else "",
        certificate=_material(user, "client-certificate", base),
        key=_material(user, "client-key", base),
    )


def _material(user: Mapping[str, Any], name: str, base: Path) -> bytes:
    data = user.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{name}-data: {error}") from None
    return (base / str(user[name])).read_bytes() if user.get(name) else b""
