"""Merging into a user's kubeconfig keeps what is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from steersman import kubeconfig


@pytest.fixture
def ours(tmp_path: Path) -> dict[str, object]:
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text(name)
    return kubeconfig.build(
        server="https://127.0.0.1:6443",
        ca_file=tmp_path / "ca",
        certificate=tmp_path / "crt",
        key=tmp_path / "key",
        user="steersman-admin",
    )


def test_merge_creates_the_file_and_is_idempotent(tmp_path: Path, ours: dict[str, object]) -> None:
    target = tmp_path / "home" / ".kube" / "config"
    kubeconfig.merge(target, ours)
    first = target.read_text()
    kubeconfig.merge(target, ours)
    assert target.read_text() == first
    assert yaml.safe_load(first) == ours
    assert target.stat().st_mode & 0o777 == 0o600


def test_merge_keeps_other_clusters_and_unknown_keys(tmp_path: Path, ours: dict[str, object]) -> None:
    target = tmp_path / "config"
    other = {"name": "work", "cluster": {"server": "https://work"}}
    target.write_text(yaml.safe_dump({"kind": "Config", "clusters": [other], "preferences": {"colors": True}}))
    kubeconfig.merge(target, ours)
    merged = yaml.safe_load(target.read_text())
    assert [cluster["name"] for cluster in merged["clusters"]] == ["work", "steersman"]
    assert merged["preferences"] == {"colors": True}
    assert merged["current-context"] == "steersman"


@pytest.mark.parametrize("text", ["{", "[]", "kind: Pod\n", "clusters: x\n"])
def test_what_is_no_kubeconfig_is_refused_untouched(tmp_path: Path, ours: dict[str, object], text: str) -> None:
    target = tmp_path / "config"
    target.write_text(text)
    with pytest.raises(kubeconfig.KubeconfigError):
        kubeconfig.merge(target, ours)
    assert target.read_text() == text
