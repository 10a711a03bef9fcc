"""The answers to SubjectAccessReview in its three forms, and to SelfSubjectRulesReview.

Reached through the kinds of authorization.k8s.io, which look the functions up among the server's services. Bad specs are
422 with the original's texts (and, as there, without a kind in the message).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from apimachinery import errors, field, selectors
from apimachinery.field import FieldError
from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Authorizer, Decision, Rules
from apiserver.authz.policy import aggregate
from apiserver.registry.kind import Ctx, Obj

GROUP = "authorization.k8s.io"
Service = Callable[[Ctx, Obj], Awaitable[Obj]]
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class Chain(Authorizer, Protocol):
    async def rules(self, user: User, namespace: str) -> Rules: ...


class Reviews:
    def __init__(self, authorizer: Chain) -> None:
        self._authorizer = authorizer

    def services(self) -> dict[str, Service]:
        """By the names under which the kinds ask for them."""
        return {
            "subject-access-review": self.subject,
            "local-subject-access-review": self.local,
            "self-subject-access-review": self.self_subject,
            "self-subject-rules-review": self.rules,
        }

    async def subject(self, ctx: Ctx, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        _refuse(_check_metadata(review) or _check_spec(spec, subject=True))
        return await self._decide(review, _subject(spec))

    async def local(self, ctx: Ctx, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        resource = spec.get("resourceAttributes")
        namespace = (review.get("metadata") or {}).get("namespace") or ctx.namespace or ""
        problems = _check_metadata(review, but="namespace") or _check_spec(spec, subject=True)
        if resource is not None and (resource.get("namespace") or "") != namespace:
            path = "spec.resourceAttributes.namespace"
            problems.append(field.invalid(path, resource.get("namespace") or "", "must match metadata.namespace"))
        if spec.get("nonResourceAttributes") is not None:
            path, value = "spec.nonResourceAttributes", _shown(spec["nonResourceAttributes"])
            problems.append(field.invalid(path, value, "disallowed on this kind of request"))
        _refuse(problems)
        if (resource or {}).get("namespace") != (ctx.namespace or namespace):
            raise errors.bad_request(f"spec.resourceAttributes.namespace must match namespace: {ctx.namespace}")
        return await self._decide(review, _subject(spec))

    async def self_subject(self, ctx: Ctx, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        _refuse(_check_metadata(review) or _check_spec(spec, subject=False))
        return await self._decide(review, ctx.user)

    async def _decide(self, review: Obj, user: User) -> Obj:
        attributes, problems = _attributes(user, review["spec"])
        review["status"] = _status(await self._authorizer.authorize(attributes), problems)
        return review

    async def rules(self, ctx: Ctx, review: Obj) -> Obj:
        namespace = (review.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise errors.bad_request("no namespace on request")
        found = await self._authorizer.rules(ctx.user, namespace)
        status: Obj = {
            "resourceRules": list(found.resources),
            "nonResourceRules": list(found.paths),
            "incomplete": found.incomplete,
        }
        if found.problems:
            status["evaluationError"] = aggregate(found.problems)
        # The original answers with a new object, which has neither metadata nor spec of what was asked.
        return {**review, "metadata": {}, "spec": {}, "status": status}


def _status(decision: Decision, problems: list[str]) -> Obj:
    status: Obj = {"allowed": decision.allowed}
    if decision.verdict == "deny":
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    texts = [*([decision.error] if decision.error else ()), *problems]
    if texts:
        status["evaluationError"] = "; ".join(texts)
    return status


def _subject(spec: Mapping[str, Any]) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user") or "", spec.get("uid") or "", tuple(spec.get("groups") or ()), extra)


def _attributes(user: User, spec: Mapping[str, Any]) -> tuple[Attributes, list[str]]:
    """What is asked, and what could not be understood of its selectors."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb") or "", resource_request=False, path=path.get("path") or ""), []
    problems: list[str] = []
    attributes = Attributes(
        user=user,
        verb=resource.get("verb") or "",
        group=resource.get("group") or "",
        version=resource.get("version") or "*",
        plural=resource.get("resource") or "",
        subresource=resource.get("subresource") or "",
        namespace=resource.get("namespace") or "",
        name=resource.get("name") or "",
        field_selector=_field_selector(resource.get("fieldSelector"), problems),
        label_selector=_label_selector(resource.get("labelSelector"), problems),
    )
    return attributes, problems


