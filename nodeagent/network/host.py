"""What the host itself needs for a pod network: forwarding, masquerading, and fences around the cluster's ranges.

    prepare(instance, ...)  idempotent; called before the first pod gets an address
    cleanup(instance, ...)  takes everything away again, for `reset`

A fence is an unreachable route with the worst metric: traffic to an address of the pod or service range that nobody
has would otherwise follow the default route out of the host, where a gateway may well answer it. What was made is
written down, so that reset removes that and nothing else. Masquerading is one nftables rule in a table of our own.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nodeagent.network import cni

log = logging.getLogger(__name__)

_METRIC = "4278198272"
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


class HostNetworkError(Exception):
    """The host's network cannot be set up; the text names the command that failed."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """CIDRs. pods: this node's. cluster: all pods'. services: all services'."""

    pods: tuple[str, ...]
    cluster: tuple[str, ...]
    services: tuple[str, ...]

    @property
    def fenced(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.cluster, *self.services, *self.pods)))


def _run(*command: str, text: str = "", check: bool = True) -> str:
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        raise HostNetworkError(f"the program {command[0]} is not installed")
    done = subprocess.run([program, *command[1:]], input=text, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode != 0:
        raise HostNetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def prepare(instance: str, ranges: Ranges, state_file: Path) -> None:
    """Forwarding on, fences up, masquerading in place. Blocking. HostNetworkError when the host refuses."""
    _refuse_taken(instance, ranges)
    _record(state_file, ranges)
    for cidr in ranges.fenced:
        # Before forwarding is on and before any pod exists, so that nothing can slip out.
        _run("ip", *_family(cidr), "route", "replace", "unreachable", cidr, "metric", _METRIC)
    for version in sorted({ipaddress.ip_network(cidr).version for cidr in ranges.pods}):
        _enable_forwarding(version)
    _make_bridge(instance)
    _masquerade(instance, ranges)
    _let_through(instance)


def _refuse_taken(instance: str, ranges: Ranges) -> None:
    """Two bridges with one range would send half of the packets to the wrong pods, so the second one is refused.

    A bridge that a stopped cluster left behind without any pod gives way.
    """
    own = cni.bridge_name(instance)
    wanted = [ipaddress.ip_network(cidr) for cidr in ranges.pods]
    for link in json.loads(_run("ip", "-j", "address", "show") or "[]"):
        name = str(link.get("ifname") or "")
        for address in link.get("addr_info") or ():
            taken = any(ipaddress.ip_address(address["local"]) in network for network in wanted)
            if not taken or name == own:
                continue
            folder = Path(f"/sys/class/net/{name}/brif")
            if cni.is_bridge_of_ours(name) and folder.is_dir() and not any(folder.iterdir()):
                log.warning("removing bridge %s, which has no pods and is in the way of %s", name, own)
                _run("ip", "link", "delete", name, check=False)
                break
            raise HostNetworkError(
                f"{name} on this host already has the address {address['local']} of the pod range"
                f" {', '.join(ranges.pods)}: another cluster? Choose another --cluster-cidr, or reset that cluster"
            )


def _make_bridge(instance: str) -> None:
    """A bridge without ports has no MAC address of its own until it is given one, and the CNI plugin then trips over it."""
    name = cni.bridge_name(instance)
    if Path(f"/sys/class/net/{name}").exists():
        return
    address = ":".join(["02", *(instance[i : i + 2] for i in range(0, 8, 2)), "01"])
    _run("ip", "link", "add", "name", name, "address", address, "type", "bridge")
    _run("ip", "link", "set", "dev", name, "up")


def _family(cidr: str) -> tuple[str, ...]:
    return ("-6",) if ipaddress.ip_network(cidr, strict=False).version == 6 else ("-4",)


def _enable_forwarding(version: int) -> None:
    path = Path("/proc/sys/net/ipv4/ip_forward" if version == 4 else "/proc/sys/net/ipv6/conf/all/forwarding")
    if path.read_text().strip() == "1":
        return
    try:
        path.write_text("1")
    except OSError as error:
        raise HostNetworkError(f"cannot turn on {path}: {error.strerror}") from None


def masquerade_rules(instance: str, ranges: Ranges) -> str:
    """The nftables text: one transaction that replaces our table whole."""
    table = f"inet {cni.network_name(instance)}"
    rules = []
    for cidr in ranges.pods:
        version = ipaddress.ip_network(cidr).version
        family = "ip6" if version == 6 else "ip"
        inside = [other for other in (*ranges.cluster, cidr) if ipaddress.ip_network(other).version == version]
        local = ", ".join(dict.fromkeys(inside))
        multicast = "ff00::/8" if version == 6 else "224.0.0.0/4"
        rules.append(f"    {family} saddr {cidr} {family} daddr != {{ {local}, {multicast} }} masquerade")
    body = "\n".join(rules)
    return (
        f"table {table} {{}}\nflush table {table}\ntable {table} {{\n"
        f"  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n{body}\n  }}\n}}\n"
    )


def _masquerade(instance: str, ranges: Ranges) -> None:
    if shutil.which("nft", path=_PATH) is None:
        log.warning("nft is not installed: pods cannot reach addresses outside the cluster")
        return
    try:
        _run("nft", "-f", "-", text=masquerade_rules(instance, ranges))
    except HostNetworkError as error:
        log.warning("pods cannot reach addresses outside the cluster: %s", error)


def _forward_rules(instance: str) -> list[tuple[str, ...]]:
    name = cni.bridge_name(instance)
    tail = ("-m", "comment", "--comment", cni.network_name(instance), "-j", "ACCEPT")
    return [("FORWARD", "-i", name, *tail), ("FORWARD", "-o", name, *tail)]


def _let_through(instance: str) -> None:
    """Where somebody (Docker does) has the host drop what it is to forward, let the pods' packets through."""
    if shutil.which("iptables", path=_PATH) is None:
        return
    if "-P FORWARD DROP" not in _run("iptables", "-S", "FORWARD", check=False):
        return
    listed = _run("iptables", "-S", "FORWARD", check=False)
    for rule in _forward_rules(instance):
        if f"{rule[1]} {rule[2]} " not in listed:
            _run("iptables", "-I", *rule)


