"""Signs the ConfigMap kube-public/cluster-info with every bootstrap token that may sign, for machines that want to join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import bootstraptokens
from apimachinery.errors import ApiError
from client.resources import CONFIG_MAPS, SECRETS
from controllers.base import EVENTS_RULE, Controller, Result, Rule

Obj = dict[str, Any]

_KEY = f"{bootstraptokens.CLUSTER_INFO_NAMESPACE}/{bootstraptokens.CLUSTER_INFO}"


class BootstrapSignerController(Controller):
    name = "bootstrap-signer-controller"
    aliases = ("bootstrapsigner",)
    source = "bootstrap-signer"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("secrets",), ("get", "list", "watch")),
        Rule(("",), ("configmaps",), ("get", "list", "watch")),
        Rule(("",), ("configmaps",), ("update",), (bootstraptokens.CLUSTER_INFO,)),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._maps = self.watch(
            CONFIG_MAPS,
            namespace=bootstraptokens.CLUSTER_INFO_NAMESPACE,
            field_selector=f"metadata.name={bootstraptokens.CLUSTER_INFO}",
            added=self._seen,
            updated=lambda old, new: self._seen(new),
        )
        self._secrets = self.watch(
            SECRETS,
            namespace=bootstraptokens.SECRET_NAMESPACE,
            field_selector=f"type={bootstraptokens.SECRET_TYPE}",
            added=self._seen,
            updated=lambda old, new: self._seen(new),
            deleted=self._seen,
        )

    def _seen(self, _: Obj) -> None:
        self.enqueue(_KEY)

    async def reconcile(self, key: str) -> Result | None:
        info = self._maps.get(key)
        if info is None:
            return None
        now = self.clock.time()
        tokens = self._secrets.list()
        data = signed(info.get("data") or {}, tokens, now)
        if data != (info.get("data") or {}):
            try:
                await self.client.update(CONFIG_MAPS, {**info, "data": data})
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        ends = [end for token in tokens if (end := bootstraptokens.expires_at(bootstraptokens.texts(token)))]
        left = [end - now for end in ends if end > now]
        return Result(after=min(left)) if left else None


def signed(data: dict[str, str], tokens: Sequence[Obj], now: float) -> dict[str, str]:
    """cluster-info's data with the signatures of just the tokens that may sign now; as it is when there is nothing to sign."""
    content = data.get(bootstraptokens.KUBECONFIG_KEY)
    if content is None:
        return data
    made = {key: value for key, value in data.items() if not key.startswith(bootstraptokens.SIGNATURE_PREFIX)}
    for token in tokens:
        pair = bootstraptokens.signing_secret(token, now)
        if pair is not None:
            made[bootstraptokens.SIGNATURE_PREFIX + pair[0]] = bootstraptokens.sign(content, *pair)
    return made
