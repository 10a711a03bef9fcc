"""The cluster's own options, the configuration file, and what each component is told by default.

A component's configuration is filled from three layers, the later winning: what follows from the data directory (paths of
certificates, the kubeconfig, addresses), the configuration file, flags. Components' option classes live with the components.

    dataDir: /srv/cluster                 # the cluster's own options at the top level
    apiserver: {securePort: 7443}         # a section per component, keys named like its flags
    nodeagent: {runtime: simulated}
"""

from __future__ import annotations

import importlib
import ipaddress
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from steersman import options
from steersman.options import Option, OptionError
from steersman.paths import DataDir, default_data_dir

COMPONENTS = ("apiserver", "controllers", "scheduler", "nodeagent")


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Options of `steersman up` itself."""

    data_dir: Path | None = None
    # Where everything is kept. Default: /var/lib/steersman as root, ~/.local/share/steersman otherwise.
    config: Path | None = None
    # A YAML file with these options and a section per component; flags win over it.
    disable: Sequence[str] = ()
    # Components not to start (controllers, scheduler, nodeagent), for instance to run the original one instead.
    log_level: str = "info"
    # debug, info, warning or error.


@dataclass(frozen=True, slots=True)
class NodeConfig(ClusterConfig):
    """Options of `steersman nodeagent`: a node of this machine's cluster, or of another's."""

    join: str = ""
    # URL of the API server of a cluster on another machine to join as a node.
    token: str = ""
    # The bootstrap token to join with: `steersman token create --print-join-command`, where the cluster runs.
    discovery_token_ca_cert_hash: Sequence[str] = ()
    # sha256:… of the public key of the cluster's CA, by which the cluster is known before it is trusted.


def own_class(components: Sequence[str]) -> type[ClusterConfig]:
    """The options that are not a component's, of the command that runs these components."""
    return NodeConfig if list(components) == ["nodeagent"] else ClusterConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a command was told: the cluster's options, and values by flag for each component."""

    cluster: ClusterConfig
    told: Mapping[str, Mapping[str, Any]]

    @property
    def data_dir(self) -> DataDir:
        root = self.cluster.data_dir or default_data_dir(os.environ, os.geteuid())
        return DataDir(Path(os.path.abspath(root)))


def config_class(component: str) -> type:
    """The component's configuration class."""
    cls: type = importlib.import_module(f"{component}.config").Config
    return cls


def known_flags(components: Sequence[str]) -> dict[str, Option]:
    """All flags of `up`, or of a component's own command: the cluster's and those components'.

    With several components each flag also exists with its component in front (--scheduler.secure-port).
    """
    known: dict[str, Option] = {}
    for component in reversed(components):
        found = options.options_of(config_class(component))
        known |= found
        if len(components) > 1:
            known |= {f"{component}.{flag}": option for flag, option in found.items()}
    return known | options.options_of(own_class(components))


def _is_for(flag: str, component: str, components: Sequence[str]) -> str:
    """The component's own name of a flag as given, "" when it is meant for others.

    A plain name is the first component's that has it (so --secure-port is the API server's), but leader election is set
    for all at once.
    """
    prefix, dot, own = flag.partition(".")
    if dot:
        return own if prefix == component else ""
    having = [name for name in components if flag in options.options_of(config_class(name))]
    meant = having if flag.startswith("leader-elect") else having[:1]
    return flag if component in meant else ""


