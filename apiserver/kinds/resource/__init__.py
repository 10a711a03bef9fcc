"""Kinds of the group resource.k8s.io."""

from __future__ import annotations

from apiserver.kinds.resource.deviceclass import DeviceClass
from apiserver.kinds.resource.resourceclaim import ResourceClaim
from apiserver.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from apiserver.kinds.resource.resourceslice import ResourceSlice
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    DeviceClass(),
    ResourceClaim(),
    ResourceClaimTemplate(),
    ResourceSlice(),
)
