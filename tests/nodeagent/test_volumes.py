# ruff: noqa: ASYNC240 (a test may wait for its own few files)
"""Volumes: atomic files, contents, sub-paths that cannot lead out."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from apimachinery.gvk import Resource
from nodeagent.environment import ConfigError
from nodeagent.volumes import atomic, content, mounts
from nodeagent.volumes.atomic import File
from nodeagent.volumes.content import Context
from nodeagent.volumes.manager import VolumeErrors, VolumeManager
from tests.nodeagent.pods import container, pod

Obj = dict[str, Any]


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if not path.is_dir() and ".." not in str(path.relative_to(folder))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_files_change_all_at_once(tmp_path: Path) -> None:
    target = tmp_path / "v"
    assert atomic.write(target, {"a": File(b"1"), "d/b": File(b"2", 0o400)}, now=1.0)
    assert (target / "a").read_bytes() == b"1"
    assert (target / "d" / "b").read_bytes() == b"2"
    assert os.readlink(target / "a") == "..data/a"
    first = os.readlink(target / "..data")
    assert not atomic.write(target, {"a": File(b"1"), "d/b": File(b"2", 0o400)}, now=2.0)
    assert atomic.write(target, {"a": File(b"9")}, now=3.0)
    assert os.readlink(target / "..data") != first
    assert files(target) == {"a": b"9"}
    assert (
        len([entry for entry in target.iterdir() if entry.name.startswith("..2") or entry.name.startswith("..1")]) == 1
    )


def test_no_path_leads_out(tmp_path: Path) -> None:
    for path in ("../x", "/x", "a/../../x", "..x/y", ""):
        with pytest.raises(ValueError, match="invalid path"):
            atomic.write(tmp_path / "v", {path: File(b"")}, now=1.0)


async def _objects(resource: Resource, namespace: str, name: str) -> Obj | None:
    known = {
        ("configmaps", "cm"): {"data": {"k": "v", "l": "w"}, "binaryData": {"b": base64.b64encode(b"\xff").decode()}},
        ("secrets", "s"): {"data": {"pw": base64.b64encode(b"secret").decode()}},
    }
    return known.get((resource.plural, name))


async def _token(pod: Obj, source: Obj) -> str:
    return "token"


def context(spec: Obj) -> Context:
    return Context(spec, _objects, _token, {"podIP": "10.1.0.2"}, {"memory": "1Gi"})


async def test_contents_of_every_kind() -> None:
    here = context(pod())
    assert await content.config_map(here, {"name": "cm"}) == {"k": File(b"v"), "l": File(b"w"), "b": File(b"\xff")}
    one = {"name": "cm", "items": [{"key": "k", "path": "x/y", "mode": 0o600}]}
    assert await content.config_map(here, one) == {"x/y": File(b"v", 0o600)}
    assert await content.secret(here, {"secretName": "s", "defaultMode": 0o400}) == {"pw": File(b"secret", 0o400)}
    assert await content.config_map(here, {"name": "gone", "optional": True}) == {}
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "cm", "items": [{"key": "k", "path": "ca"}]}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    found = await content.projected(here, {"sources": sources})
    assert {path: file.data for path, file in found.items()} == {"token": b"token", "ca": b"v", "ns": b"ns"}


async def test_a_token_belongs_to_the_one_user_of_the_pod() -> None:
    source = {"sources": [{"serviceAccountToken": {"path": "t"}}]}
    alone = await content.projected(context(pod(securityContext={"runAsUser": 7})), source)
    assert alone["t"] == File(b"token", 0o600, 7)
    grouped = await content.projected(context(pod(securityContext={"fsGroup": 9})), source)
    assert grouped["t"] == File(b"token", 0o600)


@pytest.mark.parametrize(
    ("kind", "source", "text"),
    [
        ("configMap", {"name": "gone"}, 'configmap "gone" not found'),
        ("secret", {"secretName": "gone"}, 'secret "gone" not found'),
        (
            "configMap",
            {"name": "cm", "items": [{"key": "z", "path": "z"}]},
            "configmap references non-existent config key: z",
        ),
        ("secret", {"secretName": "s", "items": [{"key": "z", "path": "z"}]}, "references non-existent secret key: z"),
    ],
)
async def test_what_is_missing_is_named(kind: str, source: Obj, text: str) -> None:
    with pytest.raises(content.VolumeError) as caught:
        await content.BUILDERS[kind](context(pod()), source)
    assert str(caught.value) == text


def manager(folder: Path) -> VolumeManager:
    made = VolumeManager(folder / "pods", folder / "volatile", ControlledClock())
    (folder / "pods").mkdir()
    return made


async def test_all_volumes_of_a_pod(tmp_path: Path) -> None:
    volumes = manager(tmp_path)
    spec = pod(
        container(
            volumeMounts=[{"name": "cm", "mountPath": "/cm"}, {"name": "e", "mountPath": "/e", "readOnly": True}]
        ),
        volumes=[
            {"name": "cm", "configMap": {"name": "cm"}},
            {"name": "e", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": str(tmp_path / "h"), "type": "DirectoryOrCreate"}},
        ],
    )
    assert await volumes.setup(context(spec))
    assert not await volumes.setup(context(spec))
    points = volumes.mount_points(spec, spec["spec"]["containers"][0], {}, recursive_read_only=False)
    assert [(point.container_path, point.read_only) for point in points] == [("/cm", True), ("/e", True)]
    assert Path(points[0].host_path, "k").read_text() == "v"
    assert (tmp_path / "h").is_dir()
    volumes.teardown(spec["metadata"]["uid"])
    assert not volumes.known_pods()


async def test_what_cannot_be_mounted_is_named_by_volume(tmp_path: Path) -> None:
    volumes = manager(tmp_path)
    spec = pod(
        volumes=[
            {"name": "a", "secret": {"secretName": "gone"}},
            {"name": "b", "hostPath": {"path": str(tmp_path / "no"), "type": "Directory"}},
            {"name": "c", "nfs": {"server": "s", "path": "/"}},
        ]
    )
    with pytest.raises(VolumeErrors) as caught:
        await volumes.setup(context(spec))
    assert caught.value.failures == {
        "a": 'secret "gone" not found',
        "b": f"hostPath type check failed: {tmp_path / 'no'} is not a directory",
        "c": "volume type nfs is not supported by this node agent",
    }


def test_opening_beneath_a_directory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").write_text("x")
    (tmp_path / "in" / "ok").symlink_to("f")
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    (tmp_path / "in" / "up").symlink_to("../secret")
    for name in ("f", "ok"):
        os.close(mounts.open_beneath(tmp_path / "in", name, os.O_RDONLY))
    for name in ("out", "up", "../in/f"):
        with pytest.raises(OSError, match="cross-device"):
            mounts.open_beneath(tmp_path / "in", name, os.O_PATH)
    mounts.make_dirs_beneath(tmp_path / "in", "a/b", 0o750)
    assert (tmp_path / "in" / "a" / "b").is_dir()
    with pytest.raises(OSError, match="cross-device"):
        mounts.make_dirs_beneath(tmp_path / "in", "out/b", 0o750)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
async def test_sub_paths_are_bound_where_nothing_can_swap_them(tmp_path: Path) -> None:
    volumes = manager(tmp_path)
    mount = {"name": "e", "mountPath": "/x", "subPathExpr": "dir/$(NAME)"}
    spec = pod(container(volumeMounts=[mount]), volumes=[{"name": "e", "emptyDir": {}}])
    await volumes.setup(context(spec))
    one = spec["spec"]["containers"][0]
    (point,) = volumes.mount_points(spec, one, {"NAME": "n"}, recursive_read_only=False)
    Path(point.host_path, "f").write_text("x")
    assert (volumes.path(spec["metadata"]["uid"], spec["spec"]["volumes"][0]) / "dir" / "n" / "f").read_text() == "x"
    with pytest.raises(ConfigError, match='missing value for "NAME"'):
        volumes.mount_points(spec, one, {}, recursive_read_only=False)
    volumes.teardown(spec["metadata"]["uid"])
    assert not volumes.pod_dir(spec["metadata"]["uid"]).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
async def test_memory_volumes_have_their_size(tmp_path: Path) -> None:
    volumes = manager(tmp_path)
    spec = pod(volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}])
    await volumes.setup(context(spec))
    where = volumes.path(spec["metadata"]["uid"], spec["spec"]["volumes"][0])
    stat = os.statvfs(where)
    assert stat.f_blocks * stat.f_frsize == 4 << 20
    volumes.teardown(spec["metadata"]["uid"])
