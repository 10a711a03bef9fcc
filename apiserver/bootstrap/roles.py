"""The roles and bindings that every cluster starts with, as data.

A line is a rule:      verbs : groups : resources [: names]       "core" is the group ""
or, for paths:         verbs : paths
Words are separated by spaces; they are sorted when parsed, as the original's are. `$read` etc. are the lists below.
"""

# ruff: noqa: E501 (a rule stays on its line)

from __future__ import annotations

READ = "get list watch"
WRITE = "create update patch delete deletecollection"
EVENTS = "create update patch : core events.k8s.io : events"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

# name -> (rules, labels "aggregate-to-<x>" that it bears, the label it gathers by)
CLUSTER_ROLES: dict[str, tuple[str, str, str]] = {
    "cluster-admin": ("* : * : *\n* : *", "", ""),
    "system:discovery": (
        "get : /livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*",
        "",
        "",
    ),
    "system:monitoring": (
        """
        get : /metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/* /flagz /statusz
        get : core : nodes/metrics
        """,
        "",
        "",
    ),
    "system:basic-user": (
        """
        create : authorization.k8s.io : selfsubjectaccessreviews selfsubjectrulesreviews
        create : authentication.k8s.io : selfsubjectreviews
        """,
        "",
        "",
    ),
    "system:public-info-viewer": ("get : /livez /readyz /healthz /version /version/", "", ""),
    "admin": ("", "", "admin"),
    "edit": ("", "admin", "edit"),
    "view": ("", "edit", "view"),
    "system:aggregate-to-admin": (
        """
        create : authorization.k8s.io : localsubjectaccessreviews
        $read $write : rbac.authorization.k8s.io : roles rolebindings
        """,
        "admin",
        "",
    ),
    "system:aggregate-to-edit": (
        """
        $read : core : pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy
        impersonate : core : serviceaccounts
        $write : core : pods pods/attach pods/proxy pods/exec pods/portforward
        create : core : pods/eviction
        $write : core : replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy persistentvolumeclaims configmaps secrets
        create : core : serviceaccounts/token
        $write : core events.k8s.io : events
        $write : apps : statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale
        $write : autoscaling : horizontalpodautoscalers
        $write : batch : jobs cronjobs
        $write : extensions : daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale replicationcontrollers/scale networkpolicies
        $write : policy : poddisruptionbudgets
        $write : networking.k8s.io : networkpolicies ingresses
        $read $write : coordination.k8s.io : leases
        $write : resource.k8s.io : resourceclaims resourceclaimtemplates
        """,
        "edit",
        "",
    ),
    "system:aggregate-to-view": (
        """
        $read : core : pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps
        $read : core : limitranges resourcequotas bindings pods/status resourcequotas/status namespaces/status replicationcontrollers/status pods/log
        $read : core : namespaces
        $read : core events.k8s.io : events
        $read : discovery.k8s.io : endpointslices
        $read : apps : controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale
        $read : autoscaling : horizontalpodautoscalers horizontalpodautoscalers/status
        $read : batch : jobs cronjobs cronjobs/status jobs/status
        $read : extensions : daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies
        $read : policy : poddisruptionbudgets poddisruptionbudgets/status
        $read : networking.k8s.io : networkpolicies ingresses ingresses/status
        $read : resource.k8s.io : resourceclaims resourceclaims/status resourceclaimtemplates
        """,
        "view",
        "",
    ),
    "system:heapster": ("$read : core : events pods nodes namespaces\n$read : extensions : deployments", "", ""),
    "system:node": (
        """
        create : authentication.k8s.io : tokenreviews
        create : authorization.k8s.io : subjectaccessreviews localsubjectaccessreviews
        $read : core : services
        create get list watch : core : nodes
        update patch : core : nodes/status
        update patch : core : nodes
        $events
        $read : core : pods
        create delete : core : pods
        update patch : core : pods/status
        create : core : pods/eviction
        $read : core : secrets configmaps
        get : core : persistentvolumeclaims persistentvolumes
        get : core : endpoints
        create get list watch : certificates.k8s.io : certificatesigningrequests
        get create update patch delete : coordination.k8s.io : leases
        get : storage.k8s.io : volumeattachments
        create : core : serviceaccounts/token
        get update patch : core : persistentvolumeclaims/status
        $read : storage.k8s.io : csidrivers
        get create update patch delete : storage.k8s.io : csinodes
        $read : node.k8s.io : runtimeclasses
        get : resource.k8s.io : resourceclaims
        deletecollection : resource.k8s.io : resourceslices
        get : core : serviceaccounts
        """,
        "",
        "",
    ),
    "system:node-problem-detector": ("get : core : nodes\npatch : core : nodes/status\n$events", "", ""),
    "system:kubelet-api-admin": (
        """
        $read : core : nodes
        proxy : core : nodes
        * : core : nodes/proxy nodes/metrics nodes/stats nodes/log
        * : core : nodes/configz nodes/healthz nodes/pods
        """,
        "",
        "",
    ),
    "system:node-bootstrapper": (
        "create get list watch : certificates.k8s.io : certificatesigningrequests",
        "",
        "",
    ),
    "system:auth-delegator": (
        "create : authentication.k8s.io : tokenreviews\ncreate : authorization.k8s.io : subjectaccessreviews",
        "",
        "",
    ),
    "system:kube-aggregator": ("$read : core : services endpoints", "", ""),
    "system:kube-controller-manager": (
        """
        $events
        create : coordination.k8s.io : leases
        get update : coordination.k8s.io : leases : kube-controller-manager
        create : core : secrets serviceaccounts
        delete : core : secrets
        get : core : namespaces secrets serviceaccounts configmaps
        update : core : secrets serviceaccounts
        create : authentication.k8s.io : tokenreviews
        create : authorization.k8s.io : subjectaccessreviews
        list watch : * : *
        create : core : serviceaccounts/token
        """,
        "",
        "",
    ),
    "system:kube-dns": ("list watch : core : endpoints services", "", ""),
    "system:persistent-volume-provisioner": (
        """
        get list watch create delete : core : persistentvolumes
        get list watch update : core : persistentvolumeclaims
        $read : storage.k8s.io : storageclasses
        watch : core : events
        $events
        """,
        "",
        "",
    ),
    "system:volume-scheduler": (
        """
        get list watch patch update : core : persistentvolumes
        $read : storage.k8s.io : storageclasses
        get list watch patch update : core : persistentvolumeclaims
        """,
        "",
        "",
    ),
    "system:kube-scheduler": (
        """
        $events
        create : coordination.k8s.io : leases
        get list update watch : coordination.k8s.io : leases : kube-scheduler
        $read $write : coordination.k8s.io : leasecandidates
        $read : core : nodes
        get list watch delete : core : pods
        create : core : pods/binding bindings
        patch update : core : pods/status
        $read : core : replicationcontrollers services
        $read : apps extensions : replicasets
        $read : apps : statefulsets
        $read : policy : poddisruptionbudgets
        $read : core : persistentvolumeclaims persistentvolumes
        create : authentication.k8s.io : tokenreviews
        create : authorization.k8s.io : subjectaccessreviews
        $read : storage.k8s.io : csinodes
        $read : storage.k8s.io : volumeattachments
        $read : core : namespaces
        $read : storage.k8s.io : csidrivers
        $read : storage.k8s.io : csistoragecapacities
        $read : resource.k8s.io : deviceclasses
        get list patch update watch : resource.k8s.io : resourceclaims
        get list patch update watch : resource.k8s.io : resourceclaims/status
        update : core : pods/finalizers
        $read : resource.k8s.io : resourceslices
        create delete : resource.k8s.io : resourceclaims
        update patch : resource.k8s.io : resourceclaims/binding
        """,
        "",
        "",
    ),
    "system:node-proxier": (
        """
        list watch : core : services endpoints
        $read : core : nodes
        $events
        list watch : networking.k8s.io : servicecidrs
        list watch : discovery.k8s.io : endpointslices
        """,
        "",
        "",
    ),
    "system:service-account-issuer-discovery": (
        "get : /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        "",
        "",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create : certificates.k8s.io : certificatesigningrequests/nodeclient",
        "",
        "",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create : certificates.k8s.io : certificatesigningrequests/selfnodeclient",
        "",
        "",
    ),
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            f"approve : certificates.k8s.io : signers : kubernetes.io/{signer}",
            "",
            "",
        )
        for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    },
}