def _stop_letting_through(instance: str) -> None:
    if shutil.which("iptables", path=_PATH) is None:
        return
    if cni.bridge_name(instance) in _run("iptables", "-S", "FORWARD", check=False):
        for rule in _forward_rules(instance):
            _run("iptables", "-D", *rule, check=False)


def default_mtu() -> int:
    """MTU of the interface with the default route, 0 when there is none: pods must not send larger packets."""
    try:
        routes = json.loads(_run("ip", "-j", "-4", "route", "show", "default") or "[]")
        if not routes:
            return 0
        links = json.loads(_run("ip", "-j", "link", "show", "dev", routes[0]["dev"]) or "[]")
        return int(links[0]["mtu"])
    except (HostNetworkError, KeyError, IndexError, ValueError):
        return 0


def _record(state_file: Path, ranges: Ranges) -> None:
    """Remember what is fenced, together with what earlier starts with other ranges left."""
    known = _recorded(state_file)
    state_file.parent.mkdir(parents=True, exist_ok=True)
    state_file.write_text(json.dumps({"fenced": list(dict.fromkeys((*known, *ranges.fenced)))}))


def _recorded(state_file: Path) -> list[str]:
    try:
        return [str(cidr) for cidr in json.loads(state_file.read_text()).get("fenced", ())]
    except (FileNotFoundError, ValueError):
        return []


def cleanup(instance: str, state_file: Path) -> None:
    """Remove bridge, table and fences, but those that another cluster on this host still needs. Blocking."""
    for command in (
        ("ip", "link", "delete", cni.bridge_name(instance)),
        ("nft", "delete", "table", "inet", cni.network_name(instance)),
    ):
        if shutil.which(command[0], path=_PATH):
            _run(*command, check=False)
    _stop_letting_through(instance)
    # State files of all clusters lie side by side: RUN/<instance>/network.json.
    others = [path for path in state_file.parent.parent.glob(f"*/{state_file.name}") if path != state_file]
    needed = {cidr for path in others for cidr in _recorded(path)}
    for cidr in _recorded(state_file):
        if cidr not in needed:
            _run("ip", *_family(cidr), "route", "delete", "unreachable", cidr, "metric", _METRIC, check=False)
    state_file.unlink(missing_ok=True)
