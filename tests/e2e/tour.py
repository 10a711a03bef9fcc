"""A guide for tours with stock kubectl: runs it in the test's namespace and hands back what it printed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.support import machine
from tests.support.cluster import Cluster

VERSIONS = machine.kubectls()
# The oldest and the newest; a machine without versioned binaries has one, its own.
ENDS = list(dict.fromkeys([next(iter(VERSIONS)), next(reversed(VERSIONS))])) if VERSIONS else ["own"]


class Tour:
    """kubectl of one version in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, version: str) -> None:
        self.cluster, self.namespace, self.version = cluster, namespace, version
        self.binary = VERSIONS.get(version, cluster.kubectl_path)
        self.minor = int(version.split(".")[1]) if version in VERSIONS else 99

    def run(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command. Failed unless it succeeds, or check is false."""
        command = [f"--namespace={self.namespace}", *arguments]
        return self.cluster.kubectl(*command, stdin=stdin, check=check, timeout=timeout, binary=self.binary)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """What a command printed on its standard output, without the last newline."""
        return self.run(*arguments, stdin=stdin).stdout.rstrip("\n")

    def said(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output and error of a command that succeeds."""
        done = self.run(*arguments, stdin=stdin)
        return done.stdout + done.stderr

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What a command that must fail said."""
        done = self.run(*arguments, stdin=stdin, check=False)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded:\n{done.stdout}"
        return (done.stdout + done.stderr).rstrip("\n")

    def apply(self, *objects: dict[str, Any]) -> str:
        """kubectl apply of objects."""
        return self("apply", "-f", "-", stdin=manifest(*objects))

    def json(self, *arguments: str) -> Any:
        """kubectl get -o json, decoded."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that does not end by itself; its output is one text stream."""
        command = [self.binary, f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def manifest(*objects: dict[str, Any]) -> str:
    """A YAML stream of objects."""
    return yaml.safe_dump_all(objects)


def editor(folder: Path, old: str, new: str) -> str:
    """An editor that replaces a text and is done: for EDITOR."""
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\nsed -i 's/{old}/{new}/' \"$1\"\n")
    path.chmod(0o755)
    return str(path)


def columns(table: str) -> list[list[str]]:
    """The words of each line of a table."""
    return [line.split() for line in table.splitlines()]


def in_order(text: str, parts: Iterable[str]) -> None:
    """Fail unless the parts occur in the text one after the other."""
    position = 0
    for part in parts:
        found = text.find(part, position)
        assert found >= 0, f"{part!r} is not where it belongs in:\n{text}"
        position = found + len(part)
