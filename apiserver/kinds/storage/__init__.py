"""Kinds of the group storage.k8s.io."""

from __future__ import annotations

from apiserver.kinds.storage.csidriver import CSIDriver
from apiserver.kinds.storage.csinode import CSINode
from apiserver.kinds.storage.csistoragecapacity import CSIStorageCapacity
from apiserver.kinds.storage.storageclass import StorageClass
from apiserver.kinds.storage.volumeattachment import VolumeAttachment
from apiserver.kinds.storage.volumeattributesclass import VolumeAttributesClass
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    CSIDriver(),
    CSINode(),
    CSIStorageCapacity(),
    StorageClass(),
    VolumeAttachment(),
    VolumeAttributesClass(),
)
