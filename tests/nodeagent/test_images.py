"""Images: references, pull secrets, pull policy and its texts, archives, the built-in sandbox image."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from nodeagent import archive, images, pause
from nodeagent.images import ImagePuller, PullFailure
from nodeagent.runtime import ImageInfo, RuntimeFailure
from nodeagent.simulated import SimulatedRuntime
from tests.nodeagent.pods import container, pod

Obj = dict[str, Any]


def test_references_get_a_tag() -> None:
    assert images.with_tag("busybox") == "busybox:latest"
    assert images.with_tag("reg.example:5000/a/b:1") == "reg.example:5000/a/b:1"
    digest = "a@sha256:" + "0" * 64
    assert images.with_tag(digest) == digest
    with pytest.raises(ValueError, match=r"repository name \(library/BAD\) must be lowercase"):
        images.with_tag("BAD")
    with pytest.raises(ValueError, match="invalid reference format"):
        images.with_tag("a b")


def test_names_are_completed() -> None:
    assert archive.normalise("busybox") == "docker.io/library/busybox:latest"
    assert archive.normalise("user/app:2") == "docker.io/user/app:2"
    assert archive.normalise("localhost:5000/app") == "localhost:5000/app:latest"


def test_pull_secrets_are_chosen_by_registry() -> None:
    auth = base64.b64encode(b"me:secret").decode()
    auths = {"https://index.docker.io/v1/": {"auth": auth}, "*.example.com/team": {"username": "u", "password": "p"}}
    secret = {
        "metadata": {"name": "s"},
        "data": {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()},
    }
    assert images.credentials("busybox", [secret]) == [{"username": "me", "password": "secret"}]
    assert images.credentials("reg.example.com/team/x:1", [secret]) == [{"username": "u", "password": "p"}]
    assert images.credentials("reg.example.com/other/x:1", [secret]) == []


class Registry(SimulatedRuntime):
    """A runtime that has what was pulled, and whose registry can be broken."""

    def __init__(self, clock: ControlledClock) -> None:
        super().__init__(clock)
        self.present: dict[str, ImageInfo] = {}
        self.broken = ""

    async def image_status(self, image: str) -> ImageInfo | None:
        return self.present.get(image)

    async def pull_image(self, image: str, auth: Any, sandbox_config: Any) -> str:
        if self.broken:
            raise RuntimeFailure("Unknown", self.broken)
        self.present[image] = ImageInfo("sha256:1", (image,), (), 1234, None, "", False)
        return image


async def ensure(puller: ImagePuller, told: list[tuple[str, str]], **fields: Any) -> ImageInfo:
    one = container(**fields)
    return await puller.ensure(
        pod(one), one, lambda kind, reason, text: told.append((reason, text)), pull_secrets=[], sandbox_config=None
    )


async def test_pulling_backing_off_and_succeeding() -> None:
    clock = ControlledClock()
    registry = Registry(clock)
    puller = ImagePuller(registry, clock, parallel=2)
    told: list[tuple[str, str]] = []
    registry.broken = "no such host"
    with pytest.raises(PullFailure) as first:
        await ensure(puller, told, image="x:1")
    assert (first.value.reason, first.value.message, first.value.retry_after) == ("ErrImagePull", "no such host", 1.0)
    with pytest.raises(PullFailure) as second:
        await ensure(puller, told, image="x:1")
    assert second.value.reason == "ImagePullBackOff"
    assert second.value.message == 'Back-off pulling image "x:1": ErrImagePull: no such host'
    await clock.advance(10.1)
    registry.broken = ""
    found = await ensure(puller, told, image="x:1")
    assert found.id == "sha256:1"
    assert told == [
        ("Pulling", 'Pulling image "x:1"'),
        ("Failed", 'Failed to pull image "x:1": no such host'),
        ("BackOff", 'Back-off pulling image "x:1"'),
        ("Pulling", 'Pulling image "x:1"'),
        ("Pulled", 'Successfully pulled image "x:1" in 0s (0s including waiting). Image size: 1234 bytes.'),
    ]


async def test_pull_policies() -> None:
    clock = ControlledClock()
    registry = Registry(clock)
    puller = ImagePuller(registry, clock, parallel=2)
    told: list[tuple[str, str]] = []
    with pytest.raises(PullFailure) as never:
        await ensure(puller, told, image="x:1", imagePullPolicy="Never")
    assert never.value.reason == "ErrImageNeverPull"
    assert never.value.message == 'Container image "x:1" is not present with pull policy of Never'
    registry.present["x:1"] = ImageInfo("sha256:2", ("x:1",), (), 1, None, "", False)
    assert (await ensure(puller, told, image="x:1")).id == "sha256:2"
    assert told[-1] == ("Pulled", 'Container image "x:1" already present on machine and can be accessed by the pod')
    assert (await ensure(puller, told, image="x:1", imagePullPolicy="Always")).id == "sha256:1"
    with pytest.raises(PullFailure) as bad:
        await ensure(puller, told, image="a b")
    assert bad.value.reason == "InvalidImageName"


@pytest.mark.parametrize("architecture", [pause.X86_64, pause.AARCH64])
def test_the_sandbox_program_is_an_elf_of_its_architecture(architecture: pause.Architecture) -> None:
    program = pause.program(architecture)
    assert program[:4] == b"\x7fELF"
    kind, machine, _, entry = struct.unpack_from("<HHIQ", program, 16)
    assert (kind, machine, entry) == (2, architecture.machine, 0x400078)
    assert len(program) < 400


def test_the_sandbox_image_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "pause.tar"
    path.write_bytes(pause.archive(pause.X86_64, "example.com/pause:1"))
    with archive.open_archive(str(path)) as opened:
        (image,) = opened.images("amd64")
        assert opened.json(image.config.member)["config"]["Entrypoint"] == ["/pause"]
    assert image.names == ("example.com/pause:1",)
    assert pause.archive(pause.X86_64, "a:1") == pause.archive(pause.X86_64, "a:1")


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_docker_archive(tmp_path: Path) -> None:
    layer = b"not really a tar"
    config = json.dumps({"rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "c.json": config, "l/layer.tar": layer}
    with archive.open_archive(str(tar_of(tmp_path / "d.tar", files))) as opened:
        (image,) = opened.images("amd64")
    assert image.names == ("docker.io/library/app:1",)
    assert image.layers[0].digest == "sha256:" + hashlib.sha256(layer).hexdigest()
    assert json.loads(image.manifest.data or b"")["config"]["size"] == len(config)


def test_only_this_architecture_is_taken(tmp_path: Path) -> None:
    data = pause.archive(pause.AARCH64)
    path = tmp_path / "p.tar"
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        index = json.loads(member.read())
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64"}
    with tarfile.open(path) as tar:
        files = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar.getmembers()}
    files["index.json"] = json.dumps(index).encode()
    with archive.open_archive(str(tar_of(tmp_path / "q.tar", files))) as opened:
        assert opened.images("amd64") == []
        assert len(opened.images("arm64")) == 1


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with (
        pytest.raises(archive.ArchiveError, match="is not an image archive"),
        archive.open_archive(str(tmp_path / "text")),
    ):
        pass
    tar_of(tmp_path / "other.tar", {"a": b""})
    with (
        archive.open_archive(str(tmp_path / "other.tar")) as opened,
        pytest.raises(archive.ArchiveError, match="neither an OCI layout nor a docker archive"),
    ):
        opened.images("amd64")
    manifest = [{"Config": "gone.json", "RepoTags": [], "Layers": []}]
    tar_of(tmp_path / "torn.tar", {"manifest.json": json.dumps(manifest).encode()})
    with (
        archive.open_archive(str(tmp_path / "torn.tar")) as opened,
        pytest.raises(archive.ArchiveError, match=r"has no file gone\.json"),
    ):
        opened.images("amd64")
