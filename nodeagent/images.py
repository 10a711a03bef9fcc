"""Images of containers: pull policy, pulling with backoff and pull secrets, and loading archives for the command line.

    ImagePuller.ensure(...)     called by the worker before a container is made
    load_archive(path, ...)     what `steersman image load` calls

Reasons, texts and events are the original's image manager's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from apimachinery.clock import Clock, RealClock
from apimachinery.field import go_quote
from nodeagent import containerd
from nodeagent.archive import normalise
from nodeagent.backoff import Backoff, draw_duration
from nodeagent.runtime import ImageInfo, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Tell = Callable[[str, str, str], None]
"""(Normal | Warning, reason, message) -> an event about the container."""

_SAY_SOON, _SAY_AGAIN = 1.0, 10.0  # seconds
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG, _DIGEST = r"[\w][\w.-]{0,127}", r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,}"
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::{_TAG})?(?:@{_DIGEST})?\Z")


class ImageError(Exception):
    """An archive that could not be loaded; the text says why."""


class PullFailure(Exception):
    """The image is not there. reason: what the container waits for (ErrImagePull, ...). retry_after: seconds, or None."""

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


def with_tag(image: str) -> str:
    """The reference with :latest where it has neither tag nor digest. ValueError when it is no reference."""
    if not _REFERENCE.match(image):
        if _REFERENCE.match(image.lower()) and image != image.lower():
            raise ValueError(f"invalid reference format: repository name ({_repository(image)}) must be lowercase")
        raise ValueError("invalid reference format")
    last = image.rsplit("/", 1)[-1]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _repository(image: str) -> str:
    name = re.sub(r":[\w][\w.-]{0,127}\Z", "", image)
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return rest
    return name if slash else f"library/{name}"


def registry_of(image: str) -> str:
    """The host of an image's registry, as keys of docker configurations name it."""
    host = normalise(image).split("/", 1)[0]
    return "index.docker.io" if host == "docker.io" else host


def credentials(image: str, pull_secrets: Iterable[Obj]) -> list[dict[str, str]]:
    """What pull secrets have for the image's registry, in their order."""
    wanted, path = registry_of(image), normalise(image).split("/", 1)[1]
    found = []
    for secret in pull_secrets:
        for key, entry in _auths(secret).items():
            host = re.sub(r"^https?://", "", key).rstrip("/")
            host, _, prefix = host.partition("/")
            prefix = "" if prefix in ("v1", "v2", "v1/", "v2/") else prefix
            if host == "docker.io":
                host = "index.docker.io"
            if _host_matches(host, wanted) and path.startswith(prefix):
                found.append(_credential(entry))
    return found


def _auths(secret: Obj) -> Mapping[str, Obj]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {})
        if ".dockercfg" in data:
            return dict(json.loads(base64.b64decode(data[".dockercfg"])))
    except (ValueError, AttributeError) as error:
        log.warning("pull secret %s is malformed: %s", secret["metadata"]["name"], type(error).__name__)
    return {}


def _host_matches(pattern: str, host: str) -> bool:
    """Equal, or part by part with * as in the original's keyring."""
    ours, theirs = pattern.split("."), host.split(".")
    if len(ours) != len(theirs):
        return False
    return all(re.fullmatch(re.escape(a).replace(r"\*", ".*"), b) for a, b in zip(ours, theirs, strict=True))


def _credential(entry: Obj) -> dict[str, str]:
    result = {"username": entry.get("username") or "", "password": entry.get("password") or ""}
    if entry.get("auth") and not result["username"]:
        try:
            name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            result = {"username": name, "password": password}
        except (binascii.Error, UnicodeDecodeError):
            log.warning("a pull secret has a malformed auth entry")
    if entry.get("identitytoken"):
        result["identity_token"] = entry["identitytoken"]
    return result