def _field_selector(stated: Mapping[str, Any] | None, problems: list[str]) -> selectors.FieldSelector | None:
    """Only what field selectors can say, equal or not: leaving out the rest asks for more, and so never grants more."""
    requirements = (stated or {}).get("requirements") or ()
    if stated is None or not (stated.get("rawSelector") or requirements):
        return None
    if stated.get("rawSelector"):
        try:
            return _some(selectors.parse_fields(stated["rawSelector"]))
        except selectors.SelectorError:
            return _ignored("fieldSelector", None, problems)
    terms = [
        selectors.FieldTerm(r.get("key") or "", r["operator"] == "In", r["values"][0])
        for r in requirements
        if r.get("operator") in ("In", "NotIn") and len(r.get("values") or ()) == 1
    ]
    found = _some(selectors.FieldSelector(terms))
    return found if len(terms) == len(requirements) else _ignored("fieldSelector", found, problems)


def _label_selector(stated: Mapping[str, Any] | None, problems: list[str]) -> selectors.LabelSelector | None:
    requirements = (stated or {}).get("requirements") or ()
    if stated is None or not (stated.get("rawSelector") or requirements):
        return None
    if stated.get("rawSelector"):
        try:
            return _some(selectors.parse_labels(stated["rawSelector"]))
        except selectors.SelectorError:
            return _ignored("labelSelector", None, problems)
    kept = []
    for r in requirements:
        values = tuple(r.get("values") or ())
        requirement = selectors.Requirement(r.get("key") or "", _OPERATORS.get(r.get("operator") or "", ""), values)
        if requirement.operator and not requirement.errors():
            kept.append(requirement)
    found = _some(selectors.LabelSelector(kept))
    return found if len(kept) == len(requirements) else _ignored("labelSelector", found, problems)


Selector = TypeVar("Selector", bound=selectors.FieldSelector | selectors.LabelSelector)


def _some(selector: Selector) -> Selector | None:
    """None when it selects everything."""
    return None if selector.empty else selector


def _ignored(name: str, kept: Selector | None, problems: list[str]) -> Selector | None:
    how = "partially ignored" if kept is not None else "ignored"
    problems.append(f"spec.resourceAttributes.{name} {how} due to parse error")
    return kept


# -- validation


def _refuse(problems: list[FieldError]) -> None:
    if problems:
        raise errors.invalid(GROUP, "", "", problems)


def _shown(attributes: Mapping[str, Any]) -> Obj:
    """Non-resource attributes as the original's texts print them."""
    return {"Path": attributes.get("path") or "", "Verb": attributes.get("verb") or ""}


def _check_metadata(review: Obj, but: str = "") -> list[FieldError]:
    metadata = review.get("metadata") or {}
    if all(key in ("managedFields", but) or not value for key, value in metadata.items()):
        return []
    return [field.invalid("metadata", metadata, "must be empty")]


def _check_spec(spec: Mapping[str, Any], *, subject: bool) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    problems = []
    if resource is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        problems.append(field.invalid("spec.nonResourceAttributes", _shown(path), text))
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problems.append(field.invalid("spec.resourceAttributes", None, text))
    if subject and not spec.get("user") and not spec.get("groups"):
        problems.append(
            field.invalid("spec.user", spec.get("user") or "", "at least one of user or group must be specified")
        )
    for name in ("fieldSelector", "labelSelector"):
        stated = (resource or {}).get(name)
        if stated is not None:
            problems.extend(_check_selector(stated, f"spec.resourceAttributes.{name}", labels=name == "labelSelector"))
    return problems


def _check_selector(stated: Mapping[str, Any], path: str, *, labels: bool) -> list[FieldError]:
    raw, requirements = stated.get("rawSelector") or "", stated.get("requirements") or ()
    if raw and requirements:
        return [field.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        return [field.required(f"{path}.requirements", text)]
    problems = []
    for position, requirement in enumerate(requirements):
        at = f"{path}.requirements[{position}]"
        key = requirement.get("key") or ""
        if not labels and not key:
            problems.append(field.required(f"{at}.key", "must be specified"))
        operator, values = requirement.get("operator") or "", requirement.get("values") or ()
        if operator in ("In", "NotIn") and not values:
            problems.append(field.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            problems.append(field.forbidden(f"{at}.values", text))
        if labels:
            problems += [field.invalid(f"{at}.key", key, text) for text in selectors.label_key_errors(key)]
            for number, value in enumerate(values):
                where = f"{at}.values[{number}]"
                problems += [field.invalid(where, value, text) for text in selectors.label_value_errors(value)]
    return problems
