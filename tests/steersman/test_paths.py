"""Data directories: ours, foreign, damaged, locked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.paths import DataDir, DataDirError, default_data_dir, write_private


def test_default_is_the_system_s_for_root_and_the_user_s_otherwise() -> None:
    assert default_data_dir({}, 0) == Path("/var/lib/steersman")
    assert default_data_dir({"HOME": "/home/a"}, 1000) == Path("/home/a/.local/share/steersman")
    assert default_data_dir({"HOME": "/home/a", "XDG_DATA_HOME": "/d"}, 1000) == Path("/d/steersman")


def test_prepare_is_new_once(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "cluster")
    assert data.prepare() is True
    assert data.prepare() is False
    assert (data.pki.stat().st_mode & 0o777) == 0o700


def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataDirError, match=r"thesis\.tex.*not a steersman data directory"):
        DataDir(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("marker", "text"), [("{", "damaged"), ('{"layout": 99}', "another version"), ("[]", "damaged")]
)
def test_a_damaged_or_newer_marker_is_refused(tmp_path: Path, marker: str, text: str) -> None:
    DataDir(tmp_path).prepare()
    (tmp_path / "steersman.json").write_text(marker)
    with pytest.raises(DataDirError, match=text):
        DataDir(tmp_path).prepare()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot use"):
        DataDir(tmp_path / "file").prepare()


def test_a_second_owner_is_refused_with_the_first_one_s_pid(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from steersman.paths import DataDir\n"
        f"DataDir(pathlib.Path({str(tmp_path)!r})).lock(); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        data = DataDir(tmp_path)
        assert data.owner() == holder.pid
        with pytest.raises(DataDirError, match=f"pid {holder.pid}"):
            data.lock()
        holder.stdin.close()
        holder.wait()
    assert data.owner() is None
    os.close(data.lock())


def test_private_files_are_whole_and_private(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    write_private(target, "one")
    write_private(target, b"two")
    assert target.read_text() == "two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
