"""Admission policies: what a bound policy refuses, warns of, notes and changes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.authn.user import User
from apiserver.kinds.apps.deployment import Deployment
from apiserver.kinds.core.config_map import ConfigMapKind
from tests.apiserver.admission.support import Obj, World

GROUP = "admissionregistration.k8s.io"
EVERYTHING: Obj = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": "*"}
KINDS = {("", "ConfigMap"): ConfigMapKind(), ("apps", "Deployment"): Deployment()}


class Policies:
    """A world in which only policies are asked."""

    def __init__(self) -> None:
        self.world = World("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy", only=True)

    def policy(self, name: str = "p", binding: Obj | None = None, *, mutating: bool = False, **spec: Any) -> None:
        """A policy about everything with one binding."""
        kind = "mutating" if mutating else "validating"
        spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [EVERYTHING]}, **spec}
        self.world.put(f"{kind}admissionpolicies", {"metadata": {"name": name}, "spec": spec}, GROUP)
        actions: Obj = {} if mutating else {"validationActions": ["Deny"]}
        bound = {"policyName": name, **actions, **(binding or {})}
        self.world.put(f"{kind}admissionpolicybindings", {"metadata": {"name": f"{name}-b"}, "spec": bound}, GROUP)

    def rule(self, expression: str, **more: Any) -> None:
        self.policy(validations=[{"expression": expression, **more}])

    def mutate(self, expression: str, name: str = "p", *, apply: bool = False, **spec: Any) -> None:
        if apply:
            mutation: Obj = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        else:
            mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
        self.policy(name, mutating=True, **{"mutations": [mutation], "reinvocationPolicy": "Never", **spec})

    async def create(self, obj: Obj | None = None, **rest: Any) -> Any:
        return await self.world.run(
            "CREATE",
            "configmaps",
            obj or configmap(),
            kind=KINDS["", "ConfigMap"],
            **{"resource-of-kind": lambda group, kind: KINDS.get((group, kind)), **rest},
        )

    async def deploy(self, obj: Obj) -> Obj:
        a = await self.world.run("CREATE", "deployments", obj, group="apps", kind=KINDS["apps", "Deployment"])
        assert a.obj is not None
        return a.obj

    async def refusal(self, obj: Obj | None = None, **rest: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            await self.create(obj, **rest)
        return caught.value


def configmap(**data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "ns"}, "data": data}


def deployment(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "d", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


@pytest.fixture
def policies() -> Policies:
    return Policies()


# -- validating


async def test_a_false_expression_refuses(policies: Policies) -> None:
    policies.rule("'team' in object.data")
    await policies.create(configmap(team="a"))
    error = await policies.refusal()
    assert (error.code, error.reason) == (422, "Invalid")
    text = "ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: failed expression: 'team' in object.data"
    assert error.message == f'configmaps "c" is forbidden: {text}'
    assert error.details is not None
    assert error.details["causes"] == [{"message": text}]


async def test_reasons_and_messages(policies: Policies) -> None:
    policies.rule("false", message="never ", reason="Forbidden")
    error = await policies.refusal()
    assert (error.code, error.reason) == (403, "Forbidden")
    assert error.message.endswith("denied request: never")
    policies.rule("false", message="never", messageExpression="'no ' + object.metadata.name")
    assert (await policies.refusal()).message.endswith("denied request: no c")


@pytest.mark.parametrize("expression", ["object.data.gone", "' '", "'two\\nlines'"])
async def test_a_useless_message_expression_leaves_the_message(policies: Policies, expression: str) -> None:
    policies.rule("false", message="plain", messageExpression=expression)
    assert (await policies.refusal()).message.endswith("denied request: plain")


async def test_an_error_is_the_failure_policys_business(policies: Policies) -> None:
    policies.rule("object.data.gone == 'x'")
    error = await policies.refusal()
    assert error.message.endswith("expression 'object.data.gone == 'x'' resulted in error: no such key: gone")
    policies.policy(failurePolicy="Ignore", validations=[{"expression": "object.data.gone == 'x'"}])
    await policies.create()


async def test_warnings_and_notes(policies: Policies) -> None:
    policies.policy(binding={"validationActions": ["Warn", "Audit"]}, validations=[{"expression": "false"}])
    a = await policies.create()
    assert a.warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': failed expression: false"
    ]
    note = json.loads(a.annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert note[0]["policy"] == "p"
    assert note[0]["validationActions"] == ["Warn", "Audit"]


async def test_audit_annotations(policies: Policies) -> None:
    policies.policy(
        auditAnnotations=[
            {"key": "k", "valueExpression": "'name ' + object.metadata.name"},
            {"key": "n", "valueExpression": "null"},
        ]
    )
    a = await policies.create()
    assert a.annotations == {"p/k": "name c"}


async def test_what_expressions_see(policies: Policies) -> None:
    user = User("alice", uid="u1", groups=("devs",), extra={"k": ("v",)})
    for expression in (
        "request.userInfo.username == 'alice' && request.userInfo.groups == ['devs'] && request.userInfo.extra.k == ['v']",
        "request.operation == 'CREATE' && request.name == 'c' && request.namespace == 'ns' && !request.dryRun",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && request.kind.version == 'v1'",
        "request.options.kind == 'CreateOptions' && !has(request.subResource)",
        "oldObject == null && object != null",
        "namespaceObject.metadata.name == 'ns' && namespaceObject.status.phase == 'Active'",
        "!authorizer.group('').resource('pods').check('get').allowed()",
    ):
        policies.rule(expression)
        await policies.create(user=user)


async def test_checks_are_made_with_the_requests_authorizer(policies: Policies) -> None:
    policies.rule(
        "authorizer.requestResource.check('create').allowed() && authorizer.path('/x').check('get').allowed()"
    )
    await policies.create()
    await policies.refusal(user=User("nobody"))


async def test_variables(policies: Policies) -> None:
    variables = [{"name": "n", "expression": "size(object.data)"}, {"name": "twice", "expression": "variables.n * 2"}]
    policies.policy(variables=variables, validations=[{"expression": "variables.twice == 4 && variables.n == 2"}])
    await policies.create(configmap(a="1", b="2"))
    await policies.refusal()


async def test_a_variable_that_fails(policies: Policies) -> None:
    policies.policy(
        variables=[{"name": "v", "expression": "object.data.gone"}],
        validations=[{"expression": "true || variables.v == ''"}, {"expression": "variables.v == ''"}],
    )
    error = await policies.refusal()
    assert 'composited variable "v" fails to evaluate: no such key: gone' in error.message


async def test_match_conditions(policies: Policies) -> None:
    conditions = [{"name": "a", "expression": "object.data.on == 'yes'"}]
    policies.policy(matchConditions=conditions, validations=[{"expression": "false"}])
    await policies.create(configmap(on="no"))
    await policies.refusal(configmap(on="yes"))
    assert "no such key: on" in (await policies.refusal(configmap())).message
    policies.policy(failurePolicy="Ignore", matchConditions=conditions, validations=[{"expression": "false"}])
    await policies.create(configmap())
    both = [*conditions, {"name": "b", "expression": "false"}]
    policies.policy(matchConditions=both, validations=[{"expression": "false"}])
    await policies.create(configmap())


@pytest.mark.parametrize(
    ("constraints", "concerned"),
    [
        ({"resourceRules": [{**EVERYTHING, "resources": ["pods"]}]}, False),
        ({"resourceRules": [{**EVERYTHING, "operations": ["DELETE"]}]}, False),
        ({"resourceRules": [{**EVERYTHING, "resourceNames": ["c"]}]}, True),
        ({"resourceRules": [{**EVERYTHING, "resourceNames": ["d"]}]}, False),
        ({"resourceRules": [{**EVERYTHING, "scope": "Cluster"}]}, False),
        ({"resourceRules": [EVERYTHING], "excludeResourceRules": [{**EVERYTHING, "resources": ["configmaps"]}]}, False),
        ({"resourceRules": [EVERYTHING], "namespaceSelector": {"matchLabels": {"x": "y"}}}, False),
        (
            {
                "resourceRules": [EVERYTHING],
                "objectSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]},
            },
            True,
        ),
    ],
)
async def test_which_requests_are_concerned(policies: Policies, constraints: Obj, concerned: bool) -> None:
    in_policy: dict[str, Any] = {"matchConstraints": constraints}
    in_binding: dict[str, Any] = {"binding": {"matchResources": constraints}}
    for given in (in_policy, in_binding):
        policies.policy(**given, validations=[{"expression": "false"}])
        if concerned:
            await policies.refusal()
        else:
            await policies.create()


async def test_policies_do_not_lock_themselves_in(policies: Policies) -> None:
    policies.rule("false")
    obj = {"metadata": {"name": "x"}}
    await policies.world.run("CREATE", "validatingadmissionpolicies", obj, group=GROUP, namespace=None)
    await policies.world.run("CREATE", "subjectaccessreviews", obj, group="authorization.k8s.io", namespace=None)


async def test_a_policy_without_a_binding_does_nothing(policies: Policies) -> None:
    policies.rule("false")
    policies.world.objects.remove(GROUP, "validatingadmissionpolicybindings", None, "p-b")
    await policies.create()


async def test_a_change_of_a_policy_is_noticed(policies: Policies) -> None:
    policies.rule("false")
    await policies.refusal()
    policies.rule("true")
    await policies.create()


# -- parameters


def with_params(policies: Policies, ref: Obj, **spec: Any) -> None:
    policies.policy(
        binding={"paramRef": {"parameterNotFoundAction": "Deny", **ref}},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        validations=[{"expression": "params == null || size(object.data) <= int(params.data.most)"}],
        **spec,
    )


def limit(policies: Policies, name: str, most: str, namespace: str = "ns", **labels: str) -> None:
    obj = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"most": most}}
    policies.world.put("configmaps", obj)


async def test_parameters(policies: Policies) -> None:
    limit(policies, "limits", "1")
    with_params(policies, {"name": "limits"})
    await policies.create(configmap(a="1"))
    await policies.refusal(configmap(a="1", b="2"))


async def test_parameters_of_another_namespace_and_by_selector(policies: Policies) -> None:
    limit(policies, "strict", "0", namespace="other", use="yes")
    limit(policies, "lax", "9", namespace="other", use="yes")
    with_params(policies, {"namespace": "other", "selector": {"matchLabels": {"use": "yes"}}})
    await policies.refusal(configmap(a="1"))
    with_params(policies, {"namespace": "other", "name": "lax"})
    await policies.create(configmap(a="1"))


async def test_missing_parameters(policies: Policies) -> None:
    with_params(policies, {"name": "gone"})
    error = await policies.refusal()
    assert error.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    with_params(policies, {"name": "gone", "parameterNotFoundAction": "Allow"})
    await policies.create()
    with_params(policies, {"name": "gone"}, failurePolicy="Ignore")
    await policies.create()


async def test_an_unknown_kind_of_parameters(policies: Policies) -> None:
    policies.policy(
        binding={"paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}},
        paramKind={"apiVersion": "example.com/v1", "kind": "Limit"},
        validations=[{"expression": "true"}],
    )
    assert (
        "denied request: failed to configure policy: failed to find resource referenced by paramKind: "
        "'example.com/v1, Kind=Limit'" in (await policies.refusal()).message
    )


# -- mutating


async def test_json_patches(policies: Policies) -> None:
    policies.mutate("[JSONPatch{op: 'add', path: '/data/b', value: object.data.a + '!'}]")
    a = await policies.create(configmap(a="1"))
    assert a.obj["data"] == {"a": "1", "b": "1!"}


async def test_a_failing_test_leaves_the_object(policies: Policies) -> None:
    policies.mutate(
        "[JSONPatch{op: 'test', path: '/data/a', value: 'x'}, JSONPatch{op: 'add', path: '/data/b', value: 'c'}]"
    )
    assert (await policies.create(configmap(a="1"))).obj["data"] == {"a": "1"}
    assert (await policies.create(configmap(a="x"))).obj["data"] == {"a": "x", "b": "c"}


async def test_a_patch_that_cannot_be_applied_refuses(policies: Policies) -> None:
    policies.mutate("[JSONPatch{op: 'remove', path: '/data/nope'}]")
    error = await policies.refusal(configmap(a="1"))
    assert (error.code, error.reason) == (403, "Invalid")
    assert error.message.startswith("policy 'p' with binding 'p-b' denied request: JSON Patch: ")
    policies.mutate("[JSONPatch{op: 'remove', path: '/data/nope'}]", failurePolicy="Ignore")
    await policies.create(configmap(a="1"))


async def test_configurations_are_applied(policies: Policies) -> None:
    policies.mutate(
        "Object{metadata: Object.metadata{labels: {'env': 'prod'}}, spec: Object.spec{template: Object.spec.template{spec:"
        " Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'sidecar', image: 's'}]}}}}",
        apply=True,
    )
    made = await policies.deploy(deployment(replicas=2))
    assert made["metadata"]["labels"] == {"env": "prod"}
    assert made["spec"]["replicas"] == 2
    containers = made["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["image"] for c in containers} == {"c": "i", "sidecar": "s"}
    assert made["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst", "what a policy adds is defaulted"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Object{spec: Object.wrong{replicas: 1}}", 'type mismatch: unexpected type name "Object.wrong"'),
        (
            "Object{spec: Object.spec{replicas: 'x'}}",
            "error applying patch: failed to convert patch object to typed object",
        ),
        (
            "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}",
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector",
        ),
        ("Object{spec: Object.spec{replicas: object.spec.gone}}", "resulted in error: no such key: gone"),
    ],
)
async def test_configurations_that_do_not_fit(policies: Policies, expression: str, expected: str) -> None:
    policies.mutate(expression, apply=True)
    with pytest.raises(ApiError) as caught:
        await policies.deploy(deployment(replicas=2))
    assert expected in caught.value.message


async def test_policies_see_what_those_before_made(policies: Policies) -> None:
    policies.mutate("[JSONPatch{op: 'add', path: '/data/b', value: 'x'}]", "p1")
    policies.mutate("has(object.data.b) ? [JSONPatch{op: 'add', path: '/data/c', value: 'y'}] : []", "p2")
    policies.rule("has(object.data.c)")
    a = await policies.create(configmap(a="1"))
    assert a.obj["data"] == {"a": "1", "b": "x", "c": "y"}


@pytest.mark.parametrize(("policy", "expected"), [("Never", None), ("IfNeeded", "y")])
async def test_policies_are_applied_again_when_later_ones_changed_the_object(
    policies: Policies, policy: str, expected: str | None
) -> None:
    first = "has(object.data.b) ? [JSONPatch{op: 'add', path: '/data/c', value: 'y'}] : []"
    policies.mutate(first, "p1", reinvocationPolicy=policy)
    policies.mutate("[JSONPatch{op: 'add', path: '/data/b', value: 'x'}]", "p2")
    assert (await policies.create(configmap(a="1"))).obj["data"].get("c") == expected


async def test_deletions_are_not_mutated(policies: Policies) -> None:
    policies.mutate("[JSONPatch{op: 'add', path: '/data/b', value: 'x'}]")
    old = configmap(a="1")
    await policies.world.run("DELETE", "configmaps", None, copy.deepcopy(old), kind=KINDS["", "ConfigMap"])
