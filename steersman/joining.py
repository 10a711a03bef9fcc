"""What a cluster holds so that machines may join it with a bootstrap token: made by the first `steersman token create`.

kubeadm's way: kube-public/cluster-info, which anybody may read, holds address and CA as a kubeconfig without user and is
signed with every token; bearers of a token may ask for a node's client certificate, and nodes for their next ones.
Until a token was made none of it is there, and anonymous callers may read nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from apimachinery import bootstraptokens
from apimachinery.gvk import Resource
from client.api import Client
from client.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, ROLE_BINDINGS, ROLES
from controllers.certificates import ServingApprovingController

Obj = dict[str, Any]

GROUP = "system:bootstrappers:steersman:default-node-token"
MANAGER = "steersman-token"
_RBAC = "rbac.authorization.k8s.io"
_CSR = "system:certificates.k8s.io:certificatesigningrequests"


async def ensure(client: Client, server: str, ca: bytes) -> None:
    """Make it so, by server-side apply; server: the URL by which other machines reach the API server."""
    for resource, obj in objects(server, ca):
        metadata = obj["metadata"]
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        await client.patch(
            resource,
            metadata["name"],
            body,
            metadata.get("namespace"),
            content_type="apply",
            field_manager=MANAGER,
            force=True,
        )


def objects(server: str, ca: bytes) -> list[tuple[Resource, Obj]]:
    """(resource, object) of everything."""
    public = bootstraptokens.CLUSTER_INFO_NAMESPACE
    info = {
        "metadata": {"name": bootstraptokens.CLUSTER_INFO, "namespace": public},
        "data": {bootstraptokens.KUBECONFIG_KEY: cluster_info(server, ca)},
    }
    readers = "steersman:bootstrap-signer-clusterinfo"
    read = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [bootstraptokens.CLUSTER_INFO]}
    approver = ServingApprovingController.source
    serving = [rule.to_policy() for rule in ServingApprovingController.rules]
    serving.append(
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["signers"],
            "resourceNames": ["kubernetes.io/kubelet-serving"],
            "verbs": ["approve"],
        }
    )
    ask = {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/selfnodeserver"]}
    return [
        (CONFIG_MAPS, info),
        (ROLES, {"metadata": {"name": readers, "namespace": public}, "rules": [{**read, "verbs": ["get"]}]}),
        (ROLE_BINDINGS, _binding(readers, "Role", readers, [_user("system:anonymous")], public)),
        (CLUSTER_ROLES, {"metadata": {"name": "steersman:selfnodeserver"}, "rules": [{**ask, "verbs": ["create"]}]}),
        (CLUSTER_ROLES, {"metadata": {"name": f"steersman:{approver}"}, "rules": serving}),
        *(
            (CLUSTER_ROLE_BINDINGS, _binding(name, "ClusterRole", role, [subject]))
            for name, role, subject in (
                ("steersman:kubelet-bootstrap", "system:node-bootstrapper", _group(GROUP)),
                ("steersman:node-autoapprove-bootstrap", f"{_CSR}:nodeclient", _group(GROUP)),
                ("steersman:node-autoapprove-certificate-rotation", f"{_CSR}:selfnodeclient", _group("system:nodes")),
                ("steersman:node-autoapprove-serving", "steersman:selfnodeserver", _group("system:nodes")),
                (f"steersman:{approver}", f"steersman:{approver}", _account(approver)),
            )
        ),
    ]


def cluster_info(server: str, ca: bytes) -> str:
    """The kubeconfig without a user that cluster-info holds."""
    cluster = {"certificate-authority-data": base64.b64encode(ca).decode(), "server": server}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "clusters": [{"cluster": cluster, "name": ""}],
            "contexts": None,
            "current-context": "",
            "kind": "Config",
            "preferences": {},
            "users": None,
        }
    )


def _binding(name: str, kind: str, role: str, subjects: Sequence[Mapping[str, str]], namespace: str = "") -> Obj:
    return {
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [dict(subject) for subject in subjects],
    }


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": "User", "name": name}


def _group(name: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": "Group", "name": name}


def _account(name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}
