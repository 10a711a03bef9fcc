"""Volumes of pods, of every type."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.core.pod import POD
from tests.support.kindtest import KindTester, changed
from tests.support.texts import LABEL, SUBDOMAIN

POD_OBJECT: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
tester = KindTester(POD)


@pytest.mark.parametrize(
    ("edits", "errors", "warnings"),
    [
        ({"spec.volumes": [{"name": ""}]}, ["spec.volumes[0].name: Required value"], []),
        ({"spec.volumes": [{"name": "A"}]}, [('spec.volumes[0].name: Invalid value: "A":' + LABEL)], []),
        ({"spec.volumes": [{"name": "v"}, {"name": "v"}]}, ['spec.volumes[1].name: Duplicate value: "v"'], []),
        (
            {"spec.volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
            ["spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
            [],
        ),
        ({"spec.volumes": [{"name": "v", "emptyDir": {"medium": "HugePages-2Mi"}}]}, [], []),
        ({"spec.volumes": [{"name": "v", "emptyDir": {"medium": "x"}}]}, [], []),
        (
            {"spec.volumes": [{"name": "v", "hostPath": {"path": ""}}]},
            ["spec.volumes[0].hostPath.path: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "hostPath": {"path": "/a/../b", "type": "x"}}]},
            [
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                (
                    'spec.volumes[0].hostPath.type: Unsupported value: "x": supported values: "", "BlockDevice", '
                    '"CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"'
                ),
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "gitRepo": {"repository": "", "directory": "../x"}}]},
            [
                "spec.volumes[0].gitRepo.repository: Required value",
                "spec.volumes[0].gitRepo.directory: Invalid value: \"../x\": must not contain '..'",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "gitRepo": {"repository": "r", "directory": "/x"}}]},
            ['spec.volumes[0].gitRepo.directory: Invalid value: "/x": must be a relative path'],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "gcePersistentDisk": {"pdName": "", "partition": 300}}]},
            [
                "spec.volumes[0].persistentDisk.pdName: Required value",
                "spec.volumes[0].persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": "", "partition": -1}}]},
            [
                "spec.volumes[0].awsElasticBlockStore.volumeID: Required value",
                "spec.volumes[0].awsElasticBlockStore.partition: Invalid value: -1: must be between 1 and 255, inclusive",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "secret": {"secretName": ""}}]},
            ["spec.volumes[0].secret.secretName: Required value"],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "secret": {
                            "secretName": "s",
                            "defaultMode": 1000,
                            "items": [{"key": "", "path": ""}, {"key": "k", "path": "../x", "mode": -1}],
                        },
                    }
                ]
            },
            [
                (
                    "spec.volumes[0].secret.defaultMode: Invalid value: 1000: must be a number between 0 and "
                    "0777 (octal), both inclusive"
                ),
                "spec.volumes[0].secret.items[0].key: Required value",
                "spec.volumes[0].secret.items[0].path: Required value",
                "spec.volumes[0].secret.items[1].path: Invalid value: \"../x\": must not contain '..'",
                (
                    "spec.volumes[0].secret.items[1].mode: Invalid value: -1: must be a number between 0 and "
                    "0777 (octal), both inclusive"
                ),
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "configMap": {"name": ""}}]},
            ["spec.volumes[0].configMap.name: Required value"],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "configMap": {"name": "c", "items": [{"key": "a", "path": "/x"}, {"key": "b", "path": "..x"}]},
                    }
                ]
            },
            [
                'spec.volumes[0].configMap.items[0].path: Invalid value: "/x": must be a relative path',
                "spec.volumes[0].configMap.items[1].path: Invalid value: \"..x\": must not start with '..'",
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "configMap": {"name": "c", "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]},
                    }
                ]
            },
            [],
            ['volume "v" (ConfigMap "c"): overlapping paths: "x/y" with "x"'],
        ),
        (
            {"spec.volumes": [{"name": "v", "nfs": {"server": "", "path": "x"}}]},
            [
                "spec.volumes[0].nfs.server: Required value",
                'spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path',
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "iscsi": {"targetPortal": "", "iqn": "", "lun": -1}}]},
            [
                "spec.volumes[0].iscsi.targetPortal: Required value",
                "spec.volumes[0].iscsi.iqn: Required value",
                "spec.volumes[0].iscsi.lun: Invalid value: -1: must be between 0 and 255, inclusive",
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "iscsi": {
                            "targetPortal": "p",
                            "iqn": "iqn.2015-02.example.com:a",
                            "lun": 0,
                            "initiatorName": "x",
                        },
                    }
                ]
            },
            [
                (
                    'spec.volumes[0].iscsi.initiatorname: Invalid value: "x": must be valid format starting with '
                    "iqn, eui, or naa"
                )
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "glusterfs": {"endpoints": "", "path": ""}}]},
            ["spec.volumes[0].glusterfs.endpoints: Required value", "spec.volumes[0].glusterfs.path: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "flocker": {}}]},
            ["spec.volumes[0].flocker: Required value: one of datasetName and datasetUUID is required"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "flocker": {"datasetName": "a/b"}}]},
            ["spec.volumes[0].flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "flocker": {"datasetName": "a", "datasetUUID": "b"}}]},
            [
                (
                    'spec.volumes[0].flocker: Invalid value: "resource": datasetName and datasetUUID can not be '
                    "specified simultaneously"
                )
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]},
            ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "rbd": {"monitors": [], "image": ""}}]},
            ["spec.volumes[0].rbd.monitors: Required value", "spec.volumes[0].rbd.image: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "cinder": {"volumeID": "", "secretRef": {}}}]},
            [
                "spec.volumes[0].cinder.volumeID: Required value",
                "spec.volumes[0].cinder.secretRef.name: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "cephfs": {"monitors": []}}]},
            ["spec.volumes[0].cephfs.monitors: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "quobyte": {"registry": "", "volume": ""}}]},
            [
                (
                    "spec.volumes[0].quobyte.registry: Required value: must be a host:port pair or multiple "
                    "pairs separated by commas"
                ),
                "spec.volumes[0].quobyte.volume: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "quobyte": {"registry": "x", "volume": "v"}}]},
            [
                (
                    'spec.volumes[0].quobyte.registry: Invalid value: "x": must be a host:port pair or multiple '
                    "pairs separated by commas"
                )
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "downwardAPI": {
                            "items": [
                                {"path": ""},
                                {"path": "a", "fieldRef": {"fieldPath": "status.podIP"}},
                                {"path": "b", "resourceFieldRef": {"resource": "limits.cpu"}},
                            ]
                        },
                    }
                ]
            },
            [
                "spec.volumes[0].downwardAPI.path: Required value",
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
                (
                    'spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: "status.podIP": '
                    'supported values: "metadata.annotations", "metadata.labels", "metadata.name", '
                    '"metadata.namespace", "metadata.uid"'
                ),
                "spec.volumes[0].downwardAPI.resourceFieldRef.containerName: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "fc": {}}]},
            ["spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "fc": {"targetWWNs": ["a"]}}]},
            ["spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified"],
            [],
        ),
        ({"spec.volumes": [{"name": "v", "fc": {"wwids": ["a"], "lun": 300}}]}, [], []),
        (
            {"spec.volumes": [{"name": "v", "flexVolume": {"driver": "", "options": {"kubernetes.io/x": "y"}}}]},
            [
                "spec.volumes[0].flexVolume.driver: Required value",
                (
                    'spec.volumes[0].flexVolume.options[kubernetes.io/x]: Invalid value: "kubernetes.io/x": '
                    "kubernetes.io and k8s.io namespaces are reserved"
                ),
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "azureFile": {"secretName": "", "shareName": ""}}]},
            [
                "spec.volumes[0].azureFile.secretName: Required value",
                "spec.volumes[0].azureFile.shareName: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "vsphereVolume": {"volumePath": ""}}]},
            ["spec.volumes[0].vsphereVolume.volumePath: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "photonPersistentDisk": {"pdID": ""}}]},
            ["spec.volumes[0].photonPersistentDisk.pdID: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "portworxVolume": {"volumeID": ""}}]},
            ["spec.volumes[0].portworxVolume.volumeID: Required value"],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {"name": "v", "azureDisk": {"diskName": "", "diskURI": "", "kind": "x", "cachingMode": "y"}}
                ]
            },
            [
                "spec.volumes[0].azureDisk.diskName: Required value",
                "spec.volumes[0].azureDisk.diskURI: Required value",
                (
                    'spec.volumes[0].azureDisk.cachingMode: Unsupported value: "y": supported values: "None", '
                    '"ReadOnly", "ReadWrite"'
                ),
                (
                    'spec.volumes[0].azureDisk.kind: Unsupported value: "x": supported values: "Dedicated", '
                    '"Managed", "Shared"'
                ),
                (
                    'spec.volumes[0].azureDisk.diskURI: Unsupported value: "": supported values: '
                    '"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"'
                ),
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}}]},
            [
                (
                    'spec.volumes[0].azureDisk.diskURI: Unsupported value: "x": supported values: '
                    '"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.'
                    'compute/disks/{disk-id}"'
                )
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "storageos": {"volumeName": "A"}}]},
            [('spec.volumes[0].storageos.volumeName: Invalid value: "A":' + LABEL)],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "scaleIO": {}}]},
            [
                "spec.volumes[0].scaleIO.gateway: Required value",
                "spec.volumes[0].scaleIO.system: Required value",
                "spec.volumes[0].scaleIO.volumeName: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "csi": {"driver": "a_b"}}]},
            [('spec.volumes[0].csi.driver: Invalid value: "a_b":' + SUBDOMAIN)],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": ""}}}]},
            ["spec.volumes[0].csi.nodePublishSecretRef.name: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "projected": {"sources": [{}]}}]},
            [],
            ['volume "v" (Projected) has no sources provided'],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "projected": {
                            "sources": [{"secret": {"name": ""}, "configMap": {"name": "c"}}],
                            "defaultMode": -1,
                        },
                    }
                ]
            },
            [
                (
                    "spec.volumes[0].projected.defaultMode: Invalid value: -1: must be a number between 0 and "
                    "0777 (octal), both inclusive"
                ),
                "spec.volumes[0].projected.sources[0].secret.name: Required value",
                "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source",
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "projected": {"sources": [{"serviceAccountToken": {"path": "", "expirationSeconds": 5}}]},
                    }
                ]
            },
            [
                (
                    "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: "
                    "5: may not specify a duration less than 10 minutes"
                ),
                "spec.volumes[0].projected.path: Required value",
                (
                    "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified "
                    "when serviceAccountName is not set"
                ),
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "projected": {
                            "sources": [
                                {"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                                {"secret": {"name": "b", "items": [{"key": "k", "path": "p"}]}},
                            ]
                        },
                    }
                ]
            },
            ['spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths'],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "ephemeral": {}}]},
            ["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {}}}}
                ]
            },
            [
                "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                (
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 "
                    "access mode is required"
                ),
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "image": {"reference": ""}}]},
            ["spec.volumes[0].image.reference: Required value"],
            [],
        ),
        (
            {"spec.volumes": [{"name": "v", "image": {"reference": "r", "pullPolicy": "x"}}]},
            [
                (
                    'spec.volumes[0].image.pullPolicy: Unsupported value: "x": supported values: "Always", '
                    '"IfNotPresent", "Never"'
                )
            ],
            [],
        ),
        (
            {
                "spec.volumes": [
                    {
                        "name": "v",
                        "ephemeral": {
                            "volumeClaimTemplate": {
                                "spec": {
                                    "accessModes": ["ReadWriteOnce"],
                                    "resources": {"requests": {"storage": "1Gi"}},
                                }
                            }
                        },
                    },
                    {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}},
                ]
            },
            [
                (
                    'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v": must not reference a '
                    "PVC that gets created for an ephemeral volume"
                )
            ],
            [],
        ),
    ],
)
def test_new_ones(edits: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    outcome = tester.create(changed(POD_OBJECT, edits))
    assert (outcome.errors, outcome.warnings) == (errors, warnings)
