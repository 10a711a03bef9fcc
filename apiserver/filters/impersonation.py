"""Acting as somebody else: Impersonate-User, -Group, -Uid and -Extra-* headers.

The modes are tried in the original's order, the narrow ones first:

    associated-node   a pod's service account acts as the node that it runs on
    arbitrary-node    any node            } only the name may be stated
    serviceaccount    a service account   }
    user-info         anybody else, with groups, uid and extra (not system:masters)
    (legacy)          the verb impersonate, as it always was

A narrow mode needs two rights: impersonate:<mode> on who is impersonated, and impersonate-on:<mode>:<verb> on what is
done. The refusal that a client sees is that of the first mode that applies. The mode that last worked for somebody is
tried first, so that the old way costs what it always did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from apimachinery import errors
from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.authn import serviceaccounts
from apiserver.authn.lru import LRU
from apiserver.authn.user import User
from apiserver.authz import base
from apiserver.authz.base import Attributes
from apiserver.filters import authz
from apiserver.validation import names

if TYPE_CHECKING:
    from multidict import MultiMapping

    from apiserver.authz.base import Authorizer
    from apiserver.filters.base import Proceed, Request
    from serving.reply import Reply

_USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_ANONYMOUS = "system:anonymous"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_NODE_PREFIX, _NODES = "system:node:", "system:nodes"
_MANY = 4  # from so many groups or extra values on, one question for "*" is tried before asking for each
_GROUP_OF_REVIEWS = "authentication.k8s.io"


def requested(headers: MultiMapping[str]) -> User | None:
    """Who a request wants to be, as the headers say it. 400 when they name no user but something of one."""
    name, uid = headers.get(_USER) or "", headers.get(_UID) or ""
    groups = headers.getall(_GROUP, [])
    extra: dict[str, list[str]] = {}
    for header in headers:
        lower = header.lower()
        if lower.startswith(_EXTRA):
            key = unquote(lower[len(_EXTRA) :])
            if key not in extra:
                extra[key] = list(headers.getall(header))
    if not name:
        if uid or groups or extra:
            shown = (
                f"&user.DefaultInfo{{Name:{go_quote(name)}, UID:{go_quote(uid)}, Groups:{_go_list(groups)}, "
                f"Extra:{_go_map(extra)}}}"
            )
            raise errors.bad_request(f"requested {shown} without impersonating a user name")
        return None
    return User(name, uid, tuple(groups), extra)


def _go_list(values: Sequence[str]) -> str:
    return "[]string{" + ", ".join(map(go_quote, values)) + "}" if values else "[]string(nil)"


def _go_map(values: Mapping[str, Sequence[str]]) -> str:
    if not values:
        return "map[string][]string(nil)"
    return "map[string][]string{" + ", ".join(f"{go_quote(k)}:{_go_list(v)}" for k, v in sorted(values.items())) + "}"


def _node_of(name: str) -> str | None:
    """The node that a user name means, None for others."""
    if not name.startswith(_NODE_PREFIX):
        return None
    node = name[len(_NODE_PREFIX) :]
    return None if names.dns_subdomain(node, False) else node


class ImpersonationFilter:
    """Replaces request.user; request.authenticated stays who it really is."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: LRU[tuple[str, tuple[str, ...]], str] = LRU(1024)

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        headers = request.headers
        if _USER not in headers and not any(header[:12].lower() == "impersonate-" for header in headers):
            return await proceed(request)
        try:
            wanted = requested(headers)
            if wanted is not None:
                request.user, mode = await self.impersonate(wanted, authz.attributes(request))
                if mode and request.audit is not None:
                    request.audit.constrained(f"impersonate:{mode}")
        except ApiError:
            request.reply_headers = (*request.reply_headers, authz.NO_SNIFFING)
            raise
        return await proceed(request)

    async def impersonate(self, wanted: User, a: Attributes) -> tuple[User, str]:
        """The user to act as, and the mode that lets. Raises ApiError 403 with the first refusal."""
        key = (a.user.name, tuple(a.user.groups))
        modes = ["associated-node", "arbitrary-node", "serviceaccount", "user-info", ""]
        last = self._last.get(key)
        if last is not None:
            modes.remove(last)
            modes.insert(0, last)
        refusal: ApiError | None = None
        for mode in modes:
            if mode and not _applies(mode, wanted, a.user):
                continue
            try:
                user = await self._narrow(mode, wanted, a) if mode else await self._check("", wanted, a.user)
            except ApiError as error:
                refusal = refusal or error
                continue
            self._last.put(key, mode)
            return user, mode
        assert refusal is not None  # the legacy mode always applies
        raise refusal

    async def _narrow(self, mode: str, wanted: User, a: Attributes) -> User:
        if mode == "associated-node":
            a = replace(a, user=_without_extra(a.user))
        await self._require(replace(a, verb=f"impersonate-on:{mode}:{a.verb}"))
        return await self._check(mode, wanted, a.user)

    async def _require(self, a: Attributes) -> None:
        decision = await self._authorizer.authorize(a)
        if not decision.allowed:
            raise base.forbidden(a, ": ".join(filter(None, (decision.error, decision.reason))))

    async def _check(self, mode: str, wanted: User, requestor: User) -> User:
        """Ask for each thing that is stated of the user, and complete the user's groups."""
        verb = f"impersonate:{mode}" if mode else "impersonate"
        group = _GROUP_OF_REVIEWS if mode else ""
        name = Attributes(requestor, verb, group, "v1", "users", name=wanted.name)
        groups = list(wanted.groups)
        node, account = _node_of(wanted.name), serviceaccounts.split_username(wanted.name)
        if mode and node is not None:
            name = replace(name, plural="nodes", name="*" if mode == "associated-node" else node)
            groups = [_NODES]
        if account is not None:
            name = replace(name, plural="serviceaccounts", namespace=account[0], name=account[1])
            groups = groups or list(serviceaccounts.group_names(account[0]))
        await self._require(name)
        if wanted.uid:
            await self._require(Attributes(requestor, verb, _GROUP_OF_REVIEWS, "v1", "uids", name=wanted.uid))
        if wanted.groups:
            await self._check_groups(mode, Attributes(requestor, verb, group, "v1", "groups"), wanted.groups)
        if wanted.extra:
            await self._check_extra(
                mode, Attributes(requestor, verb, _GROUP_OF_REVIEWS, "v1", "userextras"), wanted.extra
            )
        if wanted.name == _ANONYMOUS:
            if _UNAUTHENTICATED not in groups:
                groups.append(_UNAUTHENTICATED)
        elif _UNAUTHENTICATED not in groups and _AUTHENTICATED not in groups:
            groups.append(_AUTHENTICATED)
        return User(wanted.name, wanted.uid, tuple(groups), wanted.extra)

    async def _check_groups(self, mode: str, asked: Attributes, groups: Sequence[str]) -> None:
        if mode:
            if "" in groups:
                raise base.forbidden(asked, "impersonating the empty string group is not allowed")
            if "system:masters" in groups:
                text = "impersonating the system:masters group is not allowed"
                raise base.forbidden(replace(asked, name="system:masters"), text)
            if len(groups) >= _MANY and (await self._authorizer.authorize(replace(asked, name="*"))).allowed:
                return
        for group in groups:
            await self._require(replace(asked, name=group))

    async def _check_extra(self, mode: str, asked: Attributes, extra: Mapping[str, Sequence[str]]) -> None:
        if mode:
            problem = _bad_extra(extra)
            if problem:
                raise base.forbidden(asked, problem)
            every = replace(asked, subresource="*", name="*")
            many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
            if many and (await self._authorizer.authorize(every)).allowed:
                return
        for key, values in extra.items():
            for value in values:
                await self._require(replace(asked, subresource=key, name=value))


