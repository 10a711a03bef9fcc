"""Containers of pods: names, images, ports, environment, probes, hooks, mounts, resources, init containers."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.pod import POD
from tests.support.kindtest import KindTester, changed
from tests.support.texts import LABEL, NAME_PART, SUBDOMAIN

POD_OBJECT: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
tester = KindTester(POD)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        ({"spec.containers": []}, ["spec.containers: Required value"], []),
        ({"spec.containers[0].name": ""}, ["spec.containers[0].name: Required value"], []),
        ({"spec.containers[0].name": "C"}, [('spec.containers[0].name: Invalid value: "C":' + LABEL)], []),
        ({"spec.containers[0].image": ""}, ["spec.containers[0].image: Required value"], []),
        (
            {"spec.containers[0].image": " i"},
            ['spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'],
            [],
        ),
        (
            {"spec.containers[0].imagePullPolicy": "x"},
            [
                (
                    'spec.containers[0].imagePullPolicy: Unsupported value: "x": supported values: "Always", '
                    '"IfNotPresent", "Never"'
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].terminationMessagePolicy": "x"},
            [
                (
                    'spec.containers[0].terminationMessagePolicy: Unsupported value: "x": supported values: '
                    '"File", "FallbackToLogsOnError"'
                )
            ],
            [],
        ),
        ({"spec.containers[1]": {"name": "c", "image": "i"}}, ['spec.containers[1].name: Duplicate value: "c"'], []),
        (
            {"spec.containers[0].ports": [{"containerPort": 0}]},
            ["spec.containers[0].ports[0].containerPort: Required value"],
            [],
        ),
        (
            {"spec.containers[0].ports": [{"containerPort": 70000, "hostPort": -1, "protocol": "x", "name": "UPPER"}]},
            [
                (
                    'spec.containers[0].ports[0].name: Invalid value: "UPPER": must contain only alpha-numeric '
                    "characters (a-z, 0-9), and hyphens (-)"
                ),
                'spec.containers[0].ports[0].name: Invalid value: "UPPER": must contain at least one letter (a-z)',
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
                'spec.containers[0].ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"',
            ],
            [],
        ),
        (
            {"spec.containers[0].ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            ['spec.containers[0].ports[1].name: Duplicate value: "a"'],
            [],
        ),
        (
            {"spec.containers[0].ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]},
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//1"'],
            [],
        ),
        (
            {
                "spec.containers[0].ports": [
                    {"containerPort": 1, "hostPort": 1, "hostIP": "1.1.1.1"},
                    {"containerPort": 2, "hostPort": 1, "hostIP": "1.1.1.2"},
                ]
            },
            [],
            [],
        ),
        (
            {"spec.hostNetwork": True, "spec.containers[0].ports": [{"containerPort": 1, "hostPort": 2}]},
            [
                (
                    "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when "
                    "`hostNetwork` is true"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].ports": [{"containerPort": 1}, {"containerPort": 1}]},
            [],
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        ({"spec.containers[0].env": [{"name": ""}]}, ["spec.containers[0].env[0].name: Required value"], []),
        (
            {"spec.containers[0].env": [{"name": "a=b"}]},
            [
                (
                    'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name '
                    "must consist only of printable ASCII characters other than '='"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].env": [
                    {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
                ]
            },
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "valueFrom": {}}]},
            [
                (
                    'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
                    "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
            [
                (
                    'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error '
                    "converting fieldPath: field label not supported: spec.x"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].env": [
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}
                ]
            },
            [('spec.containers[0].env[0].valueFrom.fieldRef: Invalid value: "a b":' + NAME_PART)],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.x"}}}]},
            [
                (
                    "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "
                    '"limits.x": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", '
                    '"requests.cpu", "requests.ephemeral-storage", "requests.memory"'
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].env": [
                    {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}
                ]
            },
            [
                (
                    'spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": '
                    "only divisor's values 1m and 1 are supported with the cpu resource"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "", "key": ""}}}]},
            [
                ('spec.containers[0].env[0].valueFrom.secretKeyRef.name: Invalid value: "":' + SUBDOMAIN),
                "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
            ],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "a b"}}}]},
            [
                (
                    'spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Invalid value: "a b": a valid '
                    "config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].envFrom": [{}]},
            ['spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
            [],
        ),
        (
            {"spec.containers[0].envFrom": [{"prefix": "a=", "configMapRef": {"name": ""}}]},
            [
                (
                    'spec.containers[0].envFrom[0].prefix: Invalid value: "a=": a valid environment variable '
                    "name must consist only of printable ASCII characters other than '='"
                ),
                "spec.containers[0].envFrom[0].configMapRef.name: Required value",
            ],
            [],
        ),
        (
            {"spec.containers[0].envFrom": [{"secretRef": {"name": "A"}}]},
            [('spec.containers[0].envFrom[0].secretRef.name: Invalid value: "A":' + SUBDOMAIN)],
            [],
        ),
        (
            {"spec.containers[0].env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
            [],
            ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
        ),
        (
            {"spec.containers[0].livenessProbe": {}},
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
            [],
        ),
        (
            {"spec.containers[0].livenessProbe": {"exec": {}, "successThreshold": 2}},
            [
                "spec.containers[0].livenessProbe.exec.command: Required value",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
            [],
        ),
        (
            {"spec.containers[0].readinessProbe": {"httpGet": {"port": 0, "scheme": "x"}, "periodSeconds": -1}},
            [
                "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                (
                    'spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: "x": supported values: '
                    '"HTTP", "HTTPS"'
                ),
                "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
            [],
        ),
        (
            {"spec.containers[0].readinessProbe": {"tcpSocket": {"port": "A"}, "terminationGracePeriodSeconds": 1}},
            [
                (
                    'spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: "A": must contain only '
                    "alpha-numeric characters (a-z, 0-9), and hyphens (-)"
                ),
                (
                    'spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: "A": must contain at least '
                    "one letter (a-z)"
                ),
                (
                    "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not "
                    "be set for readinessProbes"
                ),
            ],
            [],
        ),
        (
            {"spec.containers[0].startupProbe": {"grpc": {"port": 0}, "terminationGracePeriodSeconds": 0}},
            [
                "spec.containers[0].startupProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
            ],
            [],
        ),
        (
            {"spec.containers[0].livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
            ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
            [],
        ),
        (
            {"spec.containers[0].readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}},
            [
                (
                    'spec.containers[0].readinessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP '
                    "header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
                    "validation is '[-A-Za-z0-9]+')"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].lifecycle": {"postStart": {}}},
            ["spec.containers[0].lifecycle.postStart: Required value: must specify a handler type"],
            [],
        ),
        (
            {"spec.containers[0].lifecycle": {"preStop": {"sleep": {"seconds": 40}}}},
            [
                (
                    "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 40: must be non-negative and "
                    "less than terminationGracePeriodSeconds (30)"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].lifecycle": {"preStop": {"exec": {"command": []}}}},
            ["spec.containers[0].lifecycle.preStop.exec.command: Required value"],
            [],
        ),
        (
            {"spec.containers[0].volumeMounts": [{"name": "v", "mountPath": "/x"}]},
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
            [],
        ),
        (
            {
                "spec.volumes": [{"name": "v"}],
                "spec.containers[0].volumeMounts": [{"name": "v", "mountPath": ""}, {"name": "", "mountPath": "/a"}],
            },
            [
                "spec.containers[0].volumeMounts[0].mountPath: Required value",
                "spec.containers[0].volumeMounts[1].name: Required value",
                'spec.containers[0].volumeMounts[1].name: Not found: ""',
            ],
            [],
        ),
        (
            {
                "spec.volumes": [{"name": "v"}],
                "spec.containers[0].volumeMounts": [
                    {"name": "v", "mountPath": "/a", "subPath": "/b"},
                    {"name": "v", "mountPath": "/a", "subPathExpr": "../b", "mountPropagation": "x"},
                ],
            },
            [
                'spec.containers[0].volumeMounts.subPath: Invalid value: "/b": must be a relative path',
                'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
                "spec.containers[0].volumeMounts.subPathExpr: Invalid value: \"../b\": must not contain '..'",
                (
                    'spec.containers[0].volumeMounts.mountPropagation: Unsupported value: "x": supported values: '
                    '"Bidirectional", "HostToContainer", "None"'
                ),
            ],
            [],
        ),
        (
            {
                "spec.volumes": [{"name": "v"}],
                "spec.containers[0].volumeMounts": [
                    {"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}
                ],
            },
            [
                (
                    "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount "
                    "propagation is available only to privileged containers"
                )
            ],
            [],
        ),
        (
            {
                "spec.volumes": [{"name": "v"}],
                "spec.containers[0].volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}],
            },
            [
                (
                    "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when "
                    "readOnly is true"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].volumeDevices": [{"name": "v", "devicePath": "/d"}]},
            ['spec.containers[0].volumeDevices[0].name: Not found: "v"'],
            [],
        ),
        (
            {"spec.containers[0].resources": {"limits": {"cpu": "-1"}}},
            [
                'spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
                'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            ],
            [],
        ),
        (
            {"spec.containers[0].resources": {"limits": {"bananas": "1"}}},
            [
                (
                    'spec.containers[0].resources.limits[bananas]: Invalid value: "bananas": must be a standard '
                    "resource type or fully qualified"
                ),
                (
                    'spec.containers[0].resources.limits[bananas]: Invalid value: "bananas": must be a standard '
                    "resource for containers"
                ),
                (
                    'spec.containers[0].resources.requests[bananas]: Invalid value: "bananas": must be a '
                    "standard resource type or fully qualified"
                ),
                (
                    'spec.containers[0].resources.requests[bananas]: Invalid value: "bananas": must be a '
                    "standard resource for containers"
                ),
            ],
            [],
        ),
        (
            {"spec.containers[0].resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
            [],
        ),
        (
            {"spec.containers[0].resources": {"limits": {"example.com/x": "1.5"}}},
            [
                'spec.containers[0].resources.limits[example.com/x]: Invalid value: "1500m": must be an integer',
                'spec.containers[0].resources.requests[example.com/x]: Invalid value: "1500m": must be an integer',
            ],
            [],
        ),
        (
            {"spec.containers[0].resources": {"requests": {"example.com/x": "1"}}},
            ["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"],
            [],
        ),
        (
            {"spec.containers[0].resources": {"requests": {"example.com/x": "1"}, "limits": {"example.com/x": "2"}}},
            ['spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/x limit of 2'],
            [],
        ),
        (
            {"spec.containers[0].resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}},
            [
                (
                    'spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not '
                    "positive integer multiple of hugepages-2Mi"
                ),
                (
                    'spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not '
                    "positive integer multiple of hugepages-2Mi"
                ),
            ],
            [],
        ),
        (
            {"spec.containers[0].resources": {"limits": {"hugepages-2Mi": "2Mi"}}},
            ["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
            [],
        ),
        (
            {"spec.containers[0].resources": {"claims": [{"name": "x"}]}},
            [
                (
                    'spec.containers[0].resources.claims[0]: Not found: "x": must be one of the names in '
                    "pod.spec.resourceClaims which is empty"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].resources": {"requests": {"memory": "100m"}}},
            [],
            [
                (
                    'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, '
                    "must be an integer"
                )
            ],
        ),
        (
            {
                "spec.containers[0].resizePolicy": [
                    {"resourceName": "cpu", "restartPolicy": "x"},
                    {"resourceName": "cpu", "restartPolicy": "NotRequired"},
                    {"resourceName": "pods", "restartPolicy": "NotRequired"},
                ]
            },
            [
                (
                    'spec.containers[0].resizePolicy: Unsupported value: "x": supported values: "NotRequired", '
                    '"RestartContainer"'
                ),
                'spec.containers[0].resizePolicy[1]: Duplicate value: "cpu"',
                'spec.containers[0].resizePolicy: Unsupported value: "pods": supported values: "cpu", "memory"',
            ],
            [],
        ),
        (
            {"spec.containers[0].restartPolicy": "Sometimes"},
            [
                (
                    'spec.containers[0].restartPolicy: Unsupported value: "Sometimes": supported values: '
                    '"Always", "Never", "OnFailure"'
                )
            ],
            [],
        ),
        ({"spec.containers[0].restartPolicy": "Never"}, [], []),
        (
            {
                "spec.containers[0].restartPolicyRules": [
                    {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
                ]
            },
            [
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"
            ],
            [],
        ),
        (
            {"spec.initContainers": [{"name": "c", "image": "i"}]},
            ['spec.initContainers[0].name: Duplicate value: "c"'],
            [],
        ),
        (
            {"spec.initContainers": [{"name": "n", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]},
            [
                (
                    "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
                    "restartPolicy=Always"
                )
            ],
            [],
        ),
        (
            {
                "spec.initContainers": [
                    {
                        "name": "n",
                        "image": "i",
                        "restartPolicy": "Always",
                        "livenessProbe": {"exec": {"command": ["a"]}},
                        "lifecycle": {"preStop": {"exec": {"command": ["a"]}}},
                    }
                ]
            },
            [],
            [],
        ),
        (
            {
                "spec.initContainers": [
                    {"name": "n", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}
                ]
            },
            [
                (
                    "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without "
                    "restartPolicy=Always"
                )
            ],
            [],
        ),
        (
            {"spec.ephemeralContainers": [{"name": "e", "image": "i"}]},
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(POD_OBJECT, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)
