"""Every kubectl command that handles objects, with the oldest and the newest kubectl: what it prints is what a real cluster
makes it print. Commands that need running containers are in test_kubectl_tour_pods.py."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import every_kind
from tests.e2e.conftest import IMAGE
from tests.e2e.manifests import deployment
from tests.e2e.tour import ENDS, Tour, columns, editor, in_order, manifest
from tests.support.cluster import Cluster


@pytest.fixture(params=ENDS)
def tour(cluster: Cluster, namespace: str, request: pytest.FixtureRequest) -> Tour:
    return Tour(cluster, namespace, request.param)


@pytest.fixture
def leave(tour: Tour) -> Iterator[Callable[..., None]]:
    """Registers cluster-wide objects ("kind", "name") to delete after the test."""
    names: list[tuple[str, str]] = []
    yield lambda kind, name: names.append((kind, name))
    for kind, name in names:
        tour.run("delete", kind, name, "--ignore-not-found", "--wait=false", check=False)


def settings(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"part": "x"}}, "data": data}


def test_create_of_everything_that_kubectl_can_create(tour: Tour, leave: Callable[..., None], tmp_path: Path) -> None:
    own = tour.namespace
    key, cert = tmp_path / "k.pem", tmp_path / "c.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    for kind in ("clusterrole", "clusterrolebinding", "priorityclass"):
        leave(kind, own)
    image = f"--image={IMAGE}"
    wanted: list[tuple[list[str], str]] = [
        (["configmap", "x", "--from-literal=a=b"], "configmap/x"),
        (["secret", "generic", "x", "--from-literal=a=b"], "secret/x"),
        (["secret", "tls", "tls", f"--cert={cert}", f"--key={key}"], "secret/tls"),
        (["secret", "docker-registry", "r", "--docker-username=u", "--docker-password=p"], "secret/r"),
        (["deployment", "x", image, "--replicas=0", "--port=80"], "deployment.apps/x"),
        (["cronjob", "x", image, "--schedule=0 0 1 1 *", "--", "true"], "cronjob.batch/x"),
        (["job", "x", "--from=cronjob/x"], "job.batch/x"),
        (["job", "y", image, "--", "true"], "job.batch/y"),
        (["service", "clusterip", "c", "--tcp=80:8080"], "service/c"),
        (["service", "nodeport", "n", "--tcp=80:8080"], "service/n"),
        (["service", "loadbalancer", "l", "--tcp=80:8080"], "service/l"),
        (["service", "externalname", "e", "--external-name=a.example.com"], "service/e"),
        (["ingress", "x", "--rule=a.example.com/b*=c:80,tls=t"], "ingress.networking.k8s.io/x"),
        (["role", "x", "--verb=get,list", "--resource=pods,deployments.apps/scale"], "role.rbac.authorization.k8s.io/x"),
        (["rolebinding", "x", "--role=x", "--user=u"], "rolebinding.rbac.authorization.k8s.io/x"),
        (["clusterrole", own, "--verb=get", "--non-resource-url=/no"], f"clusterrole.rbac.authorization.k8s.io/{own}"),
        (["clusterrolebinding", own, f"--clusterrole={own}", "--group=g"], f"clusterrolebinding.rbac.authorization.k8s.io/{own}"),
        (["quota", "x", "--hard=pods=5,configmaps=9"], "resourcequota/x"),
        (["priorityclass", own, "--value=7", "--description=d"], f"priorityclass.scheduling.k8s.io/{own}"),
        (["poddisruptionbudget", "x", "--selector=a=b", "--min-available=50%"], "poddisruptionbudget.policy/x"),
        (["serviceaccount", "x"], "serviceaccount/x"),
    ]  # fmt: skip
    for arguments, name in wanted:
        assert tour("create", *arguments) == f"{name} created"
    services = columns(tour("get", "services", "--no-headers"))
    assert [row[1] for row in services] == ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
    assert "services" in tour.refused("create", "service", "clusterip", "c", "--tcp=80")
    assert tour.refused("create", "configmap", "x") == (
        'error: failed to create configmap: configmaps "x" already exists'
    )
    kinds = [row[:3] for row in columns(tour("get", "secrets", "--no-headers"))]
    assert kinds == [
        ["r", "kubernetes.io/dockerconfigjson", "1"],
        ["tls", "kubernetes.io/tls", "2"],
        ["x", "Opaque", "1"],
    ]
    token = tour("create", "token", "x", "--duration=10m", "--audience=other")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["other"], 600)
    assert claims["sub"] == f"system:serviceaccount:{own}:x"
    assert tour("create", "namespace", own, "--dry-run=client", "-o", "name") == f"namespace/{own}"


def test_apply_on_the_client_side(tour: Tour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = {**deployment("web", replicas=0)}
    web["metadata"] = {"name": "web", "labels": {"part": "x"}}
    assert tour.apply(web, settings("c", a="b")) == "deployment.apps/web created\nconfigmap/c created"
    assert tour.apply(web, settings("c", a="b")) == "deployment.apps/web unchanged\nconfigmap/c unchanged"
    changed = manifest(web, settings("c", a="c"))
    difference = tour.refused("diff", "-f", "-", stdin=changed)
    assert re.findall(r"^[-+] .*", difference, re.M) == ["-  a: b", "+  a: c"]
    assert tour("apply", "-f", "-", "--dry-run=server", stdin=changed) == (
        "deployment.apps/web unchanged (server dry run)\nconfigmap/c configured (server dry run)"
    )
    assert tour("apply", "-f", "-", stdin=changed) == "deployment.apps/web unchanged\nconfigmap/c configured"
    assert tour("diff", "-f", "-", stdin=changed) == ""
    assert tour("apply", "view-last-applied", "configmap/c") == (
        f"apiVersion: v1\ndata:\n  a: c\nkind: ConfigMap\nmetadata:\n  annotations: {{}}\n  labels:\n    part: x\n  name: c\n"
        f"  namespace: {tour.namespace}"
    )
    monkeypatch.setenv("EDITOR", editor(tmp_path, "a: c", "a: d"))
    edit = ["apply", "edit-last-applied", "configmap/c"]
    assert tour(*edit) == "configmap/c edited"
    assert tour.said(*edit).strip() == "Edit cancelled, no changes made."
    assert "  a: d\n" in tour("apply", "view-last-applied", "configmap/c")
    (tmp_path / "c.json").write_text(json.dumps(settings("c", a="c")))
    assert tour("apply", "set-last-applied", "-f", str(tmp_path / "c.json")) == "configmap/c configured"
    pruned = tour(
        "apply", "-f", "-", "--prune", "-l", "part=x", "--prune-allowlist=core/v1/ConfigMap", stdin=manifest(web)
    )
    assert pruned == "deployment.apps/web unchanged\nconfigmap/c pruned"
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")
    members = ["apply", "-f", "-", "--prune", "--applyset=members"]
    assert (
        tour(*members, stdin=manifest(settings("one", a="b"), settings("two", a="b")))
        == "configmap/one created\nconfigmap/two created"
    )
    assert tour(*members, stdin=manifest(settings("one", a="b"))) == "configmap/one unchanged\nconfigmap/two pruned"


def test_apply_refuses_what_the_schema_does_not_have(tour: Tour) -> None:
    wrong = manifest({**settings("c"), "dat": {}})
    assert tour.refused("apply", "-f", "-", stdin=wrong) == (
        'Error from server (BadRequest): error when creating "STDIN": ConfigMap in version "v1" cannot be handled as a '
        'ConfigMap: strict decoding error: unknown field "dat"'
    )
    assert 'Warning: unknown field "dat"\n' in tour.said("apply", "-f", "-", "--validate=warn", stdin=wrong)
    bad = manifest({**deployment("web"), "spec": {**deployment("web")["spec"], "replicas": "many"}})
    assert (
        'Deployment in version "v1" cannot be handled as a Deployment: '
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    ) in tour.refused("apply", "-f", "-", stdin=bad)
    nothing = manifest({**settings("c"), "kind": "Nothing"})
    assert 'no matches for kind "Nothing" in version "v1"' in tour.refused("apply", "-f", "-", stdin=nothing)
    invalid = manifest(settings("Not_a_name"))
    assert tour.refused("apply", "-f", "-", stdin=invalid).startswith(
        'The ConfigMap "Not_a_name" is invalid: metadata.name: Invalid value: "Not_a_name": a lowercase RFC 1123 subdomain'
    )


def test_apply_on_the_server_side(tour: Tour) -> None:
    tour.apply(settings("c", a="1"))
    first = manifest(settings("c", a="2"))
    # kubectl hands what its client-side apply owned to its server-side self: no conflict.
    assert (
        tour("apply", "--server-side", "-f", "-", stdin=manifest(settings("c", a="1")))
        == "configmap/c serverside-applied"
    )
    assert tour("apply", "--server-side", "-f", "-", stdin=first) == "configmap/c serverside-applied"
    other = ["apply", "--server-side", "--field-manager=other", "-f", "-"]
    second = manifest(settings("c", a="3", b="4"))
    in_order(
        tour.refused(*other, stdin=second),
        [
            'error: Apply failed with 1 conflict: conflict with "kubectl": .data.a\n',
            "Please review the fields above--they currently have other managers.",
        ],
    )
    assert '+  a: "3"' in tour.refused("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=second)
    assert tour(*other, "--force-conflicts", stdin=second) == "configmap/c serverside-applied"
    owners = {
        (entry["manager"], entry["operation"]): sorted(entry["fieldsV1"].get("f:data", {}))
        for entry in tour.json("configmap", "c", "--show-managed-fields")["metadata"]["managedFields"]
    }
    assert owners[("other", "Apply")] == ["f:a", "f:b"]
    assert owners[("kubectl", "Apply")] == []
    assert tour(*other, stdin=manifest(settings("c", a="3"))) == "configmap/c serverside-applied"
    assert tour.json("configmap", "c")["data"] == {"a": "3"}


def test_annotate_and_label(tour: Tour) -> None:
    tour.apply(settings("c"), settings("d"))
    annotated = "configmap/c annotate" if tour.minor == 27 else "configmap/c annotated"
    assert tour("annotate", "configmap/c", "x=y") == annotated
    assert tour.refused("annotate", "configmap/c", "x=z") == (
        "error: --overwrite is false but found the following declared annotation(s): 'x' already has a value (y)"
    )
    assert tour("annotate", "configmap/c", "x=z", "--overwrite") == annotated
    assert "x=z" in tour("annotate", "configmap/c", "--list").splitlines()
    assert tour("annotate", "configmap/c", "x-") == annotated
    assert tour("label", "configmap/c", "x=y") == "configmap/c labeled"
    assert tour("label", "configmap/c", "x=y") == "configmap/c not labeled"
    assert tour.refused("label", "configmap/c", "x=z") == "error: 'x' already has a value (y), and --overwrite is false"
    assert tour("label", "configmaps", "-l", "part=x", "set=1") == "configmap/c labeled\nconfigmap/d labeled"
    assert tour("label", "configmap/c", "x-") == "configmap/c unlabeled"
    assert "invalid label value" in tour.refused("label", "configmap/c", "x=a b")
    assert columns(tour("get", "configmaps", "-L", "set", "-l", "set"))[1][::3] == ["c", "1"]


def test_patch_of_all_types(tour: Tour) -> None:
    tour.apply(deployment("web", replicas=0))
    patched = "deployment.apps/web patched"
    patch = ["patch", "deployment", "web"]
    assert tour(*patch, "-p", '{"spec":{"replicas":0,"minReadySeconds":1}}') == patched
    assert tour(*patch, "-p", '{"spec":{"minReadySeconds":1}}') == f"{patched} (no change)"
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"second","image":"a"}]}}}}'
    assert tour(*patch, "-p", strategic) == patched
    names = "-o=jsonpath={.spec.template.spec.containers[*].name}"
    assert tour("get", "deployment", "web", names) == "second main"
    assert tour(*patch, "--type=merge", "-p", strategic) == patched
    assert tour("get", "deployment", "web", names) == "second"
    assert tour(*patch, "--type=json", "-p", '[{"op":"replace","path":"/spec/minReadySeconds","value":3}]') == patched
    assert tour("get", "deployment", "web", "-o=jsonpath={.spec.minReadySeconds}") == "3"
    assert tour.refused(*patch, "--type=json", "-p", '[{"op":"remove","path":"/spec/nothing"}]') == (
        "The request is invalid: the server rejected our request due to an error in our request"
    )
    assert tour.refused(*patch, "-p", '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}').startswith(
        'The Deployment "web" is invalid: '
    )
    assert tour(*patch, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":0}}').startswith(
        "scale.autoscaling/web patched"
    )
    assert columns(tour("get", "deployment", "web", "--subresource=scale"))[0] == [
        "NAME",
        "DESIRED",
        "AVAILABLE",
        "AGE",
    ]
    assert tour(*patch, "--subresource=status", "--type=merge", "-p", '{"status":{"collisionCount":4}}') == patched
    assert tour("get", "deployment", "web", "--subresource=status", "-o=jsonpath={.status.collisionCount}") == "4"


def test_replace_and_edit(tour: Tour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tour("create", "-f", "-", stdin=manifest(settings("c", a="1")))
    live = tour.json("configmap", "c")
    live["data"] = {"a": "2"}
    assert tour("replace", "-f", "-", stdin=json.dumps(live)) == "configmap/c replaced"
    live["data"] = {"a": "3"}
    assert tour.refused("replace", "-f", "-", stdin=json.dumps(live)) == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on configmaps "c": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    (tmp_path / "c.json").write_text(json.dumps(settings("c", a="4")))
    forced = tour("replace", "--force", "-f", str(tmp_path / "c.json"))
    assert re.fullmatch(r'configmap "c" deleted.*\nconfigmap/c replaced', forced)
    assert tour.json("configmap", "c")["metadata"]["uid"] != live["metadata"]["uid"]
    assert 'configmaps "d" not found' in tour.refused("replace", "-f", "-", stdin=json.dumps(settings("d")))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'a: "4"', 'a: "5"'))
    assert tour("edit", "configmap/c") == "configmap/c edited"
    assert tour.said("edit", "configmap/c").strip() == "Edit cancelled, no changes made."
    assert tour.json("configmap", "c")["data"] == {"a": "5"}
    tour.apply(deployment("web", replicas=0))
    monkeypatch.setenv("EDITOR", editor(tmp_path, "replicas: 0", "replicas: -1"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # kubectl keeps what was refused
    assert 'deployments.apps "web" is invalid' in tour.refused("edit", "deployment/web")


def test_delete(tour: Tour) -> None:
    tour.apply(*(settings(name) for name in "abcde"))
    assert tour("delete", "configmap", "a", "--dry-run=server").startswith('configmap "a" deleted')
    assert tour("delete", "configmap/a", "configmap/b").count("deleted") == 2
    assert tour("delete", "configmap", "c", "--now").startswith('configmap "c" deleted')
    assert tour("delete", "configmap", "-l", "part=x").count("deleted") == 2
    assert tour.said("delete", "configmap", "-l", "part=x").strip() == "No resources found"
    assert tour.refused("delete", "configmap", "a") == 'Error from server (NotFound): configmaps "a" not found'
    assert tour("delete", "configmap", "a", "--ignore-not-found") == ""
    tour.apply(settings("f"))
    gone = json.loads(tour("delete", "--raw", f"/api/v1/namespaces/{tour.namespace}/configmaps/f"))
    assert (gone["status"], gone["details"]["name"]) == ("Success", "f")


@pytest.mark.parametrize("mode", ["background", "foreground", "orphan"])
def test_delete_cascades(tour: Tour, mode: str) -> None:
    tour.apply(deployment("web", replicas=0))
    tour("rollout", "status", "deployment/web", "--timeout=30s")
    assert tour("delete", "deployment", "web", f"--cascade={mode}").startswith('deployment.apps "web" deleted')
    if mode == "orphan":
        [left] = tour.json("replicasets")["items"]
        assert "ownerReferences" not in left["metadata"]
    else:
        tour("wait", "replicasets", "--all", "--for=delete", "--timeout=30s")
        assert tour.said("get", "replicasets").strip() == f"No resources found in {tour.namespace} namespace."


def test_get_in_all_its_forms(tour: Tour) -> None:
    tour.apply(deployment("web", replicas=0), *(settings(name, **{name: "1"}) for name in "abc"))
    one = ["get", "configmap", "a"]
    assert tour(*one, "-o", "name") == "configmap/a"
    assert tour(*one, "-o", "jsonpath={.data.a}") == "1"
    assert json.loads(tour(*one, "-o", "jsonpath-as-json={.data}")) == [{"a": "1"}]
    assert tour(*one, "-o", "go-template={{.metadata.name}}/{{.kind}}") == "a/ConfigMap"
    assert "managedFields" not in tour(*one, "-o", "yaml")
    assert "managedFields" in tour(*one, "-o", "yaml", "--show-managed-fields")
    assert tour("get", "configmaps", "-l", "part", "-o", "custom-columns=N:.metadata.name,P:.metadata.labels.part") == (
        "N     P\na     x\nb     x\nc     x"
    )
    assert columns(tour("get", "configmaps", "--show-labels", "-l", "part in (x,y)"))[1][-1] == "part=x"
    assert columns(tour("get", "configmap", "a", "--show-kind", "--no-headers"))[0][0] == "configmap/a"
    tour("annotate", "configmap/a", "rank=9")
    ranked = tour("get", "configmaps", "-l", "part=x", "--sort-by={.metadata.annotations.rank}", "-o", "name")
    assert ranked.split()[-1] == "configmap/a"
    assert len(columns(tour("get", "configmaps", "--chunk-size=1", "-l", "part=x"))) == 4
    wide = columns(tour("get", "deployments.v1.apps", "-o", "wide"))
    assert wide[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert (wide[1][:4], wide[1][5:]) == (["web", "0/0", "0", "0"], ["main", IMAGE, "app=web"])
    assert columns(tour("get", "configmaps", "-A"))[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]
    in_order(tour("get", "configmap/a", "deployment/web"), ["configmap/a", "deployment.apps/web"])
    assert tour("get", "configmaps", "--field-selector=metadata.name=b", "-o", "name") == "configmap/b"
    unknown = tour.refused("get", "configmaps", "--field-selector=data=b")
    assert '"data" is not a known field selector: only "metadata.name", "metadata.namespace"' in unknown
    assert "unable to parse requirement" in tour.refused("get", "configmaps", "-l", "a in b")
    assert tour.refused("get", "configmap", "z") == 'Error from server (NotFound): configmaps "z" not found'
    assert tour.refused("get", "nothings") == 'error: the server doesn\'t have a resource type "nothings"'
    assert tour.said("get", "pods").strip() == f"No resources found in {tour.namespace} namespace."
    assert json.loads(tour("get", "--raw", "/version"))["minor"] == "36"


def test_get_watch(tour: Tour) -> None:
    tour.apply(settings("a"))
    with tour.start("get", "configmaps", "-l", "part=x", "--watch", "--output-watch-events") as watch:
        try:
            assert watch.stdout is not None
            read = watch.stdout.readline
            assert read().split() == ["EVENT", "NAME", "DATA", "AGE"]
            assert read().split()[:3] == ["ADDED", "a", "0"]
            tour.apply(settings("b", x="1"))
            assert read().split()[:3] == ["ADDED", "b", "1"]
            tour("label", "configmap", "a", "c=d")
            assert read().split()[:3] == ["MODIFIED", "a", "0"]
            tour("label", "configmap", "b", "part-")
            assert read().split()[:3] == ["DELETED", "b", "1"]
        finally:
            watch.kill()


def test_every_kind_is_applied_told_and_described(tour: Tour, tmp_path: Path) -> None:
    kinds = every_kind.namespaced() + every_kind.cluster_wide(tour.namespace)
    path = tmp_path / "all.yaml"
    path.write_text(manifest(*kinds))
    try:
        assert tour("apply", "-f", str(path)).count(" created") == len(kinds)
        assert tour("apply", "-f", str(path), "--server-side", "--force-conflicts").count("serverside-applied") == len(
            kinds
        )
        listed = tour.run("get", "-f", str(path), "--no-headers", "--show-kind")
        assert "NotFound" not in listed.stderr
        assert len([line for line in listed.stdout.splitlines() if line]) == len(kinds)
        described = tour.run("describe", "-f", str(path), check=False)
        # kubectl 1.33 asks for a beta of VolumeAttributesClass that 1.36 does not serve.
        assert re.sub(r"Warning: .*\n", "", described.stderr) in (
            "", "Error from server (NotFound): the server could not find the requested resource\n",
        )  # fmt: skip
        assert described.stdout.count("\nName:") + described.stdout.startswith("Name:") >= len(kinds) - 1
    finally:
        tour.run("delete", "-f", str(path), "--wait=false", "--ignore-not-found", check=False)


def test_describe_what_every_cluster_has(tour: Tour) -> None:
    node = tour("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    in_order(
        tour("describe", "node", node),
        [
            "Name: ",
            "Lease:\n",
            "Conditions:\n",
            "KubeletReady",
            "Capacity:\n",
            "System Info:\n",
            "Allocated resources:\n",
        ],
    )
    in_order(
        tour("describe", "namespace", "default"),
        ["Status:       Active", "No resource quota.", "No LimitRange resource."],
    )
    in_order(
        tour("describe", "service", "kubernetes", "-n", "default"),
        ["component=apiserver", "Type:", "ClusterIP", "https  443/TCP", "Endpoints:"],
    )
    in_order(tour("describe", "clusterrole", "view"), ["PolicyRule:", "configmaps", "[get list watch]"])
    in_order(tour("describe", "apiservice", "v1.apps"), ["Local APIServices are always available", "Available"])
    in_order(tour("describe", "flowschema", "probes"), ["Matching Precedence:", "/healthz", "Dangling"])
    in_order(tour("describe", "servicecidr", "kubernetes"), ["10.", "Kubernetes default Service CIDR is ready"])


def test_explain(tour: Tour) -> None:
    in_order(tour("explain", "pods"), ["KIND:       Pod\nVERSION:    v1\n", "spec\t<PodSpec>"])
    recursive = tour("explain", "deployments.spec.strategy", "--recursive")
    in_order(recursive, ["GROUP:      apps\n", "FIELD: strategy <DeploymentStrategy>", "    maxSurge\t<IntOrString>"])
    in_order(tour("explain", "hpa", "--api-version=autoscaling/v1"), ["GROUP:      autoscaling\n", "VERSION:    v1\n"])
    old = tour("explain", "cronjobs.spec", "--output=plaintext-openapiv2")
    in_order(old, ["KIND:     CronJob\nVERSION:  batch/v1", "RESOURCE: spec <Object>", "schedule\t<string> -required-"])
    assert 'field "nothing" does not exist' in tour.refused("explain", "pods.spec.nothing")
    assert 'the server doesn\'t have a resource type "nothings"' in tour.refused("explain", "nothings")
    listable = tour("api-resources", "--verbs=list", "--no-headers").splitlines()
    for line in listable[:: 4 if tour.version == ENDS[0] else 3]:
        resource, version = line.split()[0], line.split()[-3]
        in_order(
            tour("explain", resource, f"--api-version={version}", "--recursive"),
            ["KIND: ", "VERSION: ", "FIELDS:", "metadata\t<ObjectMeta>"],
        )


def test_auth(tour: Tour, tmp_path: Path) -> None:
    assert tour("auth", "can-i", "get", "pods", "--subresource=log") == "yes"
    assert tour("auth", "can-i", "get", "/logs") == "yes"
    assert tour.refused("auth", "can-i", "get", "pods", "--as=jane") == "no"
    listed = [" ".join(row) for row in columns(tour("auth", "can-i", "--list", "--as=jane"))]
    assert listed[0] == "Resources Non-Resource URLs Resource Names Verbs"
    assert "selfsubjectaccessreviews.authorization.k8s.io [] [] [create]" in listed
    assert "[/healthz] [] [get]" in listed
    if tour.minor >= 28:
        told = tour("auth", "whoami")
        in_order(
            told,
            ["ATTRIBUTE", "VALUE", "Username", "kubernetes-admin", "Groups", "[system:masters system:authenticated]"],
        )
        as_jane = tour("auth", "whoami", "--as=jane", "--as-group=crew", "-o", "jsonpath={.status.userInfo.groups}")
        assert json.loads(as_jane) == ["crew", "system:authenticated"]
    else:  # it knows only the betas, which 1.36 does not serve
        assert "the selfsubjectreviews API is not enabled in the cluster" in tour.refused("auth", "whoami")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": tour.namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    in_order(
        tour.said("auth", "reconcile", "-f", "-", stdin=manifest(role)),
        [
            "role.rbac.authorization.k8s.io/r reconciled",
            "reconciliation required create",
            "missing rules added:",
            "[get]",
        ],
    )
    role["rules"][0]["verbs"] = ["list"]  # type: ignore[index]
    flags = ["auth", "reconcile", "--remove-extra-permissions", "--remove-extra-subjects", "-f", "-"]
    in_order(
        tour.said(*flags, stdin=manifest(role)),
        ["required update", "missing rules added:", "extra rules removed:", "[get]"],
    )
    assert tour.json("role", "r")["rules"][0]["verbs"] == ["list"]


def test_certificates(tour: Tour, leave: Callable[..., None], tmp_path: Path) -> None:
    names = [f"{tour.namespace}-{answer}" for answer in ("approved", "denied")]
    for name in names:
        leave("csr", name)
        body = {
            "request": every_kind.REQUEST,
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        }
        csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}}
        tour.apply({**csr, "spec": body})
    assert (
        tour("certificate", "approve", names[0]) == f"certificatesigningrequest.certificates.k8s.io/{names[0]} approved"
    )
    assert tour("certificate", "deny", names[1]) == f"certificatesigningrequest.certificates.k8s.io/{names[1]} denied"
    newest = Tour(tour.cluster, tour.namespace, ENDS[-1])  # the oldest cannot wait for any value
    newest("wait", "csr", names[0], "--for=jsonpath={.status.certificate}", "--timeout=20s")
    rows = columns(tour("get", "csr", *names, "--no-headers"))
    assert [row[-1] for row in rows] == ["Approved,Issued", "Denied"]
    in_order(tour("describe", "csr", names[0]), ["Requesting User:    kubernetes-admin", "Common Name:    jane", "dev"])
    assert "already Denied" in tour.refused("certificate", "approve", names[1])


def test_wait(tour: Tour) -> None:
    tour.apply(deployment("web", replicas=0))
    assert (
        tour("wait", "deployment/web", "--for=condition=Available", "--timeout=20s")
        == "deployment.apps/web condition met"
    )
    assert "condition met" in tour("wait", "deployment", "--all", "--for=jsonpath={.spec.replicas}=0")
    assert tour.refused("wait", "deployment/web", "--for=condition=Nothing", "--timeout=1s") == (
        "error: timed out waiting for the condition on deployments/web"
    )
    assert 'deployments.apps "z" not found' in tour.refused("wait", "deployment/z", "--for=condition=Available")
    assert tour("wait", "deployment/z", "--for=delete") == ""
    if tour.minor >= 31:
        with tour.start("wait", "configmap/late", "--for=create", "--timeout=20s") as waiting:
            tour("create", "configmap", "late")
            assert waiting.communicate(timeout=30)[0] == "configmap/late condition met\n"


def test_what_the_cluster_is(tour: Tour, tmp_path: Path) -> None:
    table = columns(tour("api-resources", "--api-group=apps", "-o", "wide"))
    verbs = "create,delete,deletecollection,get,list,patch,update,watch"
    assert table[2] == ["daemonsets", "ds", "apps/v1", "true", "DaemonSet", verbs, "all"]
    assert "nodes" in tour("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    assert "horizontalpodautoscalers.autoscaling" in tour("api-resources", "--categories=all", "-o", "name").split()
    assert {"v1", "apps/v1", "autoscaling/v1", "autoscaling/v2"} <= set(tour("api-versions").split())
    assert re.search(r"Kubernetes control plane.* is running at .*https://127.0.0.1:\d+", tour("cluster-info"))
    tour("create", "configmap", "c")
    tour("cluster-info", "dump", f"--namespaces={tour.namespace}", f"--output-directory={tmp_path}/dump")
    assert json.loads((tmp_path / "dump/nodes.json").read_text())["items"]
    assert (tmp_path / "dump" / tour.namespace / "deployments.json").exists()
    version = json.loads(tour("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.36.")
    assert tour("config", "current-context")
    assert columns(tour("config", "get-contexts"))[1][0] == "*"
    assert "DATA+OMITTED" in tour("config", "view")
    assert tour.refused("top", "pods") == "error: Metrics API not available"
    assert tour.refused("top", "node") == "error: Metrics API not available"


def test_kustomize(tour: Tour, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(manifest(settings("c", a="b")))
    (tmp_path / "kustomization.yaml").write_text("resources: [c.yaml]\nnamePrefix: my-\n")
    assert "  name: my-c" in tour("kustomize", str(tmp_path)).splitlines()
    assert tour("apply", "-k", str(tmp_path)) == "configmap/my-c created"
    assert columns(tour("get", "-k", str(tmp_path)))[1][:2] == ["my-c", "1"]
    assert tour("delete", "-k", str(tmp_path)).startswith('configmap "my-c" deleted')


def test_taint_cordon_and_drain_of_a_node(tour: Tour) -> None:
    # What would disturb other tests is only a dry run here; test_api_tour.py cordons and drains.
    node = tour("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    key = f"example.com/{tour.namespace}"
    try:
        assert tour("taint", "node", node, f"{key}=v:PreferNoSchedule") == f"node/{node} tainted"
        assert tour.refused("taint", "node", node, f"{key}=v:PreferNoSchedule") == (
            f"error: node {node} already has {key} taint(s) with same effect(s) and --overwrite is false"
        )
        assert tour("taint", "node", node, f"{key}=w:PreferNoSchedule", "--overwrite") == f"node/{node} modified"
    finally:
        assert tour("taint", "node", node, f"{key}-") == f"node/{node} untainted"
    assert tour.refused("taint", "node", node, f"{key}-") == f'error: taint "{key}" not found'
    assert tour("cordon", node, "--dry-run=server") == f"node/{node} cordoned (server dry run)"
    tour.apply(every_kind.namespaced()[4])
    drain = ["drain", node, "--dry-run=server", "--ignore-daemonsets", "--force", "--pod-selector=no=pod"]
    assert tour(*drain).splitlines()[-1] == f"node/{node} drained (server dry run)"
