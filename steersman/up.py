"""`steersman up`: the whole cluster in the foreground, and `steersman <component>`: one part of it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apimachinery.clock import RealClock
from steersman import KUBERNETES_VERSION, __version__, cluster, config, process
from steersman.config import COMPONENTS, Layout, NodeConfig, Settings
from steersman.options import OptionError
from steersman.paths import write_private
from steersman.supervisor import Part, Supervisor
from steersman.terminal import Terminal

TITLES = {"apiserver": "API server", "controllers": "controllers", "scheduler": "scheduler", "nodeagent": "node agent"}
ENTRIES = {
    "apiserver": "apiserver.server",
    "controllers": "controllers.manager",
    "scheduler": "scheduler.scheduler",
    "nodeagent": "nodeagent.agent",
}
# What several components import: loaded once, before the fork. Never grpc or numpy: they start threads of their own.
SHARED = ("uvloop", "aiohttp.web", "orjson", "ssl", "logging.handlers", "serving.http", "client.api", "client.informer")


def entry(component: str) -> process.Component:
    """The component's `run(config, ready)`; imported where it is needed, that is, after the fork."""
    run: process.Component = importlib.import_module(ENTRIES[component]).run
    return run


def up(arguments: Sequence[str]) -> int:
    """Run the cluster until a signal; the exit status. Raises OptionError, DataDirError, StartError."""
    settings, positional = config.read(arguments, COMPONENTS)
    if positional:
        raise OptionError(f"unexpected argument {positional[0]!r}")
    unknown = [name for name in settings.cluster.disable if name not in COMPONENTS[1:]]
    if unknown:
        raise OptionError(f"--disable: {unknown[0]!r} is not one of {', '.join(COMPONENTS[1:])}")
    clock, terminal = RealClock(), Terminal()
    begun = clock.monotonic()
    place = config.layout(settings)
    data = place.data
    new = data.prepare()
    lock = data.lock()
    try:
        terminal.title(f"steersman {__version__} · Kubernetes {KUBERNETES_VERSION} · {data.root}")
        written = cluster.prepare(place, clock)
        if written:
            terminal.done("certificates", "created" if new else f"renewed: {', '.join(written)}")
        for module in SHARED:
            importlib.import_module(module)
        parts = _parts(settings, place, clock.monotonic)

        def changed(pids: dict[str, int]) -> None:
            servers = {"server": place.local_server, "advertised": place.advertised_server}
            state = {"pid": os.getpid(), **servers, "node": place.node, "components": pids}
            write_private(data.state_file, json.dumps(state) + "\n")

        def all_ready() -> None:
            terminal.line()
            terminal.title(f"Ready in {clock.monotonic() - begun:.1f} s. In another terminal:")
            terminal.line(f"  export KUBECONFIG={data.admin_kubeconfig}")
            terminal.line("  kubectl get nodes")
            terminal.line()
            terminal.line(f"Logs are in {data.logs}. Ctrl-C stops the cluster; what it holds is kept.")

        def renew() -> None:
            try:
                renewed = cluster.prepare(place, clock)
            except (OSError, ValueError) as error:
                terminal.warn("certificates", f"cannot be renewed: {error}")
                return
            if renewed:
                terminal.done("certificates", f"renewed: {', '.join(renewed)}")

        supervisor = Supervisor(parts, clock=clock, terminal=terminal, changed=changed, chore=renew)
        supervisor.run(all_ready=all_ready)
        terminal.line("Stopped.")
        return 0
    finally:
        data.state_file.unlink(missing_ok=True)
        os.close(lock)


def _parts(settings: Settings, place: Layout, monotonic: Callable[[], float]) -> list[Part]:
    """The parts in order: API server first, first-run objects and the rest once it serves."""
    begun = monotonic()
    parts = []
    for component in COMPONENTS:
        if component in settings.cluster.disable:
            continue
        built = config.build(component, settings, place)

        def elapsed(detail: str = place.local_server if component == "apiserver" else "") -> str:
            return f"{detail + '  ' if detail else ''}{monotonic() - begun:.1f} s"

        parts.append(
            Part(
                name=component,
                title=TITLES[component],
                body=_body(component, built, place.data.logs / f"{component}.log", settings.cluster.log_level),
                log_file=place.data.logs / f"{component}.log",
                stage=0 if component == "apiserver" else 1,
                ready_text=elapsed,
            )
        )
    return parts


def _body(component: str, built: Any, log_file: Path, log_level: str) -> Callable[[int, int], int]:
    def body(lifeline: int, notify: int) -> int:
        process.name_process(f"sm-{component}")
        return process.run(
            entry(component),
            built,
            name=TITLES[component],
            log_file=log_file,
            log_level=log_level,
            lifeline=lifeline,
            notify=notify,
        )

    return body


def component(name: str, arguments: Sequence[str]) -> int:
    """Run one component in the foreground, logging to standard error; the exit status.

    Certificates and kubeconfigs that no flag names come from the data directory; they are made there where it is the API
    server that starts, and learned from the cluster where a node agent joins one.
    """
    settings, positional = config.read(arguments, [name])
    if positional:
        raise OptionError(f"unexpected argument {positional[0]!r}")
    if any(argument.partition("=")[0] == "--disable" for argument in arguments):
        raise OptionError("--disable is a flag of `steersman up`")
    place = config.layout(settings)
    if name == "apiserver":
        place.data.prepare()
        cluster.prepare(place, RealClock())
    own = settings.cluster
    if isinstance(own, NodeConfig) and own.join:
        from steersman import join

        place.data.prepare()
        join.join(place.data, own.join, own.token, own.discovery_token_ca_cert_hash, RealClock())
    built = config.build(name, settings, place)
    sys.stderr.flush()
    return process.run(entry(name), built, name=TITLES[name], log_file=None, log_level=settings.cluster.log_level)
