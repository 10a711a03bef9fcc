"""Values drawn as the original's internal structs."""

from __future__ import annotations

from apiserver.validation import gostruct
from apiserver.validation.diff import diff

SPEC = {
    "containers": [{"name": "c", "image": "i", "resources": {}, "ports": [{"containerPort": 1, "hostIP": "1.2.3.4"}]}],
    "volumes": [{"name": "v", "rbd": {"monitors": ["a"], "image": "i"}}],
    "hostNetwork": True,
    "securityContext": {"fsGroup": 5},
    "nodeSelector": {"b": "1", "a": "2"},
}


def test_a_pod_spec() -> None:
    drawn = gostruct.pod_spec(SPEC)
    assert list(drawn)[:8] == [
        "Volumes",
        "InitContainers",
        "Containers",
        "EphemeralContainers",
        "RestartPolicy",
        "TerminationGracePeriodSeconds",
        "ActiveDeadlineSeconds",
        "DNSPolicy",
    ]
    assert "ServiceAccount" not in drawn
    assert "HostNetwork" not in drawn
    assert list(drawn["SecurityContext"].items())[:3] == [("HostNetwork", True), ("HostPID", False), ("HostIPC", False)]
    assert drawn["SecurityContext"]["FSGroup"] == 5
    assert list(drawn["NodeSelector"]) == ["a", "b"]
    assert drawn["Containers"][0]["Resources"] == {"Limits": None, "Requests": None, "Claims": None}
    assert drawn["Containers"][0]["Ports"] == [
        {"Name": "", "HostPort": 0, "ContainerPort": 1, "Protocol": "", "HostIP": "1.2.3.4"}
    ]
    assert drawn["Volumes"][0]["RBD"] == {
        "CephMonitors": ["a"],
        "RBDImage": "i",
        "FSType": "",
        "RBDPool": "",
        "RadosUser": "",
        "Keyring": "",
        "SecretRef": None,
        "ReadOnly": False,
    }


def test_a_template_has_its_metadata_first() -> None:
    drawn = gostruct.pod_template({"metadata": {"labels": {"a": "b"}, "annotations": {}}, "spec": SPEC})
    assert list(drawn) == ["labels", "Spec"]


def test_what_differs() -> None:
    new = {**SPEC, "nodeName": "n"}
    assert diff(gostruct.pod_spec(SPEC), gostruct.pod_spec(new)).splitlines()[4:6] == [
        '- "NodeName": "",',
        '+ "NodeName": "n",',
    ]
    assert diff(SPEC, SPEC) == ""
