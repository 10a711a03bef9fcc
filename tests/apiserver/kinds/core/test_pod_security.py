"""Security contexts of pods and containers, sysctls, user namespaces, operating systems."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.pod import POD
from tests.support.kindtest import KindTester, changed
from tests.support.texts import SUBDOMAIN

POD_OBJECT: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
tester = KindTester(POD)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        (
            {"spec.containers[0].securityContext": {"runAsUser": -1, "runAsGroup": -1}},
            [
                (
                    "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and "
                    "2147483647, inclusive"
                ),
                (
                    "spec.containers[0].securityContext.runAsGroup: Invalid value: -1: must be between 0 and "
                    "2147483647, inclusive"
                ),
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            [
                (
                    "spec.containers[0].securityContext: Invalid value: "
                    '{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsU'
                    'ser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivil'
                    'egeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot '
                    "set `allowPrivilegeEscalation` to false and `privileged` to true"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].securityContext": {
                    "capabilities": {"add": ["CAP_SYS_ADMIN"]},
                    "allowPrivilegeEscalation": False,
                }
            },
            [
                (
                    "spec.containers[0].securityContext: Invalid value: "
                    '{"Capabilities":{"Add":["CAP_SYS_ADMIN"],"Drop":null},"Privileged":null,"SELinuxOptions":n'
                    'ull,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnly'
                    'RootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":nu'
                    'll,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and '
                    "`capabilities.Add` CAP_SYS_ADMIN"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"procMount": "x"}},
            [
                (
                    'spec.containers[0].securityContext.procMount: Unsupported value: "x": supported values: '
                    '"Default", "Unmasked"'
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"procMount": "Unmasked"}},
            [
                (
                    'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must '
                    "be false to use `Unmasked`"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"seccompProfile": {"type": "x"}}},
            [
                (
                    'spec.containers[0].securityContext.seccompProfile.type: Unsupported value: "x": supported '
                    'values: "Localhost", "RuntimeDefault", "Unconfined"'
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"seccompProfile": {"type": "Localhost"}}},
            [
                (
                    "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be "
                    "set when seccomp type is Localhost"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].securityContext": {
                    "seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "a"}
                }
            },
            [
                (
                    "spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: "
                    '{"Type":"RuntimeDefault","LocalhostProfile":"a"}: can only be set when seccomp type is '
                    "Localhost"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].securityContext": {
                    "seccompProfile": {"type": "Localhost", "localhostProfile": "../a"}
                }
            },
            [
                (
                    'spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: "../a": '
                    "must not contain '..'"
                )
            ],
            [],
        ),
        (
            {
                "spec.containers[0].securityContext": {
                    "appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}
                }
            },
            [
                (
                    'spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: " a": '
                    "must not be padded with whitespace"
                )
            ],
            [],
        ),
        (
            {"spec.containers[0].securityContext": {"appArmorProfile": {"type": "x"}}},
            [
                (
                    'spec.containers[0].securityContext.appArmorProfile.type: Unsupported value: "x": supported '
                    'values: "Localhost", "RuntimeDefault", "Unconfined"'
                )
            ],
            [],
        ),
        (
            {
                "spec.securityContext": {
                    "runAsUser": -1,
                    "fsGroup": -1,
                    "supplementalGroups": [-1],
                    "fsGroupChangePolicy": "x",
                    "supplementalGroupsPolicy": "x",
                }
            },
            [
                "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                (
                    "spec.securityContext.supplementalGroups[0]: Invalid value: -1: must be between 0 and "
                    "2147483647, inclusive"
                ),
                (
                    'spec.securityContext.fsGroupChangePolicy: Unsupported value: "x": supported values: '
                    '"Always", "OnRootMismatch"'
                ),
                (
                    'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "x": supported values: '
                    '"Merge", "Strict"'
                ),
            ],
            [],
        ),
        (
            {
                "spec.securityContext": {
                    "sysctls": [
                        {"name": "A b", "value": "1"},
                        {"name": "kernel.a", "value": ""},
                        {"name": "kernel.a", "value": ""},
                    ]
                }
            },
            [
                (
                    'spec.securityContext.sysctls[0].name: Invalid value: "A b": must have at most 253 '
                    "characters and match regex "
                    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
                ),
                'spec.securityContext.sysctls[2].name: Duplicate value: "kernel.a"',
            ],
            [],
        ),
        (
            {"spec.securityContext": {"sysctls": [{"name": "kernel.shmall", "value": "1"}]}, "spec.hostIPC": True},
            [
                (
                    'spec.securityContext.sysctls[0].name: Invalid value: "kernel.shmall": may not be specified '
                    "when 'hostIPC' is true"
                )
            ],
            [],
        ),
        (
            {"spec.securityContext": {"sysctls": [{"name": "net/core/x", "value": "1"}]}, "spec.hostNetwork": True},
            [
                (
                    'spec.securityContext.sysctls[0].name: Invalid value: "net/core/x": may not be specified '
                    "when 'hostNetwork' is true"
                )
            ],
            [],
        ),
        (
            {"spec.securityContext": {"seLinuxChangePolicy": "x"}},
            [('spec.securityContext.seLinuxChangePolicy: Unsupported value: "x": supported values: "Recursive"')],
            [],
        ),
        (
            {"spec.shareProcessNamespace": True, "spec.hostPID": True},
            [
                (
                    "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and "
                    "HostPID cannot both be enabled"
                )
            ],
            [],
        ),
        (
            {"spec.hostUsers": False, "spec.hostNetwork": True},
            ["spec.hostNetwork: Forbidden: when `hostUsers` is false"],
            [],
        ),
        (
            {"spec.hostUsers": False, "spec.hostPID": True, "spec.hostIPC": True},
            [
                "spec.HostPID: Forbidden: when `hostUsers` is false",
                "spec.HostIPC: Forbidden: when `hostUsers` is false",
            ],
            [],
        ),
        (
            {"spec.securityContext": {"windowsOptions": {"hostProcess": True}}},
            [
                (
                    "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any "
                    "hostProcess containers"
                )
            ],
            [],
        ),
        (
            {
                "spec.hostNetwork": True,
                "spec.securityContext": {"windowsOptions": {"hostProcess": True}},
                "spec.containers[0].securityContext": {"windowsOptions": {"hostProcess": False}},
            },
            [
                (
                    "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod "
                    "hostProcess value must be identical if both are specified, was true"
                )
            ],
            [],
        ),
        (
            {"spec.securityContext": {"windowsOptions": {"gmsaCredentialSpecName": "A", "runAsUserName": ""}}},
            [
                ('spec.securityContext.windowsOptions.gmsaCredentialSpecName: Invalid value: "A":' + SUBDOMAIN),
                (
                    'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "": runAsUserName cannot '
                    "be an empty string"
                ),
            ],
            [],
        ),
        (
            {
                "spec.os": {"name": "windows"},
                "spec.securityContext": {"runAsUser": 1, "fsGroup": 2},
                "spec.containers[0].securityContext": {"capabilities": {}, "readOnlyRootFilesystem": True},
            },
            [
                "spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod",
                "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                "spec.containers[0].securityContext.capabilities: Forbidden: cannot be set for a windows pod",
                "spec.containers[0].securityContext.readOnlyRootFilesystem: Forbidden: cannot be set for a windows pod",
            ],
            [],
        ),
        (
            {"spec.os": {"name": "linux"}, "spec.securityContext": {"windowsOptions": {}}},
            ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
            [],
        ),
        (
            {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/x": "runtime/default"}},
            [
                (
                    'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": '
                    "container not found"
                )
            ],
            [],
        ),
        (
            {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "bogus"}},
            [
                (
                    "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: "
                    '"bogus": invalid AppArmor profile name: "bogus"'
                )
            ],
            [],
        ),
        (
            {"metadata.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "bogus"}},
            [
                (
                    'metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "bogus": must '
                    "be a valid seccomp profile"
                )
            ],
            [],
        ),
        (
            {
                "metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"},
                "spec.containers[0].securityContext": {"appArmorProfile": {"type": "Unconfined"}},
            },
            [
                (
                    "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in "
                    "annotation and field must match"
                )
            ],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(POD_OBJECT, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)
