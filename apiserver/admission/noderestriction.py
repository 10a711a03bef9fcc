"""NodeRestriction: a node agent changes its own node and its own pods, and nothing that would draw work to itself.

The Node authorizer decides which objects a node may reach; this plugin decides what it may write into them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authz.base import Attributes as Question
from apiserver.authz.node import node_name
from apiserver.authz.nodegraph import MIRROR, pod_secrets_and_configmaps
from apiserver.authz.policy import aggregate
from apiserver.registry.kind import Obj
from apiserver.validation import gostruct
from apiserver.validation.diff import diff

_KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    )
)
_KUBELET_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_CLAIM_SPEC = gostruct.value("v1/PersistentVolumeClaim", "spec")
_CLAIM_STATUS = gostruct.value("v1/PersistentVolumeClaim", "status")
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
_RESOURCES = {
    ("", "pods"),
    ("", "nodes"),
    ("", "persistentvolumeclaims"),
    ("", "serviceaccounts"),
    ("coordination.k8s.io", "leases"),
    ("storage.k8s.io", "csinodes"),
    ("resource.k8s.io", "resourceslices"),
    ("certificates.k8s.io", "certificatesigningrequests"),
}


class Plugin:
    def __init__(self, env: Env) -> None:
        self._reader = env.reader
        self._authorizer = env.authorizer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE", "DELETE") and (group, plural) in _RESOURCES

    async def admit(self, a: Attributes) -> None:
        node = node_name(a.user)
        if node is None:
            return
        if not node:
            raise forbidden(a, f"could not determine node from user {go_quote(a.user.name)}")
        match (a.group, a.plural):
            case ("", "pods"):
                await self._pods(node, a)
            case ("", "nodes"):
                _node(node, a)
            case ("", "persistentvolumeclaims"):
                _claim(node, a)
            case ("", "serviceaccounts"):
                await self._token(node, a)
            case ("coordination.k8s.io", "leases"):
                _lease(node, a)
            case ("storage.k8s.io", "csinodes"):
                if _name(a) != node:
                    raise forbidden(a, "can only access CSINode with the same name as the requesting node")
            case ("resource.k8s.io", "resourceslices"):
                _slice(node, a)
            case ("certificates.k8s.io", "certificatesigningrequests"):
                _signing_request(node, a)

    async def _pods(self, node: str, a: Attributes) -> None:
        who = go_quote(node)
        if a.subresource == "":
            if a.operation == "CREATE":
                await self._mirror_pod(node, a)
            elif a.operation == "DELETE":
                if not a.name:
                    raise errors.not_found("", "pod", "")
                if ((a.old or {}).get("spec") or {}).get("nodeName") != node:
                    raise forbidden(a, f"node {who} can only delete pods with spec.nodeName set to itself")
            else:
                text = (
                    f"unexpected operation {go_quote(a.operation)}, node {who} can only create and delete mirror pods"
                )
                raise forbidden(a, text)
        elif a.subresource == "status":
            _pod_status(node, a)
        elif a.subresource == "eviction":
            if a.operation != "CREATE":
                raise forbidden(a, f"unexpected operation {a.operation}")
            pod = await self._pod(a, _name(a))
            if (pod.get("spec") or {}).get("nodeName") != node:
                raise forbidden(a, f"node {node} can only evict pods with spec.nodeName set to itself")
        else:
            raise forbidden(
                a,
                f"unexpected pod subresource {go_quote(a.subresource)}, only 'status' and 'eviction' are allowed",
            )

    async def _pod(self, a: Attributes, name: str) -> Obj:
        pod = await self._reader.get("", "pods", a.namespace, name)
        if pod is None:
            raise errors.not_found("", "pod", name)  # as a cache of pods words it
        return pod

    async def _mirror_pod(self, node: str, a: Attributes) -> None:
        pod, who = a.obj or {}, go_quote(node)
        spec, meta = pod.get("spec") or {}, pod.get("metadata") or {}
        if MIRROR not in (meta.get("annotations") or {}):
            raise forbidden(
                a, f"pod does not have {go_quote(MIRROR)} annotation, node {who} can only create mirror pods"
            )
        if spec.get("nodeName") != node:
            raise forbidden(a, f"node {who} can only create pods with spec.nodeName set to itself")
        await self._owner(node, a, meta.get("ownerReferences") or [])
        if spec.get("serviceAccountName"):
            raise forbidden(a, f"node {who} can not create pods that reference a service account")
        referenced = {plural for plural, _ in pod_secrets_and_configmaps(spec)}
        for plural in ("secrets", "configmaps"):
            if plural in referenced:
                raise forbidden(a, f"node {who} can not create pods that reference {plural}")
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                for field, what in (
                    ("clusterTrustBundle", "clustertrustbundles"),
                    ("podCertificate", "podcertificates"),
                    ("serviceAccountToken", "a service account"),
                ):
                    if source.get(field) is not None:
                        raise forbidden(a, f"node {who} can not create pods that reference {what}")
            if volume.get("persistentVolumeClaim") is not None:
                raise forbidden(a, f"node {who} can not create pods that reference persistentvolumeclaims")
        if spec.get("resourceClaims"):
            raise forbidden(a, f"node {who} can not create pods that reference resourceclaims")

    async def _owner(self, node: str, a: Attributes, owners: list[Obj]) -> None:
        who = go_quote(node)
        if len(owners) > 1:
            raise forbidden(a, f"node {who} can only create pods with a single owner reference set to itself")
        owner = owners[0] if owners else {}
        if owner.get("apiVersion") != "v1" or owner.get("kind") != "Node" or owner.get("name") != node:
            raise forbidden(a, f"node {who} can only create pods with an owner reference set to itself")
        if not owner.get("controller"):
            raise forbidden(a, f"node {who} can only create pods with a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise forbidden(a, f"node {who} must not set blockOwnerDeletion on an owner reference")
        live = await self._reader.get("", "nodes", None, node)
        if live is None:
            raise errors.not_found("", "nodes", node)
        if owner.get("uid") != live["metadata"].get("uid"):
            uids = f"expected {owner.get('uid', '')} got {live['metadata'].get('uid', '')}"
            raise forbidden(a, f"node {node} UID mismatch: {uids}")

    async def _token(self, node: str, a: Attributes) -> None:
        if a.operation != "CREATE" or a.subresource != "token":
            return
        spec = (a.obj or {}).get("spec") or {}
        ref = spec.get("boundObjectRef") or {}
        if ref.get("apiVersion") != "v1" or ref.get("kind") != "Pod" or not ref.get("name"):
            raise forbidden(a, "node requested token not bound to a pod")
        if not ref.get("uid"):
            raise forbidden(a, "node requested token with a pod binding without a uid")
        pod = await self._pod(a, ref["name"])
        if ref["uid"] != pod["metadata"].get("uid"):
            raise forbidden(
                a,
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise forbidden(a, "node requested token bound to a pod scheduled on a different node")
        await self._audience(a, spec.get("audiences") or [], pod)

    async def _audience(self, a: Attributes, audiences: list[str], pod: Obj) -> None:
        """A node asks only for audiences that the pod itself asks for, or that it was granted."""
        if len(audiences) > 1:
            raise forbidden(a, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        try:
            if await self._asks_for(pod, audience):
                return
        except ApiError as error:
            raise forbidden(a, f"error validating audience {go_quote(audience)}: {error.message}") from None
        question = Question(
            a.user,
            "request-serviceaccounts-token-audience",
            version="v1",
            plural=audience,
            namespace=a.namespace or "",
            name=a.name,
        )
        decision = await self._authorizer.authorize(question)
        if decision.allowed:
            return
        text = f"audience {go_quote(audience)} not found in pod spec volume, "
        if decision.error:
            who = f"error authorizing {a.user.name} to request tokens for this audience: {decision.error}"
            raise forbidden(a, text + who)
        raise forbidden(a, f"{text}{a.user.name} is not authorized to request tokens for this audience")

    async def _asks_for(self, pod: Obj, audience: str) -> bool:
        """Whether the pod has tokens for the audience mounted. ApiError when that cannot be told, as something is not there."""
        problems: list[str] = []
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                token = source.get("serviceAccountToken")
                if token is not None and (token.get("audience") or "") == audience:
                    return True
            try:
                driver = await self._driver(pod, volume)
                found = await self._get("storage.k8s.io", "csidrivers", None, driver, "csidriver") if driver else {}
            except ApiError as error:
                problems.append(error.message)
                continue
            asked = (found.get("spec") or {}).get("tokenRequests") or ()
            if any((request.get("audience") or "") == audience for request in asked):
                return True
        if problems:
            raise ApiError(403, "", aggregate(problems))
        return False

    async def _driver(self, pod: Obj, volume: Obj) -> str:
        """Of a volume that a CSI driver makes, directly or behind a claim; "" for others."""
        claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if (volume.get("ephemeral") or {}).get("volumeClaimTemplate") is not None:
            claim_name = f"{pod['metadata']['name']}-{volume['name']}"
        if not claim_name:
            return str((volume.get("csi") or {}).get("driver") or "")
        claim = await self._get(
            "", "persistentvolumeclaims", pod["metadata"].get("namespace"), claim_name, "persistentvolumeclaim"
        )
        volume_name = (claim.get("spec") or {}).get("volumeName") or ""
        found = await self._get("", "persistentvolumes", None, volume_name, "persistentvolume")
        return str(((found.get("spec") or {}).get("csi") or {}).get("driver") or "")

    async def _get(self, group: str, plural: str, namespace: str | None, name: str, shown: str) -> Obj:
        """shown: how a cache of such objects calls what is not there."""
        found = await self._reader.get(group, plural, namespace, name)
        if found is None:
            raise errors.not_found(group, shown, name)
        return found


def _name(a: Attributes) -> str:
    """The object's name; on a create the URL has none."""
    return a.name or ((a.obj or {}).get("metadata") or {}).get("name") or ""


