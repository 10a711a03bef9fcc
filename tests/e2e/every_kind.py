"""One object of each kind that a user may create in a shared cluster without disturbing anybody.

Left out, because others would notice: Node, Namespace, APIService, ServiceCIDR and IPAddress. Workloads have no replicas, policies
and webhooks match nothing.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.manifests import deployment, pod

Obj = dict[str, Any]

# A certificate request for CN=jane, O=dev; its key is thrown away.
REQUEST = (
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWE1IOENBUUF3SFRFTk1Bc0dBMVVFQXd3RWFtRnVaVEVNTUFvR0ExVUVDZ3"
    "dEWkdWMk1Ga3dFd1lIS29aSQp6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVQK2xJMWNnYndrcFUzZWNBR2ZRcHJsdVdoNVBhbkYwRmVSUk9XckFx"
    "CmJkWU1HT0ZVLzVSbWhYTzNZR0wzWlp4cDI5MTBXTDJXVHU1cCtGZEMrZ0FKdGFBQU1Bb0dDQ3FHU000OUJBTUMKQTBnQU1FVUNJQzhPWXIzVn"
    "ZmS21DcWJPSTZkRU9IR1BwV3h3dHVja1MxRHBaZTlNRy9WZUFpRUF4SmNTRW1DMgp6U0RlNFcxTkdGUURCVlFnMmJ0cFF6aTRUSkRBRUZvT2JV"
    "Yz0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=="
)


def namespaced() -> list[Obj]:
    """Objects that go with the test's namespace; all are named "every"."""
    template = deployment("every")["spec"]["template"]
    selector = {"matchLabels": {"app": "every"}}
    once = {"template": {"spec": pod("every", restartPolicy="Never")["spec"]}}
    data = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "none",
    }
    device = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "none"}}]}}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    backend = {"service": {"name": "every", "port": {"number": 80}}}
    rule = {"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    shapes: list[tuple[str, str, Obj]] = [
        ("v1", "ConfigMap", {"data": {"a": "b"}}),
        ("v1", "Endpoints", {"subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}]}),
        (
            "v1",
            "LimitRange",
            {"spec": {"limits": [{"type": "Container", "max": {"cpu": "64"}, "default": {"cpu": "1"}}]}},
        ),
        ("v1", "PersistentVolumeClaim", {"spec": claim}),
        ("v1", "Pod", {"spec": pod("every", nodeSelector={"no": "node"})["spec"]}),
        ("v1", "PodTemplate", {"template": template}),
        ("v1", "ReplicationController", {"spec": {"replicas": 0, "selector": {"app": "every"}, "template": template}}),
        ("v1", "ResourceQuota", {"spec": {"hard": {"configmaps": "50"}}}),
        ("v1", "Secret", {"stringData": {"a": "b"}}),
        ("v1", "Service", {"spec": {"ports": [{"port": 80}]}}),
        ("v1", "ServiceAccount", {}),
        ("apps/v1", "ControllerRevision", {"revision": 1, "data": {"spec": {}}}),
        ("apps/v1", "DaemonSet", {"spec": {"selector": selector, "template": _nowhere(template)}}),
        ("apps/v1", "Deployment", {"spec": {"replicas": 0, "selector": selector, "template": template}}),
        ("apps/v1", "ReplicaSet", {"spec": {"replicas": 0, "selector": selector, "template": template}}),
        (
            "apps/v1",
            "StatefulSet",
            {"spec": {"replicas": 0, "selector": selector, "serviceName": "every", "template": template}},
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": _ref("apps/v1", "Deployment"), "maxReplicas": 3, "metrics": [metric]}},
        ),
        ("batch/v1", "CronJob", {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": once}}}),
        ("batch/v1", "Job", {"spec": {"suspend": True, **once}}),
        ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 15}}),
        (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.8"]}], "ports": [{"name": "", "port": 80}]},
        ),
        ("networking.k8s.io/v1", "Ingress", {"spec": {"rules": [rule]}}),
        ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": {"matchLabels": {"no": "pod"}}}}),
        ("policy/v1", "PodDisruptionBudget", {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"no": "pod"}}}}),
        (
            "rbac.authorization.k8s.io/v1",
            "Role",
            {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", {"subjects": [data], "roleRef": _role("Role", "every")}),
        ("resource.k8s.io/v1", "ResourceClaim", {"spec": device}),
        ("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": {"spec": device}}),
        ("storage.k8s.io/v1", "CSIStorageCapacity", {"storageClassName": "none", "capacity": "1Gi"}),
    ]
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "every"}, **rest} for version, kind, rest in shapes
    ]


