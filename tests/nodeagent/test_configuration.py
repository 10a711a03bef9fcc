"""From a pod's specification to what the runtime is told: environment, resources, security, names, resolvers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from apimachinery.gvk import Resource
from nodeagent import containerspec, dns, environment, expansion, fields, hostsfile, resources, sandboxspec, security
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.environment import ConfigError
from nodeagent.runtime import ImageInfo
from tests.nodeagent.pods import container, pod

Obj = dict[str, Any]
IMAGE = ImageInfo("sha256:1", ("busybox:1",), (), 1, None, "", False)
ADDRESSES = {"hostIP": "192.0.2.1", "podIP": "10.1.0.2", "podIPs": [{"ip": "10.1.0.2"}, {"ip": "fd00::2"}]}


def test_references_are_expanded_as_far_as_they_are_known() -> None:
    assert expansion.expand("$(A) $(B) $$(A) $x $", {"A": "1"}) == "1 $(B) $(A) $x $"
    assert expansion.missing("$(A)/$(B)/$$(C)", {"A": ""}) == ["B"]


async def _objects(resource: Resource, namespace: str, name: str) -> Obj | None:
    known = {
        ("configmaps", "cm"): {"data": {"k": "v", "data-1": "x"}},
        ("secrets", "s"): {"data": {"pw": base64.b64encode(b"secret").decode()}},
    }
    return known.get((resource.plural, name))


async def build(one: Obj, services: dict[str, str] | None = None) -> dict[str, str]:
    return await environment.build(
        pod(one), one, objects=_objects, services=services or {}, status=ADDRESSES, allocatable={"cpu": "2"}
    )


async def test_an_environment_from_every_source() -> None:
    one = container(
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "nope", "optional": True}}],
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)$(P_k)$(SVC)$(NO)"},
            {"name": "IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "zz", "optional": True}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
    )
    built = await build(one, {"SVC": "svc"})
    assert built == {
        "SVC": "svc",
        "P_k": "v",
        "P_data-1": "x",
        "A": "1",
        "B": "1vsvc$(NO)",
        "IPS": "10.1.0.2,fd00::2",
        "PW": "secret",
        "CPU": "2000",
    }


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "zz"}}, "couldn't find key zz in ConfigMap ns/cm"),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
    ],
)
async def test_what_is_missing_is_named(entry: Obj, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await build(container(env=[{"name": "X", "valueFrom": entry}]))
    assert str(caught.value) == text


def test_service_variables() -> None:
    def service(namespace: str, name: str, ip: str) -> Obj:
        ports = [{"name": "web-ui", "port": 80, "protocol": "TCP"}]
        return {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": ports}}

    services = [
        service("default", "kubernetes", "10.0.0.1"),
        service("ns", "my-db", "10.0.0.2"),
        service("ns", "h", "None"),
    ]
    found = environment.service_variables(services, "ns", True)
    assert found["MY_DB_SERVICE_HOST"] == "10.0.0.2"
    assert found["MY_DB_SERVICE_PORT_WEB_UI"] == "80"
    assert found["MY_DB_PORT_80_TCP"] == "tcp://10.0.0.2:80"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert "MY_DB_SERVICE_HOST" not in environment.service_variables(services, "ns", False)


def test_fields_of_a_pod() -> None:
    spec = pod()
    spec["metadata"]["labels"] = {"b": "2", "a": 'x"y'}
    assert fields.extract(spec, "metadata.labels", {}) == 'a="x\\"y"\nb="2"'
    assert fields.extract(spec, "metadata.labels['b']", {}) == "2"
    with pytest.raises(fields.FieldError, match=r"unsupported fieldPath: spec\.foo"):
        fields.extract(spec, "spec.foo", {})


def test_resources_become_cgroup_values() -> None:
    one = container(
        resources={"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    )
    found = resources.container_values(pod(one), one, memory_capacity=1 << 30, cfs_quota=True, period=100_000)
    assert found == {
        "cpu_shares": 256,
        "oom_score_adj": 938,
        "memory_limit_in_bytes": 64 << 20,
        "cpu_period": 100_000,
        "cpu_quota": 50_000,
    }
    best = container()
    assert resources.oom_score(pod(best), best, 1 << 30) == 1000
    limits = resources.pod_limits(pod(one), cfs_quota=True, period=100_000)
    assert (limits.cpu_quota, limits.memory) == (50_000, 64 << 20)
    mixed = resources.pod_limits(pod(one, container("d")), cfs_quota=True, period=100_000)
    assert (mixed.cpu_quota, mixed.memory, mixed.cpu_shares) == (-1, 0, 256)


def context(one: Obj, *, uid: int | None = None, user: str = "", **spec: Any) -> Any:
    return security.container_context(
        pod(one, **spec), one, image_uid=uid, image_user=user, target="", seccomp_dir=Path("/seccomp")
    )


def test_a_security_context_is_passed_on_whole() -> None:
    own = {
        "runAsUser": 5,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"},
    }
    found = context(
        container(securityContext=own), securityContext={"runAsGroup": 6, "fsGroup": 7, "supplementalGroups": [8]}
    )
    assert (found.run_as_user.value, found.run_as_group.value) == (5, 6)
    assert list(found.supplemental_groups) == [8, 7]
    assert (list(found.capabilities.add_capabilities), list(found.capabilities.drop_capabilities)) == (
        ["NET_ADMIN"],
        ["ALL"],
    )
    assert (found.readonly_rootfs, found.no_new_privs) == (True, True)
    assert found.seccomp.localhost_ref == "/seccomp/a.json"
    assert "/proc/kcore" in found.masked_paths
    assert not context(container(securityContext={"procMount": "Unmasked"})).masked_paths
    assert context(container(), user="www").run_as_username == "www"


@pytest.mark.parametrize(
    ("own", "uid", "user", "refused"),
    [
        ({"runAsNonRoot": True}, 0, "", "image will run as root"),
        ({"runAsNonRoot": True}, None, "", "image will run as root"),
        ({"runAsNonRoot": True}, None, "www", "image has non-numeric user (www), cannot verify user is non-root"),
        ({"runAsNonRoot": True, "runAsUser": 0}, 5, "", "breaks non-root policy"),
        ({"runAsNonRoot": True}, 5, "", ""),
        ({"runAsNonRoot": True, "runAsUser": 5}, 0, "", ""),
    ],
)
def test_root_is_refused_where_it_must_not_be(own: Obj, uid: int | None, user: str, refused: str) -> None:
    one = container(securityContext=own)
    if not refused:
        context(one, uid=uid, user=user)
        return
    with pytest.raises(security.Refused, match=refused.replace("(", r"\(").replace(")", r"\)")):
        context(one, uid=uid, user=user)


def test_user_namespaces_are_refused_where_the_runtime_has_none() -> None:
    with pytest.raises(security.Refused):
        security.refuse_unsupported(pod(hostUsers=False), user_namespaces=False)


def place() -> sandboxspec.Place:
    return sandboxspec.Place(
        {"own": "1"}, Path("/logs"), Path("/seccomp"), "node1.example", "cluster.local", "/kubepods/x"
    )


def test_a_sandbox_configuration() -> None:
    one = container(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}])
    spec = pod(one, hostname="web", subdomain="sub", shareProcessNamespace=True)
    config = sandboxspec.build(spec, 2, place(), dns.Resolver(("10.0.0.10",), ("a",), ("ndots:5",)))
    assert (config.hostname, config.metadata.attempt) == ("web", 2)
    assert [(p.container_port, p.host_port) for p in config.port_mappings] == [(80, 8080)]
    assert config.linux.security_context.namespace_options.pid == pb.POD
    assert config.linux.cgroup_parent == "/kubepods/x"
    assert config.labels["own"] == "1"
    assert config.labels["io.kubernetes.pod.uid"] == spec["metadata"]["uid"]
    assert config.log_directory == f"/logs/ns_p_{spec['metadata']['uid']}"
    whole = sandboxspec.build({**spec, "spec": {**spec["spec"], "setHostnameAsFQDN": True}}, 0, place(), dns.Resolver())
    assert whole.hostname == "web.sub.ns.svc.cluster.local"
    assert sandboxspec.build(pod(hostNetwork=True), 0, place(), dns.Resolver()).hostname == ""


def test_sysctls_outside_the_safe_set_are_refused() -> None:
    spec = pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    assert sandboxspec.sysctl_refusal(spec, ()) == 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert sandboxspec.sysctl_refusal(spec, ("kernel.msg*",)) == ""


def test_a_container_configuration() -> None:
    one = container(command=["$(A)"], args=["$(B)"], workingDir="/w", tty=True, lifecycle={"stopSignal": "SIGUSR1"})
    inputs = containerspec.Inputs(
        attempt=3,
        image=IMAGE,
        image_name="busybox:1",
        environment={"A": "x"},
        mounts=[containerspec.MountPoint("/h", "/c", True, "HostToContainer")],
        labels={"own": "1"},
        seccomp_dir=Path("/seccomp"),
        memory_capacity=1 << 30,
    )
    config = containerspec.build(pod(one), one, inputs)
    assert (list(config.command), list(config.args)) == (["x"], ["$(B)"])
    assert (config.log_path, config.annotations["io.kubernetes.container.restartCount"]) == ("c/3.log", "3")
    assert config.stop_signal == pb.SIGUSR1
    assert (config.mounts[0].readonly, config.mounts[0].propagation) == (True, pb.PROPAGATION_HOST_TO_CONTAINER)


def test_resolvers_by_policy() -> None:
    host = dns.parse("nameserver 9.9.9.9\nsearch example.com\noptions rotate\n# x\n")
    assert host == dns.Resolver(("9.9.9.9",), ("example.com",), ("rotate",))

    def of(policy: str, **spec: Any) -> dns.Resolver:
        return dns.of_pod(pod(dnsPolicy=policy, **spec), host, cluster_dns=("10.0.0.10",), domain="cluster.local")[0]

    assert of("Default") == host
    assert of("ClusterFirst").servers == ("10.0.0.10",)
    assert of("ClusterFirst").searches == ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com")
    assert of("ClusterFirst", hostNetwork=True) == host
    config = {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]}
    assert of("None", dnsConfig=config) == dns.Resolver(("1.1.1.1",), (), ("ndots:2",))
    fallback, warning = dns.of_pod(pod(), host, cluster_dns=(), domain="cluster.local")
    assert fallback == host
    assert 'Falling back to "Default" policy.' in warning


def test_a_resolver_on_the_host_itself_is_seen_through(tmp_path: Path) -> None:
    own, behind = tmp_path / "resolv.conf", tmp_path / "behind"
    own.write_text("nameserver 127.0.0.53\n")
    assert dns.read_host(own, behind).servers == ("127.0.0.53",)
    behind.write_text("nameserver 192.0.2.53\n")
    assert dns.read_host(own, behind).servers == ("192.0.2.53",)
    assert dns.read_host(tmp_path / "none", behind) == dns.Resolver()


def test_a_hosts_file() -> None:
    spec = pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = hostsfile.text(spec, ["10.1.0.2"], "p", "sub.ns.svc.cluster.local")
    assert "10.1.0.2\tp.sub.ns.svc.cluster.local\tp\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