def _pod_status(node: str, a: Attributes) -> None:
    who = go_quote(node)
    if a.operation != "UPDATE":
        raise forbidden(a, f"unexpected operation {go_quote(a.operation)}")
    old, new = a.old or {}, a.obj or {}
    if (old.get("spec") or {}).get("nodeName") != node:
        raise forbidden(a, f"node {who} can only update pod status for pods with spec.nodeName set to itself")
    if (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
        raise forbidden(a, f"node {who} cannot update labels through pod status")
    field = "resourceClaimStatuses"
    if ((old.get("status") or {}).get(field) or []) != ((new.get("status") or {}).get(field) or []):
        raise forbidden(a, f"node {who} cannot update resource claim statues")
    field = "extendedResourceClaimStatus"
    if ((old.get("status") or {}).get(field) or {}) != ((new.get("status") or {}).get(field) or {}):
        raise forbidden(a, f"node {who} cannot update extended resource claim statues")


def _node(node: str, a: Attributes) -> None:
    who, requested = go_quote(node), _name(a)
    if requested != node:
        raise forbidden(a, f"node {who} is not allowed to modify node {go_quote(requested)}")
    new, old = a.obj or {}, a.old or {}
    new_labels = (new.get("metadata") or {}).get("labels") or {}
    if a.operation == "CREATE":
        if (new.get("spec") or {}).get("configSource") is not None:
            raise forbidden(a, f"node {who} is not allowed to create pods with a non-nil configSource")
        banned = _banned(_changed(new_labels, {}))
        if banned:
            raise forbidden(a, f"node {who} is not allowed to set the following labels: {', '.join(banned)}")
    elif a.operation == "UPDATE":
        source = (new.get("spec") or {}).get("configSource")
        if source is not None and source != (old.get("spec") or {}).get("configSource"):
            raise forbidden(a, f"node {who} is not allowed to update configSource to a new non-nil configSource")
        if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
            raise forbidden(a, f"node {who} is not allowed to modify taints")
        banned = _banned(_changed(new_labels, old["metadata"].get("labels") or {}))
        if banned:
            raise forbidden(a, f"is not allowed to modify labels: {', '.join(banned)}")
        if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise forbidden(a, f"node {who} is not allowed to modify ownerReferences")


def _changed(new: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    return [key for key in {**new, **old} if new.get(key) != old.get(key) or (key in new) != (key in old)]


def _under(namespace: str, parents: Iterable[str]) -> bool:
    return any(namespace == parent or namespace.endswith("." + parent) for parent in parents)


def _banned(labels: Iterable[str]) -> list[str]:
    """Of the changed labels those that draw work to a node, or that Kubernetes keeps for others; sorted."""
    found = set()
    for label in labels:
        namespace = label.partition("/")[0] if "/" in label else ""
        if _under(namespace, ("node-restriction.kubernetes.io",)) or (
            _under(namespace, ("kubernetes.io", "k8s.io"))
            and not (label in _KUBELET_LABELS or _under(namespace, _KUBELET_NAMESPACES))
        ):
            found.add(label)
    return sorted(found)


def _claim(node: str, a: Attributes) -> None:
    if a.subresource != "status":
        raise forbidden(a, "may only update PVC status")
    if a.operation != "UPDATE":
        raise forbidden(a, f"unexpected operation {go_quote(a.operation)}")
    old, new = _fixed_part(a.old or {}), _fixed_part(a.obj or {})
    if old != new:
        text = f"node {go_quote(node)} is not allowed to update fields other than status.quantity and status.conditions"
        raise forbidden(a, f"{text}: {diff(_drawn(old), _drawn(new))}")


def _fixed_part(claim: Obj) -> Obj:
    """What a node may not change of a claim."""
    free = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in free}
    hidden = ("resourceVersion", "managedFields")
    meta = {key: value for key, value in (claim.get("metadata") or {}).items() if key not in hidden and value}
    return {"metadata": meta, "spec": claim.get("spec") or {}, "status": status}


def _drawn(claim: Obj) -> Obj:
    """As texts show it, where a claim's metadata is part of it like its spec."""
    return {**claim["metadata"], "Spec": _CLAIM_SPEC(claim["spec"]), "Status": _CLAIM_STATUS(claim["status"])}


def _lease(node: str, a: Attributes) -> None:
    if a.namespace != "kube-node-lease":
        raise forbidden(a, 'can only access leases in the "kube-node-lease" system namespace')
    if _name(a) != node:
        raise forbidden(a, "can only access node lease with the same name as the requesting node")


def _slice(node: str, a: Attributes) -> None:
    if a.operation == "UPDATE":
        return  # its node cannot be changed
    obj = a.obj if a.operation == "CREATE" else a.old
    if ((obj or {}).get("spec") or {}).get("nodeName") != node:
        verb = "create" if a.operation == "CREATE" else "delete"
        raise forbidden(a, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def _signing_request(node: str, a: Attributes) -> None:
    """A node asks for certificates of a node in its own name only."""
    spec = (a.obj or {}).get("spec") or {}
    if a.operation != "CREATE" or spec.get("signerName") not in _NODE_SIGNERS:
        return
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    raw = base64.b64decode(spec.get("request") or "")
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in raw:
        raise forbidden(a, "unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
    try:
        names = x509.load_pem_x509_csr(raw).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError as error:
        raise forbidden(a, f"unable to parse csr: {error}") from None
    if [name.value for name in names[-1:]] != [f"system:node:{node}"]:
        raise forbidden(a, f"can only create a node CSR with CN=system:node:{node}")