# Roles system:controller:<name>, each bound to the service account <name> of kube-system.
CONTROLLER_ROLES: dict[str, str] = {
    "attachdetach-controller": """
        list watch : core : persistentvolumes persistentvolumeclaims
        $read : core : nodes
        patch update : core : nodes/status
        list watch : core : pods
        $events
        get create delete list watch : storage.k8s.io : volumeattachments
        $read : storage.k8s.io : csidrivers
        $read : storage.k8s.io : csinodes
        """,
    "clusterrole-aggregation-controller": "escalate get list watch update patch : rbac.authorization.k8s.io : clusterroles",
    "cronjob-controller": """
        get list watch update : batch : cronjobs
        get list watch create update delete patch : batch : jobs
        update : batch : cronjobs/status
        update : batch : cronjobs/finalizers
        list watch delete : core : pods
        $events
        """,
    "daemon-set-controller": """
        $read : extensions apps : daemonsets
        update : extensions apps : daemonsets/status
        update : extensions apps : daemonsets/finalizers
        list watch : core : nodes
        list watch create delete patch : core : pods
        create : core : pods/binding
        get list watch create delete update patch : apps : controllerrevisions
        $events
        """,
    "deployment-controller": """
        get list watch update : extensions apps : deployments
        update : extensions apps : deployments/status
        update : extensions apps : deployments/finalizers
        get list watch create update patch delete : apps extensions : replicasets
        get list watch update : core : pods
        $events
        """,
    "disruption-controller": """
        $read : extensions apps : deployments
        $read : apps extensions : replicasets
        $read : core : replicationcontrollers
        $read : policy : poddisruptionbudgets
        $read : apps : statefulsets
        update : policy : poddisruptionbudgets/status
        patch update : core : pods/status
        get : * : */scale
        $events
        """,
    "endpoint-controller": """
        $read : core : services pods
        get list watch create update delete : core : endpoints
        create : core : endpoints/restricted
        $events
        """,
    "endpointslice-controller": """
        $read : core : services pods nodes
        update : core : services/finalizers
        get list watch create update delete : discovery.k8s.io : endpointslices
        create : discovery.k8s.io : endpointslices/restricted
        $events
        """,
    "endpointslicemirroring-controller": """
        $read : core : services endpoints
        update : core : services/finalizers
        update : core : endpoints/finalizers
        get list watch create update delete : discovery.k8s.io : endpointslices
        create : discovery.k8s.io : endpointslices/restricted
        $events
        """,
    "expand-controller": """
        get list watch update patch : core : persistentvolumes
        update patch : core : persistentvolumeclaims/status
        $read : core : persistentvolumeclaims
        $events
        """,
    "ephemeral-volume-controller": """
        $read : core : pods
        update : core : pods/finalizers
        get list watch create : core : persistentvolumeclaims
        $events
        """,
    "resource-claim-controller": """
        $read : core : pods
        update : core : pods/finalizers
        get list watch create delete : resource.k8s.io : resourceclaims
        update patch : resource.k8s.io : resourceclaims resourceclaims/status
        update patch : core : pods/status
        $events
        update patch : resource.k8s.io : resourceclaims/binding
        """,
    "device-taint-eviction-controller": """
        get list watch delete : core : pods
        update patch : core : pods/status
        $read : resource.k8s.io : resourceclaims
        $read : resource.k8s.io : resourceslices
        $read : resource.k8s.io : deviceclasses
        $events
        """,
    "generic-garbage-collector": "get list watch patch update delete : * : *\n$events",
    "horizontal-pod-autoscaler": """
        $read : autoscaling : horizontalpodautoscalers
        update : autoscaling : horizontalpodautoscalers/status
        get update : * : */scale
        list watch : core : pods
        list watch : metrics.k8s.io : pods
        $read : custom.metrics.k8s.io : *
        $read : external.metrics.k8s.io : *
        $events
        """,
    "job-controller": """
        get list watch update patch : batch : jobs
        update : batch : jobs/status
        update : batch : jobs/finalizers
        list watch create delete patch : core : pods
        $events
        """,
    "namespace-controller": """
        get list watch delete : core : namespaces
        update : core : namespaces/finalize namespaces/status
        get list watch delete deletecollection : * : *
        """,
    "node-controller": """
        get list watch update delete patch : core : nodes
        patch update : core : nodes/status
        patch update : core : pods/status
        list watch get delete : core : pods
        $events
        """,
    "persistent-volume-binder": """
        get list watch update create delete : core : persistentvolumes
        update : core : persistentvolumes/status
        get list watch update : core : persistentvolumeclaims
        update : core : persistentvolumeclaims/status
        list watch get create delete : core : pods
        $read : storage.k8s.io : storageclasses
        list watch : core : nodes
        $events
        watch : core : events
        """,
    "pod-garbage-collector": """
        list watch delete : core : pods
        $read : core : nodes
        patch : core : pods/status
        """,
    "replicaset-controller": """
        get list watch update : apps extensions : replicasets
        update : apps extensions : replicasets/status
        update : apps extensions : replicasets/finalizers
        list watch patch create delete : core : pods
        $events
        """,
    "replication-controller": """
        get list watch update : core : replicationcontrollers
        update : core : replicationcontrollers/status
        update : core : replicationcontrollers/finalizers
        list watch patch create delete : core : pods
        $events
        """,
    "resourcequota-controller": "list watch : * : *\nupdate : core : resourcequotas/status\n$events",
    "route-controller": "list watch : core : nodes\npatch : core : nodes/status\n$events",
    "service-account-controller": "create : core : serviceaccounts\n$events",
    "service-controller": """
        $read : core : services
        patch update : core : services/status
        list watch : core : nodes
        $events
        """,
    "service-cidrs-controller": """
        get list watch patch update : networking.k8s.io : servicecidrs
        patch update : networking.k8s.io : servicecidrs/finalizers
        patch update : networking.k8s.io : servicecidrs/status
        $read : networking.k8s.io : ipaddresses
        $events
        """,
    "statefulset-controller": """
        list watch : core : pods
        $read : apps : statefulsets
        update : apps : statefulsets/status
        update : apps : statefulsets/finalizers
        get create delete update patch : core : pods
        get create delete update patch list watch : apps : controllerrevisions
        get create list watch : core : persistentvolumeclaims
        update delete : core : persistentvolumeclaims
        update : core : pods/finalizers
        $events
        """,
    "ttl-controller": "update patch list watch : core : nodes\n$events",
    "certificate-controller": """
        get list watch delete : certificates.k8s.io : certificatesigningrequests
        update : certificates.k8s.io : certificatesigningrequests/status certificatesigningrequests/approval
        approve : certificates.k8s.io : signers : kubernetes.io/kube-apiserver-client-kubelet
        sign : certificates.k8s.io : signers : kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving
        create : authorization.k8s.io : subjectaccessreviews
        $events
        """,
    "pvc-protection-controller": """
        get list watch update : core : persistentvolumeclaims
        update : core : persistentvolumeclaims/status
        list watch get : core : pods
        $events
        """,
    "pv-protection-controller": "get list watch update : core : persistentvolumes\n$events",
    "volumeattributesclass-protection-controller": """
        list watch get : core : persistentvolumeclaims
        list watch get : core : persistentvolumes
        get list watch update : storage.k8s.io : volumeattributesclasses
        $events
        """,
    "ttl-after-finished-controller": "get list watch delete : batch : jobs\n$events",
    "root-ca-cert-publisher": "create update : core : configmaps\n$events",
    "validatingadmissionpolicy-status-controller": """
        $read : admissionregistration.k8s.io : validatingadmissionpolicies
        get patch update : admissionregistration.k8s.io : validatingadmissionpolicies/status
        $events
        """,
    "legacy-service-account-token-cleaner": """
        get : core : configmaps : kube-apiserver-legacy-service-account-token-tracking
        patch delete : core : secrets
        """,
    "selinux-warning-controller": """
        $events
        $read : core : persistentvolumes
        $read : core : persistentvolumeclaims
        $read : core : pods
        $read : storage.k8s.io : csidrivers
        """,
}

