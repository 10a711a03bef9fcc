"""The rest of a pod spec: scheduling, names, DNS, host namespaces, scalars."""

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
        (
            {"metadata.name": "a.b"},
            [],
            [
                (
                    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
                    "a DNS label is recommended: [must not contain dots]"
                )
            ],
        ),
        (
            {"spec.restartPolicy": "x"},
            ['spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"'],
            [],
        ),
        (
            {"spec.dnsPolicy": "x"},
            [
                (
                    'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", '
                    '"ClusterFirst", "Default", "None"'
                )
            ],
            [],
        ),
        (
            {"spec.dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
            [],
        ),
        (
            {
                "spec.dnsConfig": {
                    "nameservers": ["x", "1.1.1.1", "1.1.1.2", "1.1.1.3"],
                    "searches": ["a b"],
                    "options": [{"name": ""}],
                }
            },
            [
                (
                    'spec.dnsConfig.nameservers: Invalid value: ["x","1.1.1.1","1.1.1.2","1.1.1.3"]: must not '
                    "have more than 3 nameservers"
                ),
                (
                    'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. '
                    "10.9.8.7 or 2001:db8::ffff)"
                ),
                (
                    'spec.dnsConfig.searches[0]: Invalid value: "a b": a lowercase RFC 1123 subdomain must '
                    "consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with "
                    "an alphanumeric character (e.g. 'example.com', regex used for validation is "
                    "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
                ),
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ],
            [],
        ),
        (
            {"spec.activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
            [],
        ),
        (
            {"spec.nodeSelector": {"a b": "c", "d": "-"}},
            [
                ('spec.nodeSelector: Invalid value: "a b":' + NAME_PART),
                (
                    'spec.nodeSelector: Invalid value: "-": a valid label must be an empty string or consist of '
                    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
                    "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                ),
            ],
            [],
        ),
        ({"spec.nodeName": "A"}, [('spec.nodeName: Invalid value: "A":' + SUBDOMAIN)], []),
        ({"spec.serviceAccountName": "A"}, [('spec.serviceAccountName: Invalid value: "A":' + SUBDOMAIN)], []),
        ({"spec.hostname": "A"}, [('spec.hostname: Invalid value: "A":' + LABEL)], []),
        ({"spec.subdomain": "a.b"}, ['spec.subdomain: Invalid value: "a.b": must not contain dots'], []),
        ({"spec.priorityClassName": "A"}, [('spec.priorityClassName: Invalid value: "A":' + SUBDOMAIN)], []),
        ({"spec.schedulerName": "A"}, [], []),
        ({"spec.runtimeClassName": "A"}, [('spec.runtimeClassName: Invalid value: "A":' + SUBDOMAIN)], []),
        (
            {"spec.preemptionPolicy": "x"},
            ['spec.preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never"'],
            [],
        ),
        (
            {"spec.hostAliases": [{"ip": "x", "hostnames": ["A"]}]},
            [
                (
                    'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
                    "2001:db8::ffff)"
                ),
                ('spec.hostAliases[0].hostnames[0]: Invalid value: "A":' + SUBDOMAIN),
            ],
            [],
        ),
        (
            {"spec.imagePullSecrets": [{"name": ""}, {"name": "a"}, {"name": "a"}]},
            [],
            [
                'spec.imagePullSecrets[0].name: invalid empty name ""',
                'spec.imagePullSecrets[2].name: duplicate name "a"',
            ],
        ),
        (
            {
                "spec.tolerations": [
                    {"operator": "x"},
                    {"key": "a", "operator": "Exists", "value": "b"},
                    {"key": "a", "effect": "x", "tolerationSeconds": 1},
                    {"operator": "Equal"},
                ]
            },
            [
                (
                    'spec.tolerations[0].operator: Invalid value: "x": operator must be Exists when `key` is '
                    'empty, which means "match all values and all keys"'
                ),
                'spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"',
                "spec.tolerations[1].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
                (
                    "spec.tolerations[2].effect: Invalid value: \"x\": effect must be 'NoExecute' when "
                    "`tolerationSeconds` is set"
                ),
                (
                    'spec.tolerations[2].effect: Unsupported value: "x": supported values: "NoSchedule", '
                    '"PreferNoSchedule", "NoExecute"'
                ),
                (
                    'spec.tolerations[3].operator: Invalid value: "Equal": operator must be Exists when `key` is '
                    'empty, which means "match all values and all keys"'
                ),
            ],
            [],
        ),
        (
            {"spec.readinessGates": [{"conditionType": "a b"}]},
            [('spec.readinessGates[0].conditionType: Invalid value: "a b":' + NAME_PART)],
            [],
        ),
        (
            {"spec.schedulingGates": [{"name": "a"}, {"name": "a"}, {"name": "b c"}]},
            [
                'spec.schedulingGates[1]: Duplicate value: "a"',
                ('spec.schedulingGates[2]: Invalid value: "b c":' + NAME_PART),
            ],
            [],
        ),
        (
            {"spec.schedulingGates": [{"name": "a"}], "spec.nodeName": "n"},
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
            [],
        ),
        (
            {"spec.topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "x"}]},
            [
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                (
                    'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": supported '
                    'values: "DoNotSchedule", "ScheduleAnyway"'
                ),
            ],
            [],
        ),
        (
            {
                "spec.topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "k",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "minDomains": 0,
                        "labelSelector": {"matchLabels": {"a": "b"}},
                        "matchLabelKeys": ["a"],
                        "nodeAffinityPolicy": "x",
                        "nodeTaintsPolicy": "y",
                    }
                ]
            },
            [
                "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
                (
                    "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if "
                    "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
                ),
                (
                    'spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: "x": supported '
                    'values: "Honor", "Ignore"'
                ),
                (
                    'spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "y": supported '
                    'values: "Honor", "Ignore"'
                ),
            ],
            [],
        ),
        (
            {
                "spec.topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
                    {"maxSkew": 2, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
                ]
            },
            [
                (
                    'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{k, '
                    'DoNotSchedule}"'
                )
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms: Required value: must have at least one node selector term"
                )
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}
                }
            },
            [],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "a", "operator": "In"},
                                        {"key": "a", "operator": "Exists", "values": ["b"]},
                                        {"key": "a", "operator": "Gt", "values": ["1", "2"]},
                                        {"key": "a b", "operator": "x"},
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when "
                    "`operator` is 'In' or 'NotIn'"
                ),
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms[0].matchExpressions[1].values: Forbidden: may not be specified when "
                    "`operator` is 'Exists' or 'DoesNotExist'"
                ),
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms[0].matchExpressions[2].values: Required value: must be specified single "
                    "value when `operator` is 'Lt' or 'Gt'"
                ),
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    'nodeSelectorTerms[0].matchExpressions[3].operator: Invalid value: "x": not a valid selector '
                    "operator"
                ),
                (
                    (
                        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                        'nodeSelectorTerms[0].matchExpressions[3].key: Invalid value: "a b":'
                    )
                    + NAME_PART
                ),
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchFields": [
                                        {"key": "metadata.name", "operator": "In", "values": ["a", "b"]},
                                        {"key": "spec.x", "operator": "Exists", "values": []},
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms[0].matchFields[0].values: Required value: must be only one value when "
                    "`operator` is 'In' or 'NotIn' for node field selector"
                ),
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    'nodeSelectorTerms[0].matchFields[1].operator: Invalid value: "Exists": not a valid selector '
                    "operator"
                ),
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    'nodeSelectorTerms[0].matchFields[1].key: Invalid value: "spec.x": not a valid field '
                    "selector key"
                ),
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]
                    }
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: "
                    "Invalid value: 0: must be in the range 1-100"
                )
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"topologyKey": "", "labelSelector": {"matchLabels": {"a": "-"}}, "namespaces": ["A"]}
                        ]
                    }
                }
            },
            [
                (
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector."
                    'matchLabels: Invalid value: "-": a valid label must be an empty string or consist of '
                    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
                    "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                ),
                (
                    (
                        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: "
                        'Invalid value: "A":'
                    )
                    + LABEL
                ),
                (
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: "
                    "Required value: can not be empty"
                ),
                (
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: "
                    'Invalid value: "": name part must be non-empty'
                ),
                (
                    (
                        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: "
                        'Invalid value: "":'
                    )
                    + NAME_PART
                ),
            ],
            [],
        ),
        (
            {
                "spec.affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 101,
                                "podAffinityTerm": {
                                    "topologyKey": "k",
                                    "labelSelector": {},
                                    "matchLabelKeys": ["a"],
                                    "mismatchLabelKeys": ["a"],
                                },
                            }
                        ]
                    }
                }
            },
            [
                (
                    "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: "
                    "Invalid value: 101: must be in the range 1-100"
                ),
                (
                    "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]."
                    'podAffinityTerm.matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and '
                    "mismatchLabelKeys"
                ),
            ],
            [],
        ),
        (
            {"spec.overhead": {"cpu": "-1"}},
            ['spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
            [],
        ),
        (
            {"spec.resources": {"requests": {"storage": "1"}}},
            [
                (
                    'spec.resources.requests[storage]: Unsupported value: "storage": supported values: "cpu", '
                    '"hugepages-", "memory"'
                )
            ],
            [],
        ),
        (
            {"spec.resources": {"requests": {"cpu": "1"}}, "spec.containers[0].resources": {"requests": {"cpu": "2"}}},
            [
                (
                    'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to '
                    "aggregate container requests of 2"
                )
            ],
            [],
        ),
        (
            {
                "spec.resourceClaims": [
                    {"name": "A"},
                    {"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"},
                ]
            },
            [
                ('spec.resourceClaims[0].name: Invalid value: "A":' + LABEL),
                (
                    "spec.resourceClaims[0]: Invalid value: "
                    '{"Name":"A","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one '
                    "of: `resourceClaimName`, `resourceClaimTemplateName`"
                ),
                (
                    "spec.resourceClaims[1]: Invalid value: "
                    '{"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":"y"}: at most one of '
                    "`resourceClaimName` or `resourceClaimTemplateName` may be specified"
                ),
            ],
            [],
        ),
        ({"spec.os": {"name": "x"}}, ['spec.os: Unsupported value: "x": supported values: "linux", "windows"'], []),
        (
            {"spec.os": {"name": "windows"}, "spec.hostPID": True},
            ["spec.hostPID: Forbidden: cannot be set for a windows pod"],
            [],
        ),
        (
            {"spec.setHostnameAsFQDN": True, "spec.hostnameOverride": "x"},
            ["spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true"],
            [],
        ),
        ({"spec.hostnameOverride": "A"}, [('spec.hostnameOverride: Invalid value: "A":' + SUBDOMAIN)], []),
        (
            {"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}},
            [
                (
                    'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must '
                    "be a 32bit integer"
                )
            ],
            [],
        ),
        (
            {"metadata.annotations": {"kubernetes.io/config.mirror": ""}},
            [
                (
                    'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "": must set '
                    "spec.nodeName if mirror pod annotation is set"
                )
            ],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(POD_OBJECT, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)
