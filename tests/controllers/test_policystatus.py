"""Type checking of validating admission policies: warnings in the words of kube-controller-manager 1.36, on real schemas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apimachinery.clock import RealClock
from apimachinery.gvk import Resource
from client.api import Client
from client.informer import Informers
from client.kubeconfig import Credentials
from controllers import policytypes
from controllers.base import Context
from controllers.config import Config
from controllers.policystatus import MANAGER, PolicyStatusController
from controllers.policytypes import Target
from tests.support import apiserver

Obj = dict[str, Any]
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
SERVED = [
    Resource("", "v1", "pods", "Pod", True),
    Resource("", "v1", "events", "Event", True),
    Resource("apps", "v1", "deployments", "Deployment", True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True),
    Resource("events.k8s.io", "v1", "events", "Event", True),
]
DOCUMENT = {
    "components": {
        "schemas": {
            "Widget": {
                "type": "object",
                "properties": {
                    "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}], "default": {}},
                    "spec": {"$ref": "#/components/schemas/Spec"},
                },
                "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}],
            },
            "Meta": {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}},
            "Spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "port": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Part": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "inner": {"$ref": "#/components/schemas/Part"}},
            },
        }
    }
}
WIDGET = ("example.com", "v1", "Widget")


def policy(*expressions: str, **spec: Any) -> Obj:
    return {"spec": {"validations": [{"expression": text} for text in expressions], **spec}}


def rules(groups: list[str], versions: list[str], resources: list[str]) -> Obj:
    rule = {"apiGroups": groups, "apiVersions": versions, "resources": resources, "operations": ["CREATE"]}
    return {"matchConstraints": {"resourceRules": [rule]}}


def targets(groups: list[str], versions: list[str], resources: list[str]) -> list[tuple[str, str, str]]:
    return policytypes.targets_of(policy(**rules(groups, versions, resources)), SERVED)


def warnings(checked: Obj, params: Any = None) -> list[str]:
    schema = policytypes.schema_of(DOCUMENT, WIDGET)
    assert schema is not None
    target = Target(WIDGET, policytypes.declared(schema, WIDGET))
    return [found["warning"] for found in policytypes.check(checked, [target], params)]


def test_only_what_is_named_without_wildcards_is_checked() -> None:
    assert targets(["apps"], ["v1"], ["deployments", "deployments/scale", "*", "nothing"]) == [
        ("apps", "v1", "Deployment")
    ]
    assert targets(["*"], ["v1"], ["pods"]) == []
    assert targets(["apps"], ["*"], ["deployments"]) == []
    assert targets(["apps"], ["v2"], ["deployments"]) == []
    # The original's mapper takes no group for any group.
    assert targets([""], ["v1"], ["events"]) == [("", "v1", "Event"), ("events.k8s.io", "v1", "Event")]
    assert targets(["apps"], ["v1"], ["Deployment", "daemonsets"]) == [
        ("apps", "v1", "DaemonSet"),
        ("apps", "v1", "Deployment"),
    ]


def test_a_rule_counts_up_to_ten_kinds() -> None:
    served = [Resource("g", "v1", f"r{number:02}s", f"R{number:02}", True) for number in range(12)]
    found = policytypes.targets_of(policy(**rules(["g"], ["v1"], [one.plural for one in served])), served)
    assert [kind for _, _, kind in found] == [f"R{number:02}" for number in range(10)]


def test_references_are_followed_and_end_where_they_come_round() -> None:
    assert warnings(policy("object.spec.parts[0].inner.name == 'x'")) == [
        "example.com/v1, Kind=Widget: ERROR: <input>:1:27: undefined field 'name'\n"
        " | object.spec.parts[0].inner.name == 'x'\n | ..........................^\n"
    ]
    assert warnings(policy("object.spec.port == 'http' || object.spec.port == 80", "object.metadata.name == 'x'")) == []


def test_expressions_and_messages_are_checked_in_order() -> None:
    checked = policy("object.size > 1", "object.spec.size > 1")
    checked["spec"]["validations"][1]["messageExpression"] = "'a' + oldObject.spec.size"
    schema = policytypes.schema_of(DOCUMENT, WIDGET)
    assert schema is not None
    target = Target(WIDGET, policytypes.declared(schema, WIDGET))
    assert policytypes.check(checked, [target, target], None) == [
        {
            "fieldRef": "spec.validations[0].expression",
            "warning": "\n".join(
                [
                    "example.com/v1, Kind=Widget: ERROR: <input>:1:7: undefined field 'size'\n | object.size > 1\n | ......^\n"
                ]
                * 2
            ),
        },
        {
            "fieldRef": "spec.validations[1].messageExpression",
            "warning": "\n".join(
                [
                    "example.com/v1, Kind=Widget: ERROR: <input>:1:5: found no matching overload for '_+_' applied to"
                    " '(string, int)'\n | 'a' + oldObject.spec.size\n | ....^\n"
                ]
                * 2
            ),
        },
    ]


def test_variables_have_the_types_of_plain_values_only() -> None:
    variables = [
        {"name": "size", "expression": "object.spec.size"},
        {"name": "parts", "expression": "object.spec.parts"},
        {"name": "wrong", "expression": "object.nothing"},
    ]
    checked = policy("variables.size == 'x'", "variables.parts[0].foo == 1", "variables.wrong.x", variables=variables)
    assert warnings(checked) == [
        "example.com/v1, Kind=Widget: ERROR: <input>:1:16: found no matching overload for '_==_' applied to '(int, string)'\n"
        " | variables.size == 'x'\n | ...............^\n"
    ]


def test_parameters_and_what_else_expressions_see() -> None:
    with_params = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    seen = policy(
        "params.foo == 1",
        "request.userInfo.username == 'x' && namespaceObject.metadata.name == 'y'",
        "authorizer.group('').resource('pods').check('get').allowed()",
        "authorizer.requestResource.check('get').allowed()",
        **with_params,
    )
    unresolved = (
        "example.com/v1, Kind=Widget: ERROR: <input>:1:11: unexpected failed resolution of 'kubernetes.authorization.Authorizer'\n"
        " | authorizer.requestResource.check('get').allowed()\n | ..........^\n"
    )
    assert warnings(seen) == [unresolved]
    params = policytypes.declared(
        {"type": "object", "properties": {"data": {"type": "string"}}}, ("", "v1", "ConfigMap")
    )
    assert warnings(seen, params)[0].startswith(
        "example.com/v1, Kind=Widget: ERROR: <input>:1:7: undefined field 'foo'"
    )
    assert "undeclared reference to 'params'" in warnings(policy("params.foo == 1"))[0]


@asynccontextmanager
async def controlled(api: apiserver.Api, folder: Path) -> AsyncIterator[None]:
    """The controller, running against that server."""
    clock = RealClock()
    ca = (folder / "pki" / "ca.crt").read_bytes()
    credentials = Credentials(server=api.url, ca=ca, token=api.token)
    async with Client(credentials, clock=clock, user_agent="test") as client, asyncio.TaskGroup() as group:
        informers = Informers(client)
        config = Config(kubeconfig=Path("/nonexistent"))
        context = Context(config=config, clock=clock, informers=informers, client_for=lambda name: client)
        controller = PolicyStatusController(context)
        tasks = [group.create_task(informers.run()), group.create_task(controller.run())]
        yield
        for task in tasks:
            task.cancel()


async def observed(api: apiserver.Api, generation: int) -> Obj:
    """The policy, once the controller has seen that generation."""
    async with api.watch(POLICIES) as events:
        while True:
            found = (await events.next())["object"]
            if (found.get("status") or {}).get("observedGeneration") == generation:
                return dict(found)


async def test_each_generation_is_checked_once(tmp_path: Path) -> None:
    async with apiserver.running(tmp_path) as api:
        spec = policy("object.replicas > 1", **rules(["apps"], ["v1"], ["deployments"]))["spec"]
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"},
            "spec": spec,
        }
        assert (await api.post(POLICIES, body)).code == 201
        async with controlled(api, tmp_path):
            first = await observed(api, 1)
            assert first["status"] == {
                "observedGeneration": 1,
                "typeChecking": {
                    "expressionWarnings": [
                        {
                            "fieldRef": "spec.validations[0].expression",
                            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
                            " | object.replicas > 1\n | ......^\n",
                        }
                    ]
                },
            }
            entry = next(one for one in first["metadata"]["managedFields"] if one.get("subresource") == "status")
            assert (entry["manager"], entry["operation"]) == (MANAGER, "Apply")
            better = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
            assert (await api.patch(f"{POLICIES}/p", better)).code == 200
            assert (await observed(api, 2))["status"] == {"observedGeneration": 2, "typeChecking": {}}
