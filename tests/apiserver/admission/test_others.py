"""Storage, ingress, certificates, nodes, owners."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.errors import ApiError
from apiserver.authn.user import User
from apiserver.registry.kind import Kind
from tests.apiserver.admission.support import Obj, World

GROUP = "rbac.authorization.k8s.io"
JANE = User("jane")


@pytest.fixture
def world() -> World:
    return World()


def grant(world: World, verb: str, group: str, resource: str, name: str = "") -> None:
    rule = {
        "verbs": [verb],
        "apiGroups": [group],
        "resources": [resource],
        **({"resourceNames": [name]} if name else {}),
    }
    key = f"{verb}-{resource}".replace("/", "-")
    world.put("clusterroles", {"metadata": {"name": key}, "rules": [rule]}, GROUP)
    ref = {"kind": "ClusterRole", "name": key}
    subjects = [{"kind": "User", "name": "jane"}]
    world.put("clusterrolebindings", {"metadata": {"name": key}, "roleRef": ref, "subjects": subjects}, GROUP)


async def test_default_classes(world: World) -> None:
    def storage(name: str, when: str, default: bool = True) -> None:
        annotations = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
        meta = {"name": name, "annotations": annotations, "creationTimestamp": when}
        world.put("storageclasses", {"metadata": meta}, "storage.k8s.io")

    async def claim(**spec: Any) -> Any:
        a = await world.run("CREATE", "persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec})
        assert a.obj is not None
        assert a.obj["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        return a.obj["spec"].get("storageClassName")

    assert await claim() is None
    storage("old", "2020-01-01T00:00:00Z")
    storage("new", "2021-01-01T00:00:00Z")
    storage("no", "2022-01-01T00:00:00Z", default=False)
    assert await claim() == "new"
    assert await claim(storageClassName="") == ""
    ingress = {"metadata": {"name": "i"}, "spec": {}}
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    world.put("ingressclasses", {"metadata": {"name": "nginx", "annotations": annotations}}, "networking.k8s.io")
    a = await world.run("CREATE", "ingresses", ingress, group="networking.k8s.io")
    assert a.obj is not None
    assert a.obj["spec"]["ingressClassName"] == "nginx"


async def test_claims_grow_only_where_the_class_lets_them(world: World) -> None:
    def claim(size: str, phase: str = "Bound") -> Obj:
        spec = {"storageClassName": "s", "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase}}

    plural = "persistentvolumeclaims"
    with pytest.raises(ApiError, match="only dynamically provisioned pvc can be resized"):
        await world.run("UPDATE", plural, claim("2Gi"), claim("1Gi"))
    world.put("storageclasses", {"metadata": {"name": "s"}, "allowVolumeExpansion": True}, "storage.k8s.io")
    assert await world.run("UPDATE", plural, claim("2Gi"), claim("1Gi"))
    with pytest.raises(ApiError, match="Only bound persistent volume claims can be expanded"):
        await world.run("UPDATE", plural, claim("2Gi", "Pending"), claim("1Gi", "Pending"))


async def test_new_nodes_are_tainted(world: World) -> None:
    a = await world.run("CREATE", "nodes", {"metadata": {"name": "n"}}, namespace=None)
    assert a.obj is not None
    assert a.obj["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


def request(signer: str, organization: str = "devs") -> Obj:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM)
    return {"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": base64.b64encode(pem).decode()}}


async def test_certificates(world: World) -> None:
    csr: dict[str, Any] = {"group": "certificates.k8s.io", "namespace": None}
    plural, signer = "certificatesigningrequests", "kubernetes.io/kube-apiserver-client"
    assert await world.run("CREATE", plural, request(signer), **csr)
    with pytest.raises(ApiError, match="signer with system:masters group is not allowed"):
        await world.run("CREATE", plural, request(signer, "system:masters"), **csr)
    old = request(signer)
    new = {**old, "status": {"certificate": "x"}}
    with pytest.raises(ApiError, match="user not permitted to approve requests with signerName"):
        await world.run("UPDATE", plural, old, old, subresource="approval", user=JANE, **csr)
    with pytest.raises(ApiError, match="user not permitted to sign requests"):
        await world.run("UPDATE", plural, new, old, subresource="status", user=JANE, **csr)
    grant(world, "approve", "certificates.k8s.io", "signers", "kubernetes.io/*")
    grant(world, "sign", "certificates.k8s.io", "signers", signer)
    assert await world.run("UPDATE", plural, old, old, subresource="approval", user=JANE, **csr)
    assert await world.run("UPDATE", plural, new, old, subresource="status", user=JANE, **csr)


async def test_owners() -> None:
    world = World("OwnerReferencesPermissionEnforcement", only=True)

    class ReplicaSet(Kind):
        group, kind, plural = "apps", "ReplicaSet", "replicasets"

    services: dict[str, Any] = {"resource-of-kind": lambda group, kind: ReplicaSet() if kind == "ReplicaSet" else None}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "blockOwnerDeletion": True}
    owned = {"metadata": {"name": "c", "ownerReferences": [owner]}}

    async def create() -> None:
        await world.run("CREATE", "configmaps", owned, user=JANE, **services)

    with pytest.raises(ApiError, match="you can't set finalizers on"):
        await create()
    unknown = {"metadata": {"name": "c", "ownerReferences": [{**owner, "apiVersion": "apps/v9"}]}}
    with pytest.raises(ApiError, match='no matches for kind "ReplicaSet" in version "apps/v9"'):
        await world.run("CREATE", "configmaps", unknown, user=JANE, **services)
    grant(world, "update", "apps", "replicasets/finalizers")
    await create()  # what one makes may have owners
    free: dict[str, Any] = {"metadata": {"name": "c"}}
    with pytest.raises(ApiError, match="cannot set an ownerRef on a resource you can't delete"):
        await world.run("UPDATE", "configmaps", owned, free, user=JANE, **services)
    grant(world, "delete", "", "configmaps")
    assert await world.run("UPDATE", "configmaps", owned, free, user=JANE, **services)
    assert await world.run("UPDATE", "configmaps", owned, owned, user=User("joe"), **services)
