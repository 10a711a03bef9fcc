"""The kinds of core/v1, in discovery order."""

from __future__ import annotations

from apiserver.kinds.core.binding import BINDING
from apiserver.kinds.core.component_status import COMPONENT_STATUS
from apiserver.kinds.core.config_map import CONFIG_MAP
from apiserver.kinds.core.endpoints import ENDPOINTS
from apiserver.kinds.core.event import EVENT
from apiserver.kinds.core.limit_range import LIMIT_RANGE
from apiserver.kinds.core.namespace import NAMESPACE
from apiserver.kinds.core.node import NODE
from apiserver.kinds.core.persistent_volume import PERSISTENT_VOLUME
from apiserver.kinds.core.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM
from apiserver.kinds.core.pod import POD
from apiserver.kinds.core.pod_template import POD_TEMPLATE
from apiserver.kinds.core.replication_controller import REPLICATION_CONTROLLER
from apiserver.kinds.core.resource_quota import RESOURCE_QUOTA
from apiserver.kinds.core.secret import SECRET
from apiserver.kinds.core.service import SERVICE
from apiserver.kinds.core.service_account import SERVICE_ACCOUNT
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    BINDING,
    COMPONENT_STATUS,
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    POD,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
)
