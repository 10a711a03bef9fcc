"""Reading a kubeconfig: where the server is and who we are to it.

Called by client/api.py only. Understands what components need: CA, client certificates and keys as data or files,
tokens and token files. It refuses plain HTTP, exec plugins and auth providers, and says so.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the text says which file and why."""

    plain = True  # users need no traceback


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach a server. PEM bytes are None where the kubeconfig has none.

    server: URL without trailing slash. token: a fixed bearer token. token_file: read again as it is rotated.
    """

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    token_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    namespace: str = "default"

    def of_nobody(self) -> Credentials:
        """The same server, without credentials: for clients that bring their own tokens, which a certificate would outdo."""
        return replace(self, certificate=None, key=None, token=None, token_file=None)

    def ssl_context(self) -> ssl.SSLContext:
        """A client context. ssl.SSLError when the certificate and the key are no pair."""
        context = ssl.create_default_context(cadata=self.ca.decode("ascii") if self.ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            show(context, self.certificate, self.key)
        return context


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Let the context show a certificate (PEM): through a private temporary file, the only way Python's ssl offers."""
    descriptor, path = tempfile.mkstemp(prefix="steersman-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)


def load(path: str | Path, context: str | None = None) -> Credentials:
    """The credentials of a context (default: the current one) in that file. KubeconfigError."""
    path = Path(path)
    config = _read(path)
    try:
        return parse(config, base=path.parent, context=context)
    except KubeconfigError as error:
        raise KubeconfigError(f"{path}: {error}") from error


def files(path: str | Path) -> list[Path]:
    """The file and those with certificates and keys that it names: what changes when somebody renews them. KubeconfigError."""
    path = Path(path)
    config = _read(path)
    sections = [entry.get("cluster") or {} for entry in config.get("clusters") or ()]
    sections += [entry.get("user") or {} for entry in config.get("users") or ()]
    names = ("certificate-authority", "client-certificate", "client-key")
    named = [path.parent / str(section[name]) for section in sections for name in names if section.get(name)]
    return [path, *dict.fromkeys(named)]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise KubeconfigError(
            f"{path}: {_fault(error)}"
        ) from None  # the error itself quotes the file, with its secrets
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path}: not a kubeconfig")
    return config


def _fault(error: Exception) -> str:
    """What is wrong with YAML, and where, without a word of what stands there."""
    mark = getattr(error, "problem_mark", None)
    return "not YAML" + (f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "")


def parse(config: Mapping[str, Any], *, base: Path, context: str | None = None) -> Credentials:
    """As load(), from the parsed document; relative file names start at `base`."""
    if not any(config.get(name) for name in ("contexts", "clusters", "users")):
        raise KubeconfigError("no configuration has been provided, try setting KUBERNETES_MASTER environment variable")
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", chosen.get("cluster", ""))
    user = _named(config, "users", "user", chosen["user"]) if chosen.get("user") else {}
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith("https://"):
        raise KubeconfigError(f"server {server!r} is not an https:// URL")
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError("exec plugins and auth providers are not supported")
    token_file = user.get("tokenFile")
    return Credentials(
        server=server,
        ca=_material(cluster, "certificate-authority", base, str(chosen.get("cluster", ""))),
        certificate=_material(user, "client-certificate", base, str(chosen.get("user", ""))),
        key=_material(user, "client-key", base, str(chosen.get("user", ""))),
        token=user.get("token"),
        token_file=str(base / token_file) if token_file else None,
        verify=not cluster.get("insecure-skip-tls-verify", False),
        server_name=cluster.get("tls-server-name"),
        namespace=chosen.get("namespace") or "default",
    )


def _named(config: Mapping[str, Any], plural: str, singular: str, name: str) -> dict[str, Any]:
    for entry in config.get(plural) or ():
        if entry.get("name") == name:
            return dict(entry.get(singular) or {})
    raise KubeconfigError(f"no {singular} named {name!r}")


def _material(section: Mapping[str, Any], name: str, base: Path, owner: str) -> bytes | None:
    """PEM bytes given as base64 data or as a file; data wins, as in client-go."""
    if data := section.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{name}-data: {error}") from error
    if file := section.get(name):
        try:
            return (base / str(file)).read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            path = base / str(file)
            raise KubeconfigError(f"unable to read {name} {path} for {owner} due to open {path}: {reason}") from error
    return None