def read(arguments: Sequence[str], components: Sequence[str]) -> tuple[Settings, list[str]]:
    """Settings from flags and the file that --config names; the rest are positional arguments. Raises OptionError."""
    flags, positional = options.parse_flags(arguments, known_flags(components))
    own = options.options_of(own_class(components))
    cluster = {flag: value for flag, value in flags.items() if flag in own}
    told: dict[str, dict[str, Any]] = {component: {} for component in components}
    for flag in sorted(flags, key=lambda name: "." in name):  # the one with its component in front wins
        for component in components:
            name = _is_for(flag, component, components)
            if name:
                told[component][name] = flags[flag]
    if "config" in cluster:
        file_cluster, file_told = _read_file(cluster["config"])
        cluster = {**file_cluster, **cluster}
        told = {component: {**file_told.get(component, {}), **told[component]} for component in components}
    return Settings(options.fill(own_class(components), cluster), told), positional


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise OptionError(f"--config: cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"--config: {path} is not valid YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise OptionError(f"--config: {path} must hold a mapping")
    told = {
        component: options.read_section(
            content.pop(component), options.options_of(config_class(component)), f"{path}: {component}"
        )
        for component in COMPONENTS
        if component in content
    }
    own = {flag: option for flag, option in options.options_of(ClusterConfig).items() if flag != "config"}
    return options.read_section(content, own, str(path)), told


def host_address() -> str:
    """The address other machines, and pods, reach this one at: of the interface with the default route, else loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a UDP connect sends nothing; it only picks the route
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def node_name() -> str:
    """The host's name as a Node may be called: lower case, as kubelet does it."""
    return socket.gethostname().strip().lower()


@dataclass(frozen=True, slots=True)
class Layout:
    """Facts that the components' defaults and the certificates are derived from."""

    data: DataDir
    bind_address: str
    port: int
    advertise_address: str
    service_range: str
    node: str

    @property
    def service_address(self) -> str:
        """The `kubernetes` Service's: the first of the range."""
        return str(ipaddress.ip_network(self.service_range.split(",")[0])[1])

    @property
    def advertised_server(self) -> str:
        """The API server's URL for programs on other machines."""
        host = self.advertise_address
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"

    @property
    def local_server(self) -> str:
        """The API server's URL for programs on this machine."""
        wildcard = self.bind_address in ("0.0.0.0", "::", "")
        host = "127.0.0.1" if wildcard else self.bind_address
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"


def layout(settings: Settings) -> Layout:
    """Derive the layout; Raises OptionError for a service range that is none."""
    api = settings.told.get("apiserver", {})
    defaults = {flag: option.default for flag, option in options.options_of(config_class("apiserver")).items()}
    service_range = str(api.get("service-cluster-ip-range") or defaults["service-cluster-ip-range"])
    try:
        ipaddress.ip_network(service_range.split(",")[0])
    except ValueError as error:
        raise OptionError(f"--service-cluster-ip-range: {error}") from error
    bind = str(api.get("bind-address") or defaults["bind-address"])
    advertise = str(api.get("advertise-address") or "")
    if not advertise:
        advertise = host_address() if bind in ("0.0.0.0", "::", "") else bind
    return Layout(
        data=settings.data_dir,
        bind_address=bind,
        port=int(api.get("secure-port") or defaults["secure-port"]),
        advertise_address=advertise,
        service_range=service_range,
        node=str(settings.told.get("nodeagent", {}).get("hostname-override") or node_name()),
    )


def derived(component: str, place: Layout) -> dict[str, Any]:
    """A component's values by flag that follow from the data directory."""
    pki, data = place.data.pki, place.data
    if component == "apiserver":
        return {
            "advertise-address": place.advertise_address,
            "tls-cert-file": pki / "apiserver.crt",
            "tls-private-key-file": pki / "apiserver.key",
            "client-ca-file": pki / "ca.crt",
            "service-account-key-file": (pki / "sa.pub",),
            "service-account-signing-key-file": pki / "sa.key",
            "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
            "requestheader-allowed-names": ("front-proxy-client",),
            "enable-bootstrap-token-auth": True,
            "proxy-client-cert-file": pki / "front-proxy-client.crt",
            "proxy-client-key-file": pki / "front-proxy-client.key",
            "kubelet-client-certificate": pki / "apiserver-kubelet-client.crt",
            "kubelet-client-key": pki / "apiserver-kubelet-client.key",
            "kubelet-certificate-authority": pki / "ca.crt",
            "storage": f"sqlite://{quote(str(data.store / 'cluster.db'))}",
        }
    # The lock on the data directory makes sure that there is only one of each.
    lasting = uuid.uuid5(uuid.NAMESPACE_URL, f"file://{place.data.root}")
    identity = {"leader-elect-identity": f"{place.node}_{lasting}"} if component != "nodeagent" else {}
    common = {**identity, "kubeconfig": data.kubeconfigs / f"{component}.yaml", "client-ca-file": pki / "ca.crt"}
    certificate: dict[str, Any] = {
        "tls-cert-file": pki / f"{component}-server.crt",
        "tls-private-key-file": pki / f"{component}-server.key",
    }
    if component == "controllers":
        return {
            **common,
            **certificate,
            "root-ca-file": pki / "ca.crt",
            "cluster-signing-cert-file": pki / "ca.crt",
            "cluster-signing-key-file": pki / "ca.key",
            "service-account-private-key-file": pki / "sa.key",
            "service-cluster-ip-range": place.service_range,
        }
    if component == "nodeagent":
        if data.bootstrap_kubeconfig.exists():
            certificate = {"bootstrap-kubeconfig": data.bootstrap_kubeconfig, "rotate-server-certificates": True}
        return {
            **common,
            **certificate,
            "hostname-override": place.node,
            "root-dir": data.node,
            "node-ip": place.advertise_address,
        }
    return {**common, **certificate}


def build(component: str, settings: Settings, place: Layout) -> Any:
    """The component's configuration. Raises OptionError for a combination it refuses."""
    try:
        return options.fill(config_class(component), derived(component, place), settings.told.get(component, {}))
    except ValueError as error:
        raise OptionError(f"{component}: {error}") from error