def _applies(mode: str, wanted: User, requestor: User) -> bool:
    node = _node_of(wanted.name)
    account = serviceaccounts.split_username(wanted.name)
    if mode == "user-info":
        return node is None and account is None
    if wanted.uid or wanted.groups or wanted.extra:
        return False
    if mode == "serviceaccount":
        return account is not None
    if mode == "arbitrary-node" or node is None:
        return node is not None
    on = requestor.extra.get(serviceaccounts.NODE_NAME) or ()
    return serviceaccounts.split_username(requestor.name) is not None and list(on) == [node]


def _without_extra(user: User) -> User:
    """What is asked must hold on every node the account runs on, so only the names of its extra attributes are told."""
    return User(
        user.name,
        user.uid,
        user.groups,
        {"authentication.kubernetes.io/associated-node-keys": tuple(sorted(user.extra))},
    )


def _bad_extra(extra: Mapping[str, Sequence[str]]) -> str:
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        domain, slash, path = key.partition("/")
        if not slash or not domain or not path or names.dns_subdomain(domain, False):
            shown = f'extra.key: Invalid value: {go_quote(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
            return f"impersonating an invalid key in extra is not allowed: {shown}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {go_quote(key)}"
        if not values:
            return "impersonating empty values in extra is not allowed"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""
