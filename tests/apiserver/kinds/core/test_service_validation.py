"""Service: what is wrong with new ones, and what is warned about."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.service import SERVICE
from tests.support.kindtest import KindTester, changed
from tests.support.texts import LABEL, NAME_PART, QUALIFIED, SUBDOMAIN

WEB: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
tester = KindTester(SERVICE)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({}, [], []),
        ({"metadata.name": "1a"}, [], []),
        ({"metadata.name": "a.b"}, ['metadata.name: Invalid value: "a.b": must not contain dots'], []),
        ({"spec.ports": []}, ["spec.ports: Required value"], []),
        ({"spec.ports": [], "spec.clusterIP": "None"}, [], []),
        ({"spec.ports[0].name": "A_b"}, [('spec.ports[0].name: Invalid value: "A_b":' + LABEL)], []),
        (
            {"spec.ports[1]": {"port": 81}},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
            [],
        ),
        (
            {"spec.ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
            [],
        ),
        (
            {"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
            [
                (
                    "spec.ports[1]: Duplicate value: "
                    '{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}'
                )
            ],
            [],
        ),
        ({"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP"}]}, [], []),
        (
            {"spec.ports[0].port": 70000},
            [
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
            [],
        ),
        (
            {"spec.ports[0].protocol": "tcp"},
            ['spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'],
            [],
        ),
        (
            {"spec.ports[0].targetPort": "way-too-long-port-name"},
            ['spec.ports[0].targetPort: Invalid value: "way-too-long-port-name": must be no more than 15 characters'],
            [],
        ),
        (
            {"spec.ports[0].appProtocol": "a/b/c"},
            [('spec.ports[0].appProtocol: Invalid value: "a/b/c":' + QUALIFIED)],
            [],
        ),
        (
            {"spec.ports[0].nodePort": 30000},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            [],
        ),
        (
            {
                "spec.type": "NodePort",
                "spec.ports": [
                    {"name": "a", "port": 80, "nodePort": 30000},
                    {"name": "b", "port": 81, "nodePort": 30000},
                ],
            },
            ["spec.ports[1].nodePort: Duplicate value: 30000"],
            [],
        ),
        ({"spec.selector": {"a b": "c"}}, [('spec.selector: Invalid value: "a b":' + NAME_PART)], []),
        (
            {"spec.sessionAffinity": "x"},
            ['spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"'],
            [],
        ),
        (
            {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            [
                (
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater "
                    "than 0 and less than 86400"
                )
            ],
            [],
        ),
        (
            {"spec.type": "External"},
            [
                (
                    'spec.type: Unsupported value: "External": supported values: "ClusterIP", "ExternalName", '
                    '"LoadBalancer", "NodePort"'
                )
            ],
            [],
        ),
        ({"spec.type": "ExternalName"}, ["spec.externalName: Required value"], []),
        ({"spec.type": "ExternalName", "spec.externalName": "a.b."}, [], []),
        (
            {"spec.type": "ExternalName", "spec.externalName": "a_b"},
            [('spec.externalName: Invalid value: "a_b":' + SUBDOMAIN)],
            [],
        ),
        (
            {
                "spec.type": "ExternalName",
                "spec.externalName": "a",
                "spec.clusterIP": "1.2.3.4",
                "spec.ipFamilies": ["IPv4"],
                "spec.ipFamilyPolicy": "SingleStack",
            },
            [
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
                "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
            ],
            [],
        ),
        (
            {"spec.type": "LoadBalancer", "spec.clusterIP": "None"},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"],
            [],
        ),
        (
            {"spec.clusterIP": "1.2.3.4", "spec.clusterIPs": ["1.2.3.5"]},
            ['spec.clusterIPs: Invalid value: ["1.2.3.5"]: first value must match `clusterIP`'],
            [],
        ),
        (
            {"spec.clusterIPs": ["1.2.3.4"]},
            ['spec.clusterIPs: Invalid value: ["1.2.3.4"]: must be empty when `clusterIP` is not specified'],
            [],
        ),
        (
            {"spec.clusterIP": "None", "spec.clusterIPs": ["None", "1.2.3.4"]},
            ['spec.clusterIPs: Invalid value: ["None","1.2.3.4"]: \'None\' must be the first and only value'],
            [],
        ),
        (
            {"spec.clusterIP": "1.2.3.4", "spec.clusterIPs": ["1.2.3.4", "1.2.3.5"]},
            [
                (
                    'spec.clusterIPs: Invalid value: ["1.2.3.4","1.2.3.5"]: may specify no more than one IP for '
                    "each IP family"
                )
            ],
            [],
        ),
        (
            {"spec.clusterIP": "1.2.3.4", "spec.clusterIPs": ["1.2.3.4", "::1", "::2"]},
            ['spec.clusterIPs: Invalid value: ["1.2.3.4","::1","::2"]: may only hold up to 2 values'],
            [],
        ),
        (
            {"spec.clusterIP": "::ffff:1.2.3.4"},
            ['spec.clusterIPs[0]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'],
            [],
        ),
        (
            {"spec.clusterIP": "1.2.3.4", "spec.ipFamilies": ["IPv6"]},
            ['spec.clusterIPs[0]: Invalid value: "1.2.3.4": expected an IPv6 value as indicated by `ipFamilies[0]`'],
            [],
        ),
        ({"spec.ipFamilies": ["IPv4", "IPv4"]}, ['spec.ipFamilies[1]: Duplicate value: "IPv4"'], []),
        (
            {"spec.ipFamilies": ["v4"]},
            ['spec.ipFamilies[0]: Unsupported value: "v4": supported values: "IPv4", "IPv6"'],
            [],
        ),
        (
            {"spec.ipFamilyPolicy": "x"},
            [
                (
                    'spec.ipFamilyPolicy: Unsupported value: "x": supported values: "PreferDualStack", '
                    '"RequireDualStack", "SingleStack"'
                )
            ],
            [],
        ),
        (
            {"spec.externalIPs": ["1.2.3.4"]},
            [],
            ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"],
        ),
        (
            {"spec.externalIPs": ["127.0.0.1", "169.254.0.1", "224.0.0.1", "0.0.0.0", "x", "01.2.3.4"]},
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
                (
                    'spec.externalIPs[1]: Invalid value: "169.254.0.1": may not be in the link-local range '
                    "(169.254.0.0/16, fe80::/10)"
                ),
                (
                    'spec.externalIPs[2]: Invalid value: "224.0.0.1": may not be in the link-local multicast '
                    "range (224.0.0.0/24, ff02::/10)"
                ),
                'spec.externalIPs[3]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
                'spec.externalIPs[4]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
                'spec.externalIPs[5]: Invalid value: "01.2.3.4": must not have leading 0s',
            ],
            [],
        ),
        (
            {"spec.loadBalancerSourceRanges": ["10.0.0.0/8"]},
            ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            [],
        ),
        (
            {"spec.type": "LoadBalancer", "spec.loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.1/8", "x"]},
            [
                (
                    'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1/8": must not have bits set '
                    "beyond the prefix length"
                ),
                (
                    'spec.LoadBalancerSourceRanges[2]: Invalid value: "x": must be a valid CIDR value, (e.g. '
                    "10.9.8.0/24 or 2001:db8::/64)"
                ),
            ],
            [],
        ),
        (
            {"metadata.annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, x"}},
            [
                (
                    "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: "
                    "may only be used when `type` is 'LoadBalancer'"
                ),
                (
                    "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid "
                    'value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'
                ),
            ],
            [],
        ),
        (
            {
                "metadata.annotations": {
                    "service.kubernetes.io/topology-mode": "Auto",
                    "service.kubernetes.io/topology-aware-hints": "auto",
                }
            },
            [
                (
                    'metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must '
                    "match annotations[service.kubernetes.io/topology-aware-hints] when both are specified"
                )
            ],
            [],
        ),
        (
            {"spec.allocateLoadBalancerNodePorts": True},
            ["spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            [],
        ),
        (
            {"spec.loadBalancerClass": "a"},
            ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            [],
        ),
        (
            {"spec.type": "LoadBalancer", "spec.loadBalancerClass": "a/b/c"},
            [('spec.loadBalancerClass: Invalid value: "a/b/c":' + QUALIFIED)],
            [],
        ),
        (
            {"spec.externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
            [],
        ),
        (
            {"spec.type": "NodePort", "spec.externalTrafficPolicy": "x"},
            ['spec.externalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"'],
            [],
        ),
        (
            {"spec.healthCheckNodePort": 30000},
            [
                (
                    "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is "
                    "'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
                )
            ],
            [],
        ),
        (
            {"spec.type": "LoadBalancer", "spec.externalTrafficPolicy": "Local"},
            ["spec.healthCheckNodePort: Required value"],
            [],
        ),
        (
            {"spec.type": "LoadBalancer", "spec.externalTrafficPolicy": "Local", "spec.healthCheckNodePort": 70000},
            ["spec.healthCheckNodePort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
            [],
        ),
        (
            {"spec.internalTrafficPolicy": "x"},
            ['spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"'],
            [],
        ),
        (
            {"spec.trafficDistribution": "x"},
            [
                (
                    'spec.trafficDistribution: Unsupported value: "x": supported values: "PreferClose", '
                    '"PreferSameZone", "PreferSameNode"'
                )
            ],
            [],
        ),
        (
            {"spec.trafficDistribution": "PreferClose"},
            [],
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
        (
            {"spec.clusterIP": "fd00:0::1", "spec.externalName": "x"},
            [],
            [
                'spec.clusterIPs[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")',
                'spec.externalName is ignored when spec.type is not "ExternalName"',
            ],
        ),
        (
            {
                "spec.clusterIP": "None",
                "spec.sessionAffinity": "ClientIP",
                "spec.loadBalancerIP": "1.2.3.4",
                "spec.externalIPs": ["1.2.3.4"],
            },
            [],
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(WEB, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)