class ImagePuller:
    """Pulls for all pods of the node, a bounded number at once."""

    def __init__(self, runtime: Runtime, clock: Clock, *, parallel: int) -> None:
        self._runtime = runtime
        self._clock = clock
        self._backoff = Backoff(clock, 10.0, 300.0)
        self._slots = asyncio.Semaphore(parallel)
        self._last_error: dict[tuple[str, str], str] = {}

    async def ensure(
        self, pod: Obj, container: Obj, tell: Tell, *, pull_secrets: list[Obj], sandbox_config: Any
    ) -> ImageInfo:
        """The image, pulled if the policy says so. PullFailure."""
        image = container.get("image") or ""
        quoted = go_quote(image)
        try:
            name = with_tag(image)
        except ValueError as error:
            message = f"Failed to apply default image tag {quoted}: couldn't parse image name {quoted}: {error}"
            tell("Warning", "InspectFailed", message)
            raise PullFailure("InvalidImageName", message) from None
        try:
            present = await self._runtime.image_status(name)
        except RuntimeFailure as error:
            message = f"Failed to inspect image {quoted}: {error}"
            tell("Warning", "InspectFailed", message)
            raise PullFailure("ImageInspectError", message) from None
        policy = container.get("imagePullPolicy") or ("Always" if name.endswith(":latest") else "IfNotPresent")
        if policy != "Always" and present is not None:
            tell(
                "Normal",
                "Pulled",
                f"Container image {quoted} already present on machine and can be accessed by the pod",
            )
            return present
        if policy == "Never":
            message = f"Container image {quoted} is not present with pull policy of Never"
            tell("Warning", "ErrImageNeverPull", message)
            raise PullFailure("ErrImageNeverPull", message)
        return await self._pull(pod, image, name, tell, pull_secrets, sandbox_config)

    async def _pull(
        self, pod: Obj, image: str, name: str, tell: Tell, pull_secrets: list[Obj], sandbox_config: Any
    ) -> ImageInfo:
        quoted = go_quote(image)
        key = (pod["metadata"]["uid"], image)
        left = self._backoff.remaining_since_update(key)
        if left > 0:
            message = f"Back-off pulling image {quoted}"
            tell("Normal", "BackOff", message)
            if key in self._last_error:
                message = f"{message}: ErrImagePull: {self._last_error[key]}"
            raise PullFailure("ImagePullBackOff", message, min(left, _SAY_AGAIN))
        tell("Normal", "Pulling", f"Pulling image {quoted}")
        asked = self._clock.monotonic()
        try:
            async with self._slots:
                started = self._clock.monotonic()
                reference = await self._pull_with(name, credentials(image, pull_secrets), sandbox_config)
        except RuntimeFailure as error:
            # An unknown code says nothing and makes the text harder to read.
            text = error.message if error.code == "Unknown" else str(error)
            tell("Warning", "Failed", f"Failed to pull image {quoted}: {text}")
            self._backoff.failed(key, self._clock.time())
            self._last_error[key] = text
            # Looked at again soon, to say that it waits now; the next try comes when the backoff is over.
            raise PullFailure("ErrImagePull", text, min(_SAY_SOON, self._backoff.delay(key))) from None
        ended = self._clock.monotonic()
        self._backoff.forget(key)
        self._last_error.pop(key, None)
        found = await self._runtime.image_status(reference) or await self._runtime.image_status(name)
        if found is None:
            raise PullFailure("ErrImagePull", f"image {quoted} is not there after it was pulled")
        took, waited = draw_duration(round(ended - started, 3)), draw_duration(round(ended - asked, 3))
        tell(
            "Normal",
            "Pulled",
            f"Successfully pulled image {quoted} in {took} ({waited} including waiting). Image size: {found.size} bytes.",
        )
        return found

    async def _pull_with(self, name: str, known: list[dict[str, str]], sandbox_config: Any) -> str:
        """Try each credential, or none; the last failure is raised."""
        failure: RuntimeFailure | None = None
        for auth in known or [None]:  # type: ignore[list-item]
            try:
                return await self._runtime.pull_image(name, auth, sandbox_config)
            except RuntimeFailure as error:
                failure = error
        assert failure is not None
        raise failure

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._last_error if key[0] == uid]:
            del self._last_error[key]


async def load_archive(
    path: Path, *, root_dir: Path, runtime: str | None = None, clock: Clock | None = None
) -> list[str]:
    """Import an image archive into the runtime of this data directory; the names to use in pods. ImageError.

    runtime: as the flag --runtime; None or auto: the cluster's private containerd if it runs, else a shared one.
    """
    from nodeagent import imageload

    try:
        socket = _socket_to_load(root_dir, runtime or "auto")
        return await imageload.load(socket, str(path), clock=clock or RealClock())
    except (imageload.LoadError, containerd.RuntimeMissing, ValueError) as error:
        raise ImageError(str(error)) from None


def _socket_to_load(root_dir: Path, flag: str) -> str:
    private = containerd.private(root_dir)
    if flag in ("auto", "containerd") and containerd.connectable(private.socket):
        return private.socket
    choice = containerd.discover(flag, root_dir)
    if choice.kind == "simulated":
        raise ImageError("the simulated runtime needs no images: every image is there")
    if choice.kind == "private":
        raise ImageError("the cluster's containerd is not running; start the cluster first (steersman up)")
    return choice.socket