def cluster_wide(name: str) -> list[Obj]:
    """Objects without a namespace, all of the given name (a DNS label); whoever creates them deletes them."""
    nothing = {"matchLabels": {"no": name}}
    review = ["v1"]
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": nothing,
        "sideEffects": "None",
        "admissionReviewVersions": review,
    }
    rules = {
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": nothing,
    }
    mutation = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'},
    }
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}
    csi = {"driver": f"{name}.example.com", "volumeHandle": name}
    group = f"{name}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}}}
    shapes: list[tuple[str, str, Obj]] = [
        (
            "v1",
            "PersistentVolume",
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "csi": csi,
                    "storageClassName": name,
                }
            },
        ),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", {"webhooks": [hook]}),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", {"webhooks": [hook]}),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingAdmissionPolicy",
            {"spec": {"matchConstraints": rules, "mutations": [mutation], "reinvocationPolicy": "Never"}},
        ),
        ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", {"spec": {"policyName": name}}),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            {"spec": {"matchConstraints": rules, "validations": [{"expression": "true"}]}},
        ),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            {"spec": {"policyName": name, "validationActions": ["Deny"]}},
        ),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            {
                "metadata": {"name": f"things.{group}"},
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
                },
            },
        ),
        (
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            {"spec": {"request": REQUEST, "signerName": f"{group}/signer", "usages": ["client auth"]}},
        ),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            {"spec": {"matchingPrecedence": 9500, "priorityLevelConfiguration": {"name": name}}},
        ),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            {
                "spec": {
                    "type": "Limited",
                    "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}},
                }
            },
        ),
        ("networking.k8s.io/v1", "IngressClass", {"spec": {"controller": "example.com/none"}}),
        ("node.k8s.io/v1", "RuntimeClass", {"handler": "none"}),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", {"rules": [{"nonResourceURLs": ["/no"], "verbs": ["get"]}]}),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            {"subjects": [subject], "roleRef": _role("ClusterRole", name)},
        ),
        ("resource.k8s.io/v1", "DeviceClass", {"spec": {}}),
        (
            "resource.k8s.io/v1",
            "ResourceSlice",
            {
                "spec": {
                    "driver": group,
                    "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
                    "allNodes": True,
                }
            },
        ),
        ("scheduling.k8s.io/v1", "PriorityClass", {"value": 10}),
        ("storage.k8s.io/v1", "CSIDriver", {"spec": {}}),
        ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": []}}),
        ("storage.k8s.io/v1", "StorageClass", {"provisioner": group}),
        (
            "storage.k8s.io/v1",
            "VolumeAttachment",
            {"spec": {"attacher": group, "nodeName": "none", "source": {"persistentVolumeName": name}}},
        ),
        ("storage.k8s.io/v1", "VolumeAttributesClass", {"driverName": group, "parameters": {"iops": "1"}}),
    ]
    return [{"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest} for version, kind, rest in shapes]


def _ref(version: str, kind: str) -> Obj:
    return {"apiVersion": version, "kind": kind, "name": "every"}


def _role(kind: str, name: str) -> Obj:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def _nowhere(template: Obj) -> Obj:
    return {**template, "spec": {**template["spec"], "nodeSelector": {"no": "node"}}}
