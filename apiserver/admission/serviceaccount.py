"""ServiceAccount: every pod runs under an account that exists, and gets its token mounted unless somebody said no."""

from __future__ import annotations

import random

from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authn.issuer import WARN_ONLY_SECONDS
from apiserver.authz.nodegraph import MIRROR
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup
from apiserver.validation import names

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME = "kube-api-access"
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_GO_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_CONTAINERS = ("initContainers", "containers")
_ALL_CONTAINERS = (*_CONTAINERS, "ephemeralContainers")


class Plugin:
    def __init__(self, env: Env) -> None:
        self._accounts = Lookup(env.reader, "", "serviceaccounts")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if group or plural != "pods":
            return False
        return (operation == "CREATE" and not subresource) or (
            operation == "UPDATE" and subresource == "ephemeralcontainers"
        )

    async def admit(self, a: Attributes) -> None:
        pod = a.obj
        if pod is None:
            return
        if a.operation == "UPDATE":
            return
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            await self.validate(a)
            return
        spec = pod.setdefault("spec", {})
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = DEFAULT
            spec["serviceAccount"] = DEFAULT  # the name's older form, which the API still shows
        account = await self._account(a, spec["serviceAccountName"])
        if _wants_token(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": ref.get("name", "")} for ref in account["imagePullSecrets"]]
        await self.validate(a)

    async def validate(self, a: Attributes) -> None:
        pod = a.obj
        if pod is None:
            return
        spec = pod.get("spec") or {}
        if a.operation == "UPDATE":
            account = await self._account(a, spec.get("serviceAccountName") or "")
            if _enforces(account) and (text := _unmountable(account, spec, ("ephemeralContainers",))):
                raise ApiError(500, "", text)
            return
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            _check_mirror(a, spec)
            return
        if not spec.get("serviceAccountName"):
            raise forbidden(
                a, "no service account specified for pod " + f"{a.namespace}/{pod['metadata'].get('name', '')}"
            )
        account = await self._account(a, spec["serviceAccountName"])
        if _enforces(account):
            _limit_secrets(a, account, spec)

    async def _account(self, a: Attributes, name: str) -> Obj:
        account = await self._accounts.get(a.namespace, name)
        if account is None:
            text = f"serviceaccount {go_quote(name)} not found"
            if wrong := names.path_segment(name):
                text = f"invalid resource name {go_quote(name)}: [{' '.join(wrong)}]"
            raise forbidden(a, f"error looking up service account {a.namespace}/{name}: {text}")
        return account


def _check_mirror(a: Attributes, spec: Obj) -> None:
    """A mirror pod only shows what runs on its node: it may not reach into the API."""
    if spec.get("serviceAccountName"):
        raise forbidden(a, "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        if volume.get("secret") is not None:
            raise forbidden(a, "a mirror pod may not reference secrets")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("secret") is not None:
                raise forbidden(a, "a mirror pod may not reference secrets")
            if source.get("serviceAccountToken") is not None:
                raise forbidden(a, "a mirror pod may not use ServiceAccountToken volume projections")
    for kind in _ALL_CONTAINERS:
        for container in spec.get(kind) or ():
            for variable in container.get("env") or ():
                if (variable.get("valueFrom") or {}).get("secretKeyRef") is not None:
                    raise forbidden(a, "a mirror pod may not reference secrets")


def _enforces(account: Obj) -> bool:
    return (account["metadata"].get("annotations") or {}).get(ENFORCE) in _GO_TRUE


def _limit_secrets(a: Attributes, account: Obj, spec: Obj) -> None:
    name = account["metadata"]["name"]
    mountable = {ref.get("name") for ref in account.get("secrets") or ()}
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if volume.get("secret") is not None and secret not in mountable:
            text = (
                f'volume with secret.secretName="{secret}" is not allowed because service account {name} '
                "does not reference that secret"
            )
            raise forbidden(a, text)
    if text := _unmountable(account, spec, _CONTAINERS):
        raise forbidden(a, text)
    pulls = {ref.get("name") for ref in account.get("imagePullSecrets") or ()}
    for position, ref in enumerate(spec.get("imagePullSecrets") or ()):
        if ref.get("name") not in pulls:
            text = (
                f'imagePullSecrets[{position}].name="{ref.get("name", "")}" is not allowed because service account '
                f"{name} does not reference that imagePullSecret"
            )
            raise forbidden(a, text)


_LABELS = {"initContainers": "init container", "containers": "container", "ephemeralContainers": "ephemeral container"}


def _unmountable(account: Obj, spec: Obj, kinds: tuple[str, ...]) -> str:
    """Which secret a container's environment may not come from, "" when there is none."""
    mountable = {ref.get("name") for ref in account.get("secrets") or ()}
    for kind in kinds:
        for container in spec.get(kind) or ():
            refs = [
                (f"envVar {variable.get('name', '')}", (variable.get("valueFrom") or {}).get("secretKeyRef"))
                for variable in container.get("env") or ()
            ]
            refs += [("envFrom", source.get("secretRef")) for source in container.get("envFrom") or ()]
            for what, ref in refs:
                if ref is not None and ref.get("name") not in mountable:
                    return (
                        f"{_LABELS[kind]} {container.get('name', '')} with {what} referencing "
                        f'secret.secretName="{ref.get("name", "")}" is not allowed because service account '
                        f"{account['metadata']['name']} does not reference that secret"
                    )
    return ""


def _wants_token(account: Obj, spec: Obj) -> bool:
    for holder in (spec, account):  # the pod's word comes before its account's
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def _mount_token(spec: Obj) -> None:
    """Mount the projected volume into every container that has nothing at its path; add it if one needs it."""
    taken, existing = set(), ""
    for volume in spec.get("volumes") or ():
        taken.add(volume.get("name"))
        if str(volume.get("name", "")).startswith(VOLUME + "-"):
            existing = volume["name"]
    name = existing
    while not name or (not existing and name in taken):
        name = f"{VOLUME}-" + "".join(random.choices(_ALPHABET, k=5))
    needed = False
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            mounts = container.setdefault("volumeMounts", None) or []
            if not any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})
                needed = True
            if mounts:
                container["volumeMounts"] = mounts
            else:
                del container["volumeMounts"]
    if needed and not existing:
        spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "projected": token_projection()}]


def token_projection() -> Obj:
    """What is in the volume: a token that is renewed, the cluster's CA, and the pod's namespace."""
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": WARN_ONLY_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 0o644,
    }
