"""The controllers: loops that bring the cluster from the state it is in to the state that objects describe.

They use only the HTTP API (client/), each with its own service account. CONTROLLERS lists them all, in starting order;
base.py says what a controller is, manager.py runs them. Importing this package loads every controller.
"""

from controllers.base import Controller
from controllers.bootstrapsigner import BootstrapSignerController
from controllers.certificates import (
    ApprovingController,
    CleaningController,
    ServingApprovingController,
    SigningController,
)
from controllers.clusterroles import ClusterRoleAggregationController
from controllers.cronjob import CronJobController
from controllers.daemonset import DaemonSetController
from controllers.deployment import DeploymentController
from controllers.disruption import DisruptionController
from controllers.endpoints import EndpointsController
from controllers.endpointslice import EndpointSliceController
from controllers.endpointslicemirroring import EndpointSliceMirroringController
from controllers.garbagecollector import GarbageCollector
from controllers.job import JobController
from controllers.namespace import NamespaceController
from controllers.nodeipam import NodeIpamController
from controllers.nodelifecycle import NodeLifecycleController
from controllers.podgc import PodGcController
from controllers.policystatus import PolicyStatusController
from controllers.replicaset import ReplicaSetController, ReplicationController
from controllers.resourcequota import ResourceQuotaController
from controllers.rootca import RootCaPublisher
from controllers.serviceaccount import ServiceAccountController
from controllers.servicecidrs import ServiceCidrsController
from controllers.statefulset import StatefulSetController
from controllers.tainteviction import TaintEvictionController
from controllers.tokencleaner import TokenCleanerController
from controllers.tokens import TokensController
from controllers.ttlafterfinished import TtlAfterFinishedController
from controllers.volumeprotection import (
    AttributesClassProtectionController,
    ClaimProtectionController,
    VolumeProtectionController,
)

CONTROLLERS: tuple[type[Controller], ...] = (
    NodeIpamController,
    TokensController,
    ServiceAccountController,
    RootCaPublisher,
    NamespaceController,
    ClusterRoleAggregationController,
    NodeLifecycleController,
    TaintEvictionController,
    PodGcController,
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    ReplicationController,
    ReplicaSetController,
    DeploymentController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    DisruptionController,
    ClaimProtectionController,
    VolumeProtectionController,
    AttributesClassProtectionController,
    ResourceQuotaController,
    ServiceCidrsController,
    PolicyStatusController,
    SigningController,
    ApprovingController,
    ServingApprovingController,
    CleaningController,
    BootstrapSignerController,
    TokenCleanerController,
    GarbageCollector,
)
