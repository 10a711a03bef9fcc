"""Admission: what a request may still be refused for, or have changed, after it is authenticated and authorised.

ORDER is the order in which plugins run, the original's. One file per plugin; adding one = one file and one line here.
`build` is for apiserver/server.py, registry/store.py calls the chain. Importing this package imports no plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apimachinery.clock import Clock
    from apiserver.admission.chain import Chain
    from apiserver.authz.base import Authorizer
    from apiserver.registry.kind import NotifyingReader, Writer

__all__ = ["ORDER", "Config", "Entry", "build"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A plugin: its name as in --enable-admission-plugins, the module of admission/ that has it, on by default or not."""

    name: str
    module: str
    default: bool = True


ORDER: tuple[Entry, ...] = (
    Entry("AlwaysAdmit", "alwaysadmit", False),
    Entry("NamespaceAutoProvision", "namespaceautoprovision", False),
    Entry("NamespaceLifecycle", "namespacelifecycle"),
    Entry("NamespaceExists", "namespaceexists", False),
    Entry("LimitPodHardAntiAffinityTopology", "antiaffinity", False),
    Entry("LimitRanger", "limitranger"),
    Entry("ServiceAccount", "serviceaccount"),
    Entry("NodeRestriction", "noderestriction", False),
    Entry("TaintNodesByCondition", "nodetaint"),
    Entry("AlwaysPullImages", "alwayspullimages", False),
    Entry("ImagePolicyWebhook", "imagepolicy", False),
    Entry("PodSecurity", "podsecurity"),
    Entry("PodNodeSelector", "podnodeselector", False),
    Entry("Priority", "priority"),
    Entry("DefaultTolerationSeconds", "defaulttolerationseconds"),
    Entry("PodTolerationRestriction", "podtolerationrestriction", False),
    Entry("EventRateLimit", "eventratelimit", False),
    Entry("ExtendedResourceToleration", "extendedresourcetoleration", False),
    Entry("DefaultStorageClass", "defaultstorageclass"),
    Entry("StorageObjectInUseProtection", "storageobjectinuseprotection"),
    Entry("OwnerReferencesPermissionEnforcement", "ownerreferences", False),
    Entry("PersistentVolumeClaimResize", "persistentvolumeclaimresize"),
    Entry("RuntimeClass", "runtimeclass"),
    Entry("CertificateApproval", "certificateapproval"),
    Entry("CertificateSigning", "certificatesigning"),
    Entry("ClusterTrustBundleAttest", "clustertrustbundleattest"),
    Entry("CertificateSubjectRestriction", "certificatesubjectrestriction"),
    Entry("DefaultIngressClass", "defaultingressclass"),
    Entry("DenyServiceExternalIPs", "denyserviceexternalips", False),
    Entry("PodTopologyLabels", "podtopologylabels"),
    Entry("NodeDeclaredFeatureValidator", "nodedeclaredfeatures"),
    Entry("PodResizeValidator", "podresize"),
    # Policies, webhooks and quota see what all others made of the object, so they stay last.
    Entry("MutatingAdmissionPolicy", "policies.mutating"),
    Entry("MutatingAdmissionWebhook", "webhooks.mutating"),
    Entry("ValidatingAdmissionPolicy", "policies.validating"),
    Entry("ValidatingAdmissionWebhook", "webhooks.validating"),
    Entry("ResourceQuota", "resourcequota"),
    Entry("AlwaysDeny", "alwaysdeny", False),
)


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is kube-apiserver's flag of the same name."""

    enable_admission_plugins: Sequence[str] = ()
    # In addition to those on by default; the order given means nothing.
    disable_admission_plugins: Sequence[str] = ()
    # Of those on by default. A name in both lists, or an unknown one, is an error.
    admission_control: Sequence[str] | None = None
    # Deprecated: the plugins that are on, instead of the two lists above.
    admission_control_config_file: Path | None = None
    # AdmissionConfiguration (apiserver.config.k8s.io/v1): what plugins are configured with.
    default_not_ready_toleration_seconds: int = 300
    default_unreachable_toleration_seconds: int = 300
    # What DefaultTolerationSeconds gives pods that say nothing.


def build(config: Config, *, reader: NotifyingReader, writer: Writer, authorizer: Authorizer, clock: Clock) -> Chain:
    """The enabled plugins in order. Raises ConfigError (a ValueError) for unknown names and configuration. The result:

        await chain.admit(a)        mutating half: may change a.obj and append to a.warnings and a.annotations
        await chain.validate(a)     validating half
    Both raise the ApiError of the first plugin that refuses. `a` is an admission.base.Attributes; use a fresh one for each
    attempt of an update, the same one for both halves of an attempt. chain.names: enabled plugins in order.
    `await chain.close()` ends what plugins hold open (webhook connections).
    """
    from apiserver.admission import chain

    return chain.build(config, reader=reader, writer=writer, authorizer=authorizer, clock=clock)