# (namespace, name) -> rules
ROLES: dict[tuple[str, str], str] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        "$read : core : configmaps : extension-apiserver-authentication"
    ),
    ("kube-system", "system:controller:bootstrap-signer"): "$read : core : secrets",
    ("kube-system", "system:controller:cloud-provider"): "create get list watch : core : configmaps",
    ("kube-system", "system:controller:token-cleaner"): "get list watch delete : core : secrets\n$events",
    **{
        ("kube-system", f"system::leader-locking-{component}"): """
            get watch list create update : coordination.k8s.io : leases
            get watch list create update : coordination.k8s.io : leasecandidates
            """
        for component in ("kube-controller-manager", "kube-scheduler")
    },
    ("kube-public", "system:controller:bootstrap-signer"): """
        $read : core : configmaps
        update : core : configmaps : cluster-info
        $events
        """,
}

# Subjects: "user:<name>", "group:<name>", "sa:<namespace>/<name>".
CLUSTER_BINDINGS: dict[str, str] = {
    "cluster-admin": "group:system:masters",
    "system:monitoring": "group:system:monitoring",
    "system:discovery": "group:system:authenticated",
    "system:basic-user": "group:system:authenticated",
    "system:public-info-viewer": "group:system:authenticated group:system:unauthenticated",
    "system:node-proxier": "user:system:kube-proxy",
    "system:kube-controller-manager": "user:system:kube-controller-manager",
    "system:kube-dns": "sa:kube-system/kube-dns",
    "system:kube-scheduler": "user:system:kube-scheduler",
    "system:volume-scheduler": "user:system:kube-scheduler",
    "system:service-account-issuer-discovery": "group:system:serviceaccounts",
    "system:node": "",  # nodes are served by the Node authorizer
    **{f"system:controller:{name}": f"sa:kube-system/{name}" for name in CONTROLLER_ROLES},
}

# (namespace, name) -> (role of that namespace, subjects)
BINDINGS: dict[tuple[str, str], tuple[str, str]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        "user:system:kube-controller-manager user:system:kube-scheduler",
    ),
    **{
        ("kube-system", f"system::leader-locking-{component}"): (
            f"system::leader-locking-{component}",
            f"user:system:{component} sa:kube-system/{component}{others}",
        )
        for component, others in (
            ("kube-controller-manager", " sa:kube-system/leader-election-controller"),
            ("kube-scheduler", ""),
        )
    },
    **{
        (namespace, f"system:controller:{name}"): (f"system:controller:{name}", f"sa:kube-system/{name}")
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
            ("kube-public", "bootstrap-signer"),
        )
    },
}
