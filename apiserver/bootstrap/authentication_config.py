"""What other servers must know to authenticate clients as this one does, in ConfigMaps of kube-system.

extension-apiserver-authentication     the client CA and the front proxy's headers, for aggregated API servers and for all
                                       that delegate authentication (the role extension-apiserver-authentication-reader reads it)
kube-apiserver-legacy-service-account-token-tracking   since when unused tokens in secrets are noticed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.authn import Config
from apiserver.bootstrap.ensure import Access, ensure
from apiserver.registry.kind import Obj

NAMESPACE = "kube-system"
NAME = "extension-apiserver-authentication"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"


def data(config: Config) -> dict[str, str]:
    """The ConfigMap's data, from the flags of authentication."""
    out = {}
    if config.client_ca_file is not None:
        out["client-ca-file"] = config.client_ca_file.read_text()
    if config.requestheader_client_ca_file is not None:
        out["requestheader-allowed-names"] = _list(config.requestheader_allowed_names)
        out["requestheader-client-ca-file"] = config.requestheader_client_ca_file.read_text()
        out["requestheader-extra-headers-prefix"] = _list(config.requestheader_extra_headers_prefix)
        out["requestheader-group-headers"] = _list(config.requestheader_group_headers)
        out["requestheader-uid-headers"] = _list(config.requestheader_uid_headers)
        out["requestheader-username-headers"] = _list(config.requestheader_username_headers)
    return out


def _list(values: Sequence[str]) -> str:
    return orjson.dumps(list(values)).decode()


def _config_map(name: str, content: dict[str, str]) -> Obj:
    meta: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": content}


async def reconcile(access: Access, config: Config, clock: Clock) -> None:
    """Make sure of both. What others wrote into the first stays, except the keys that are ours."""
    wanted = data(config)

    def renew(existing: Obj) -> bool:
        merged = {**(existing.get("data") or {}), **wanted}
        if merged == (existing.get("data") or {}):
            return False
        existing["data"] = merged
        return True

    await ensure(access, "", "configmaps", _config_map(NAME, wanted), renew)
    since = times.format_time(clock.time())[:10]
    await ensure(access, "", "configmaps", _config_map(TRACKING, {"since": since}))
