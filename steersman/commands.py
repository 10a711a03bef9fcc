"""The short commands: status, kubeconfig, image load, reset."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steersman import config, kubeconfig, options
from steersman.options import OptionError
from steersman.paths import DataDir, default_data_dir


class CommandError(Exception):
    """A command that could not be carried out; the text is for the user."""


@dataclass(frozen=True, slots=True)
class StatusConfig:
    data_dir: Path | None = None
    # The cluster's data directory.


@dataclass(frozen=True, slots=True)
class KubeconfigConfig:
    data_dir: Path | None = None
    # The cluster's data directory.
    merge: bool = False
    # Put it into the user's kubeconfig ($KUBECONFIG or ~/.kube/config) and make it current, instead of printing it.
    context: str = kubeconfig.CONTEXT
    # The context's name.


@dataclass(frozen=True, slots=True)
class ResetConfig:
    data_dir: Path | None = None
    # The cluster's data directory.
    yes: bool = False
    # Do not ask.


@dataclass(frozen=True, slots=True)
class ImageConfig:
    data_dir: Path | None = None
    # The cluster's data directory.
    runtime: str = ""
    # As for `up`; by default the one that the running cluster uses.


OPTIONS: dict[str, type] = {
    "status": StatusConfig,
    "kubeconfig": KubeconfigConfig,
    "reset": ResetConfig,
    "image": ImageConfig,
}
USAGE = {
    "status": "steersman status: what runs, and where",
    "kubeconfig": "steersman kubeconfig: print or merge the administrator's kubeconfig",
    "reset": "steersman reset: remove a stopped cluster with its containers, networks and data",
    "image": "steersman image load FILE.tar [FILE.tar …]: load images into the container runtime",
}


def _data_dir(path: Path | None) -> DataDir:
    return DataDir(Path(os.path.abspath(path or default_data_dir(os.environ, os.geteuid()))))


def existing_data_dir(path: Path | None) -> DataDir:
    data = _data_dir(path)
    if not data.exists():
        raise CommandError(f"there is no cluster in {data.root}; `steersman up` creates one")
    return data


def status(arguments: Sequence[str]) -> int:
    """Print what runs; 0 when the API server is ready, 1 otherwise."""
    values, _ = options.parse_flags(arguments, options.options_of(StatusConfig))
    data = existing_data_dir(options.fill(StatusConfig, values).data_dir)
    owner = data.owner()
    if owner is None:
        sys.stdout.write(f"{data.root}: not running. `steersman up` starts it.\n")
        return 1
    state = data.read_state()
    sys.stdout.write(f"{data.root}: running, pid {owner}, {state.get('server', '')}\n")
    for name, pid in state.get("components", {}).items():
        sys.stdout.write(f"  {name:<12} pid {pid:<8} {_memory(pid)}\n")
    problem = _readiness(str(state.get("server", "")), data.pki / "ca.crt")
    sys.stdout.write(f"  API server: {problem or 'ready'}\n")
    return 1 if problem else 0


def _memory(pid: int) -> str:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return f"{int(line.split()[1]) / 1024:.0f} MB"
    except OSError:
        return ""
    return ""


def _readiness(server: str, ca_file: Path) -> str:
    """Why the API server is not ready, "" when it is."""
    if not server:
        return "still starting"
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
        with urllib.request.urlopen(f"{server}/readyz", context=context, timeout=5) as answer:
            return "" if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return f"not ready: {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return f"does not answer: {error}"


def print_kubeconfig(arguments: Sequence[str]) -> int:
    """Print the administrator's kubeconfig, or merge it into the user's."""
    import yaml

    values, _ = options.parse_flags(arguments, options.options_of(KubeconfigConfig))
    told: KubeconfigConfig = options.fill(KubeconfigConfig, values)
    data = existing_data_dir(told.data_dir)
    try:
        text = data.admin_kubeconfig.read_text()
    except FileNotFoundError as error:
        raise CommandError("the cluster has not been started yet; `steersman up` does") from error
    except PermissionError as error:
        raise CommandError(f"{data.admin_kubeconfig} can be read by its owner only") from error
    content = yaml.safe_load(text)
    if told.context != kubeconfig.CONTEXT:
        kubeconfig.rename(content, told.context)
    if not told.merge:
        sys.stdout.write(yaml.safe_dump(content, sort_keys=False))
        return 0
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    target = Path(first) if first else Path.home() / ".kube" / "config"
    if target.resolve() == data.admin_kubeconfig.resolve():
        raise CommandError(f"$KUBECONFIG is the cluster's own {target}; there is nothing to merge")
    kubeconfig.merge(target, content)
    sys.stdout.write(f"Context {told.context!r} is now the current one in {target}.\n")
    return 0


def image(arguments: Sequence[str]) -> int:
    """`image load FILE.tar …`: import archives into the container runtime, and name what they held."""
    values, positional = options.parse_flags(arguments, options.options_of(ImageConfig))
    told: ImageConfig = options.fill(ImageConfig, values)
    if positional[:1] != ["load"] or len(positional) < 2:
        raise OptionError("usage: steersman image load FILE.tar [FILE.tar …]")
    files = [Path(name) for name in positional[1:]]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise CommandError(f"no such file: {', '.join(missing)}")
    from nodeagent import images

    data = existing_data_dir(told.data_dir)
    for path in files:
        try:
            names = asyncio.run(images.load_archive(path, root_dir=data.node, runtime=told.runtime or None))
        except images.ImageError as error:
            raise CommandError(f"{path}: {error}") from error
        for name in names:
            sys.stdout.write(f"loaded {name}\n")
    return 0


def reset(arguments: Sequence[str]) -> int:
    """Remove a stopped cluster: what the node agent left on the host, then the data directory."""
    values, _ = options.parse_flags(arguments, options.options_of(ResetConfig))
    told: ResetConfig = options.fill(ResetConfig, values)
    data = existing_data_dir(told.data_dir)
    lock = data.lock()
    try:
        if not told.yes:
            if not sys.stdin.isatty():
                raise CommandError(f"this removes everything in {data.root}; say --yes")
            sys.stdout.write(f"Remove the cluster in {data.root} with all its data? [y/N] ")
            sys.stdout.flush()
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                return 1
        if data.node.exists():
            from nodeagent import reset as node_reset

            settings, _ = config.read([f"--data-dir={data.root}"], ["apiserver", "nodeagent"])
            asyncio.run(node_reset.reset(config.build("nodeagent", settings, config.layout(settings))))
        shutil.rmtree(data.root)
    finally:
        os.close(lock)
    sys.stdout.write(f"Removed {data.root}.\n")
    return 0
