"""Resolver configuration of pods: dnsPolicy, dnsConfig and the host's resolv.conf. Pure but for reading that file.

Limits and their texts are the original's: three name servers, 32 search domains of 2,048 characters.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent import podspec

log = logging.getLogger(__name__)

Obj = dict[str, Any]

_SYSTEMD = Path("/run/systemd/resolve/resolv.conf")
MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_CHARS = 3, 32, 2048


@dataclass(frozen=True, slots=True)
class Resolver:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str) -> Resolver:
    """The content of a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def read_host(path: Path, stub: Path = _SYSTEMD) -> Resolver:
    """The host's resolver; empty when it has no such file.

    A file that names only this host (systemd-resolved's stub at 127.0.0.53) is of no use inside a pod; what lies behind it
    is then taken. stub: where systemd-resolved tells that.
    """
    try:
        found = parse(path.read_text())
        if found.servers and all(server.startswith(("127.", "::1")) for server in found.servers):
            if stub.exists():
                return parse(stub.read_text())
            log.warning("%s names only this host, so pods cannot resolve names outside the cluster", path)
        return found
    except OSError as error:
        log.warning("cannot read %s: %s", path, error.strerror)
        return Resolver()


def of_pod(pod: Obj, host: Resolver, *, cluster_dns: Sequence[str], domain: str) -> tuple[Resolver, str]:
    """The pod's resolver, and a warning to tell as an event ("" if none)."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    warning = ""
    if policy == "ClusterFirst" and podspec.host_network(pod):
        policy = "Default"
    if policy == "ClusterFirstWithHostNet":
        policy = "ClusterFirst"
    if policy == "ClusterFirst" and not cluster_dns:
        warning = (
            f'pod: "{podspec.describe(pod)}". kubelet does not have ClusterDNS IP configured and cannot create Pod using'
            f' "{pod["spec"].get("dnsPolicy") or "ClusterFirst"}" policy. Falling back to "Default" policy.'
        )
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "ClusterFirst":
        namespace = pod["metadata"]["namespace"]
        searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *host.searches) if domain else host.searches
        base = Resolver(tuple(cluster_dns), tuple(dict.fromkeys(searches)), ("ndots:5",))
    else:
        base = host
    return _limit(_merge(base, pod["spec"].get("dnsConfig"))), warning


def _merge(base: Resolver, config: Obj | None) -> Resolver:
    if not config:
        return base
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return Resolver(
        tuple(dict.fromkeys((*base.servers, *(config.get("nameservers") or ())))),
        tuple(dict.fromkeys((*base.searches, *(config.get("searches") or ())))),
        tuple(options.values()),
    )


def _limit(resolver: Resolver) -> Resolver:
    searches = list(resolver.searches[:MAX_SEARCHES])
    while searches and len(" ".join(searches)) > MAX_SEARCH_CHARS:
        searches.pop()
    return Resolver(resolver.servers[:MAX_SERVERS], tuple(searches), resolver.options)
