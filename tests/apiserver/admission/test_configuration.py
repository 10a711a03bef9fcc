"""The admission configuration: what the file may say, what is said of mistakes, and what plugins make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery import filewatch
from apimachinery.clock import ControlledClock
from apimachinery.errors import ApiError
from apiserver import admission
from apiserver.admission.chain import enabled
from apiserver.admission.webhooks import identities
from apiserver.admission.webhooks.caller import Caller
from apiserver.authn.user import User
from apiserver.configscheme import ConfigError
from tests.apiserver.admission.support import World, pod
from tests.apiserver.authz.test_webhook import kubeconfig
from tests.support import certificates, servers
from tests.support.reader import MemoryObjects

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
POD_SECURITY = {"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"}
QUOTA = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration"}
EVENTS = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}
TOLERATIONS = {"apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration"}
WEBHOOKS = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}


def configured(folder: Path, plugin: str, configuration: Any) -> Path:
    file = folder / "admission.yaml"
    plugins = [{"name": plugin, "configuration": configuration}]
    file.write_text(
        json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins})
    )
    return file


def world(folder: Path, plugin: str, configuration: Any) -> World:
    return World(plugin, file=configured(folder, plugin, configuration))


FAILED = "failed to apply admission: "
READING = FAILED + "failed to read plugin config: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "foo: 1\nplugins: [{name: PodSecurity, bar: 1}]\n",
         READING + 'strict decoding error: unknown field "foo", unknown field "plugins[0].bar"'),
        (HEAD.replace("/v1\n", "/v1beta1\n"),
         READING + 'no kind "AdmissionConfiguration" is registered for version "apiserver.config.k8s.io/v1beta1" in scheme '
         '"k8s.io/apiserver/pkg/server/options/admission.go:51"'),
        ("foo: bar\n", READING + "Object 'Kind' is missing in 'foo: bar\n'"),
        (HEAD.replace("Admission", "Authorization"), READING + "unexpected type: *apiserver.AuthorizationConfiguration"),
    ],
)  # fmt: skip
def test_files_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        World(file=file)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("plugin", "configuration", "message"),
    [
        ("PodSecurity", {**POD_SECURITY, "defaults": {"enforc": "a"}},
         'strict decoding error: unknown field "defaults.enforc"'),
        ("PodSecurity", {"foo": 1}, "Object 'Kind' is missing in '{\"foo\":1}'"),
        ("ResourceQuota", {**QUOTA, "limitedResources": [{"apiGroup": ""}]},
         "limitedResources[0].resource: Required value"),
        ("ResourceQuota", {**QUOTA, "limitedResources": [{"resource": "pods", "matchContains": 3}]},
         "json: cannot unmarshal number into Go struct field LimitedResource.limitedResources.matchContains of type []string"),
        ("EventRateLimit", {**EVENTS, "limits": []}, "limits: Invalid value: []: must not be empty"),
        ("EventRateLimit", {**EVENTS, "limits": [{"type": "Foo", "burst": -1, "cacheSize": -1}]},
         '[limits[0].type: Unsupported value: "Foo": supported values: "Server", "Namespace", "User", "SourceAndObject", '
         "limits[0].burst: Invalid value: -1: must be positive, limits[0].qps: Invalid value: 0: must be positive, "
         "limits[0].cacheSize: Invalid value: -1: must not be negative]"),
        ("ImagePolicyWebhook", {"imagePolicy": {"allowTTL": 100000}},
         "valid value is between 1s and 30m0s, got 27h46m40s"),
        ("ImagePolicyWebhook", {"imagePolicy": {"allowTTL": "5s"}},
         "json: cannot unmarshal string into Go struct field AdmissionConfig.imagePolicy.allowTTL of type time.Duration"),
        ("ImagePolicyWebhook", {"imagePolicy": {"kubeConfigFile": "/nonexistent"}},
         "stat /nonexistent: no such file or directory"),
        ("PodTolerationRestriction", {**TOLERATIONS, "default": [{"operator": "Foo"}, {"key": "a", "effect": "Bar"}]},
         'invalid config: [podtolerationrestriction.default[0].operator: Invalid value: "Foo": operator must be Exists when '
         '`key` is empty, which means "match all values and all keys" podtolerationrestriction.default[0].operator: '
         'Unsupported value: "Foo": supported values: "Equal", "Exists" podtolerationrestriction.default[1].effect: '
         'Unsupported value: "Bar": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"]'),
        ("MutatingAdmissionWebhook", {**WEBHOOKS, "kubeConfigFile": "rel"},
         'kubeConfigFile: Invalid value: "rel": must be an absolute file path'),
        ("ValidatingAdmissionWebhook", {**WEBHOOKS, "kubeConfigFile": "/nonexistent"},
         "stat /nonexistent: no such file or directory"),
        ("ValidatingAdmissionPolicy", WEBHOOKS,
         'no kind "WebhookAdmissionConfiguration" is registered for version "apiserver.config.k8s.io/v1" in scheme '
         '"k8s.io/apiserver/pkg/admission/plugin/policy/config/config.go:32"'),
        ("MutatingAdmissionPolicy", {**WEBHOOKS, "kind": "ValidatingAdmissionPolicyConfiguration"},
         "unexpected type: *policyconfig.ValidatingAdmissionPolicyConfiguration"),
        ("ValidatingAdmissionWebhook", {**WEBHOOKS, "staticManifestsDir": "x"},
         "staticManifestsDir: Forbidden: staticManifestsDir requires the ManifestBasedAdmissionControlConfig feature gate to "
         "be enabled"),
    ],
)  # fmt: skip
def test_configurations_that_are_refused(plugin: str, configuration: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        world(tmp_path, plugin, configuration)
    assert str(caught.value) == f'{FAILED}couldn\'t init admission plugin "{plugin}": {message}'


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"defaults": {"enforce": "foo", "audit-version": "2"}},
         "PodSecurity configuration error: [enforce: must be one of privileged, baseline, restricted, audit-version: must be "
         '"latest" or "v1.x"]'),
        ({"exemptions": {"usernames": ["", "a", "a"], "namespaces": ["x", "x"]}},
         'PodSecurity invalid: [exemptions.namespaces[1]: Duplicate value: "x", exemptions.usernames[0]: Invalid value: "": '
         'username must not be empty, exemptions.usernames[2]: Duplicate value: "a"]'),
    ],
)  # fmt: skip
def test_pod_security_that_makes_no_sense(configuration: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        world(tmp_path, "PodSecurity", {**POD_SECURITY, **configuration})
    assert str(caught.value) == f'{FAILED}failed to initialize admission plugin "PodSecurity": {message}'


def test_plugins_that_cannot_do_without() -> None:
    for plugin, problem in (
        ("EventRateLimit", "limits: Invalid value: null: must not be empty"),
        ("ImagePolicyWebhook", "no config specified"),
    ):
        with pytest.raises(ConfigError, match=problem):
            World(plugin)


def test_a_plugin_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "ps.yaml").write_text(json.dumps({**POD_SECURITY, "defaults": {"enforce": "foo"}}))
    file = tmp_path / "admission.yaml"
    file.write_text(HEAD + "plugins: [{name: Unknown, path: nowhere}, {name: PodSecurity, path: ps.yaml}]\n")
    with pytest.raises(ConfigError, match="enforce: must be one of"):
        World(file=file)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (admission.Config(enable_admission_plugins=("Foo", "Bar"), disable_admission_plugins=("Baz",)),
         '[enable-admission-plugins plugin "Foo" is unknown, enable-admission-plugins plugin "Bar" is unknown, '
         'disable-admission-plugins plugin "Baz" is unknown]'),
        (admission.Config(enable_admission_plugins=("Priority", "PodSecurity"),
                          disable_admission_plugins=("PodSecurity", "Priority")),
         "[PodSecurity Priority] in enable-admission-plugins and disable-admission-plugins overlapped"),
        (admission.Config(admission_control=("Priority",), enable_admission_plugins=("PodSecurity",)),
         "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"),
        (admission.Config(admission_control=("Foo",)), 'admission-control plugin "Foo" is unknown'),
    ],
)  # fmt: skip
def test_flags_that_are_refused(config: admission.Config, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        enabled(config)
    assert str(caught.value) == message


def test_the_old_flag_names_all_plugins() -> None:
    names = [entry.name for entry in enabled(admission.Config(admission_control=("Priority", "LimitRanger")))]
    assert names == ["LimitRanger", "Priority"]


# -- what plugins make of it


async def refusal(w: World, obj: dict[str, Any], plural: str = "pods", **rest: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await w.run("CREATE", plural, obj, **rest)
    return caught.value


async def test_pod_security_defaults_and_exemptions(tmp_path: Path) -> None:
    exemptions = {"usernames": ["jane"], "namespaces": ["free"], "runtimeClasses": ["vm"]}
    defaults = {"enforce": "baseline", "warn": "restricted", "warn-version": "v1.25"}
    w = world(tmp_path, "PodSecurity", {**POD_SECURITY, "defaults": defaults, "exemptions": exemptions})
    w.put("runtimeclasses", {"metadata": {"name": "vm"}, "handler": "vm"}, "node.k8s.io")
    assert 'violates PodSecurity "baseline:latest"' in (await refusal(w, pod(hostNetwork=True))).message
    a = await w.run("CREATE", "pods", pod())
    assert [text for text in a.warnings if text.startswith('would violate PodSecurity "restricted:v1.25"')]
    prefix = "pod-security.kubernetes.io/"
    a = await w.run("CREATE", "pods", pod(hostNetwork=True), user=User("jane"))
    assert a.annotations[prefix + "exempt"] == "user"
    a = await w.run("CREATE", "pods", pod(hostNetwork=True, runtimeClassName="vm"))
    assert a.annotations[prefix + "exempt"] == "runtimeClass"
    namespace = {"metadata": {"name": "free", "labels": {prefix + "enforce": "restricted"}}}
    a = await w.run("CREATE", "namespaces", namespace, namespace=None)
    text = 'namespace "free" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored'
    assert a.warnings == [text]


async def test_resources_that_need_a_quota(tmp_path: Path) -> None:
    limited = [
        {"resource": "configmaps", "matchContains": ["count/"]},
        {
            "resource": "pods",
            "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]}],
        },
    ]
    w = world(tmp_path, "ResourceQuota", {**QUOTA, "limitedResources": limited})
    w.put("priorityclasses", {"metadata": {"name": "system-cluster-critical"}, "value": 9}, "scheduling.k8s.io")
    config_map = {"metadata": {"name": "c", "namespace": "ns"}}
    error = await refusal(w, config_map, "configmaps")
    assert (error.code, error.message) == (
        403,
        'configmaps "c" is forbidden: insufficient quota to consume: count/configmaps',
    )
    await w.run("CREATE", "secrets", {"metadata": {"name": "s", "namespace": "ns"}})
    await w.create_pod()
    error = await refusal(w, pod(priorityClassName="system-cluster-critical"))
    text = "insufficient quota to match these scopes: [{PriorityClass In [system-cluster-critical]}]"
    assert (error.code, error.reason, error.message) == (500, "", text)
    hard = {"count/configmaps": "5", "pods": "9"}
    used = {"count/configmaps": "0", "pods": "0"}
    scopes = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}
    for name, spec, names in (("a", {}, ["count/configmaps"]), ("b", {"scopeSelector": scopes}, ["pods"])):
        status = {"hard": {n: hard[n] for n in names}, "used": {n: used[n] for n in names}}
        w.put("resourcequotas", {"metadata": {"name": name, "namespace": "ns"}, "spec": spec, "status": status})
    await w.run("CREATE", "configmaps", config_map)
    await w.create_pod(priorityClassName="system-cluster-critical")


def event(name: str, involved: str = "x") -> dict[str, Any]:
    source = {"component": "c", "host": "h"}
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "name": involved},
        "source": source,
    }


async def test_events_that_come_too_fast(tmp_path: Path) -> None:
    limits = [
        {"type": "Namespace", "qps": 1, "burst": 3},
        {"type": "SourceAndObject", "qps": 1, "burst": 2, "cacheSize": 2},
    ]
    w = world(tmp_path, "EventRateLimit", {**EVENTS, "limits": limits})
    for _ in range(2):
        await w.run("CREATE", "events", event("e"))
    error = await refusal(w, event("e"), "events")
    text = "Too many requests: limit reached on type SourceAndObject for key chPodx"
    assert (error.code, error.reason, error.message) == (429, "TooManyRequests", text)
    error = await refusal(w, event("e", "y"), "events")
    assert error.message == "Too many requests: limit reached on type Namespace for key ns"
    await w.run("CREATE", "events", event("e"), dry_run=True)
    await w.run("CREATE", "configmaps", {"metadata": {"name": "c", "namespace": "ns"}})
    await w.clock.advance(1)
    await w.run("UPDATE", "events", event("e", "y"), event("e", "y"))
    await w.clock.advance(10)
    for involved in "xyz":  # the last two are remembered
        await w.run("CREATE", "events", event("e", involved))
    await w.clock.advance(1)
    await w.run("CREATE", "events", event("e", "x"))  # its bucket was forgotten, and is full


async def test_limits_of_the_server_and_of_users(tmp_path: Path) -> None:
    limits = [{"type": "Server", "qps": 1, "burst": 3}, {"type": "User", "qps": 1, "burst": 1}]
    w = world(tmp_path, "EventRateLimit", {**EVENTS, "limits": limits})
    for name in "ab":
        await w.run("CREATE", "events", event("e"), user=User(name))
    with pytest.raises(ApiError, match="type User for key a"):
        await w.run("CREATE", "events", event("e"), user=User("a"))
    with pytest.raises(ApiError, match=r"type Server for key $"):
        await w.run("CREATE", "events", event("e"), user=User("c"))


async def test_node_selectors_of_the_configuration(tmp_path: Path) -> None:
    selectors = {"clusterDefaultNodeSelector": "def=1", "ns": "def=1,a=b"}
    w = world(tmp_path, "PodNodeSelector", {"podNodeSelectorPluginConfig": selectors})
    assert (await w.create_pod(nodeSelector={"a": "b"}))["spec"]["nodeSelector"] == {"def": "1", "a": "b"}
    text = 'pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist'
    assert (await refusal(w, pod(nodeSelector={"c": "d"}))).message == text
    annotation = {"scheduler.alpha.kubernetes.io/node-selector": "a"}
    w.put("namespaces", {"metadata": {"name": "ns", "annotations": annotation}, "status": {"phase": "Active"}})
    error = await refusal(w, pod())
    assert (error.code, error.reason, error.message) == (500, "", "invalid selector: [a]")


async def test_tolerations_of_the_configuration(tmp_path: Path) -> None:
    allowed = [{"operator": "Exists", "effect": "NoExecute"}, {"key": "d", "operator": "Exists"}]
    stated = {**TOLERATIONS, "default": [{"key": "d", "operator": "Exists"}], "whitelist": allowed}
    w = world(tmp_path, "PodTolerationRestriction", stated)
    assert {"key": "d", "operator": "Exists"} in (await w.create_pod())["spec"]["tolerations"]
    error = await refusal(w, pod(tolerations=[{"key": "q", "operator": "Exists"}]))
    assert error.message.endswith("conflict with its cluster whitelist")
    prefix = "scheduler.alpha.kubernetes.io/"
    for text, problem in (("{", "unexpected end of JSON input"), ("{}", "cannot unmarshal object into Go value")):
        annotations = {prefix + "defaultTolerations": text}
        w.put("namespaces", {"metadata": {"name": "ns", "annotations": annotations}, "status": {"phase": "Active"}})
        assert problem in (await refusal(w, pod())).message


async def test_images_that_a_server_judges(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        seen.append(review)
        image = review["spec"]["containers"][0]["image"]
        if image == "broken":
            return web.Response(status=418)
        status = {"allowed": image != "bad", "reason": "for a reason", "auditAnnotations": {"k": "v"}}
        return web.json_response({**review, "status": status})

    def settings(listener: servers.Listener, *, fails_open: bool) -> dict[str, Any]:
        file = str(kubeconfig(tmp_path, listener))
        return {"imagePolicy": {"kubeConfigFile": file, "allowTTL": 60, "denyTTL": 10, "defaultAllow": fails_open}}

    async with servers.listening(tmp_path, answer) as listener:
        w = world(tmp_path, "ImagePolicyWebhook", settings(listener, fails_open=False))
        good = pod(containers=[{"name": "c", "image": "good"}], initContainers=[{"name": "i", "image": "init"}])
        good["metadata"]["annotations"] = {"x.image-policy.k8s.io/y": "1", "other": "2"}
        a = await w.run("CREATE", "pods", good)
        assert a.annotations["imagepolicywebhook.image-policy.k8s.io/k"] == "v"
        assert (seen[0]["apiVersion"], seen[0]["kind"]) == ("imagepolicy.k8s.io/v1alpha1", "ImageReview")
        assert seen[0]["spec"] == {
            "containers": [{"image": "good"}, {"image": "init"}],
            "annotations": {"x.image-policy.k8s.io/y": "1"},
            "namespace": "ns",
        }
        bad, broken = (pod(containers=[{"name": "c", "image": image}]) for image in ("bad", "broken"))
        text = 'pods "p" is forbidden: image policy webhook backend denied one or more images: for a reason'
        for _ in range(2):
            assert (await refusal(w, bad)).message == text
        assert len(seen) == 2  # answers are remembered
        await w.clock.advance(11)
        await refusal(w, bad)
        assert len(seen) == 3
        unknown = "the server responded with the status code 418 but did not return more information"
        assert (await refusal(w, broken)).message == f'pods "p" is forbidden: {unknown}'
        await w.chain.close()
        w = world(tmp_path, "ImagePolicyWebhook", settings(listener, fails_open=True))
        a = await w.run("CREATE", "pods", broken)
        assert a.annotations["imagepolicywebhook.image-policy.k8s.io/failed-open"] == "true"
        await w.chain.close()


async def test_as_whom_webhooks_are_called(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    users = {"svc.ns.svc:443": "service", "*.example.com": "domain", "host:8443": "port", "*": "others"}
    entries = [{"name": name, "user": {"token": token}} for name, token in users.items()]
    entries.append({"name": "basic", "user": {"username": "u", "password": "p"}})
    file.write_text(json.dumps({"users": entries}))
    found = identities.load(json.dumps({**WEBHOOKS, "kubeConfigFile": str(file)}).encode())
    assert found is not None

    async def header(target: str) -> str:
        identity = found.of(target) if found is not None else None
        return (await identity.headers())["Authorization"] if identity is not None else ""

    assert await header("svc.ns.svc:443") == "Bearer service"
    assert await header("a.b.example.com:443") == "Bearer domain"
    assert await header("a.b.example.com") == "Bearer domain"
    assert await header("a.example.com:444") == "Bearer others"
    assert await header("host:8443") == "Bearer port"
    assert await header("basic:443") == "Basic dTpw"
    file.write_text(json.dumps({"users": entries[:1]}))
    found = identities.load(json.dumps({**WEBHOOKS, "kubeConfigFile": str(file)}).encode())
    assert found is not None
    assert found.of("elsewhere:443") is None


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def test_a_webhook_is_shown_the_certificate_that_is_for_it(tmp_path: Path) -> None:
    authority = certificates.authority("clients")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    key = new_key()
    (tmp_path / "client.crt").write_bytes(certificates.client_pem(authority, key, "webhooks"))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "client.key").write_bytes(key.private_bytes(*private))
    seen = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert")
        seen.append((shown["subject"][-1][0][1], request.headers.get("Authorization")))
        review = json.loads(await request.read())
        return web.json_response({**review, "response": {"uid": review["request"]["uid"], "allowed": True}})

    async with servers.listening(tmp_path, answer, client_ca=tmp_path / "ca.pem") as listener:
        file = tmp_path / "kubeconfig"
        user = {"client-certificate": "client.crt", "client-key": "client.key", "token": "t"}
        file.write_text(json.dumps({"users": [{"name": f"127.0.0.1:{listener.port}", "user": user}]}))
        clock = ControlledClock()
        found = identities.followed(json.dumps({**WEBHOOKS, "kubeConfigFile": str(file)}).encode(), clock)
        caller = Caller(MemoryObjects(), clock, found)
        config = {"url": f"https://127.0.0.1:{listener.port}/", "caBundle": listener.bundle}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u"}}
        await caller.post(config, review, 5)
        assert seen == [("webhooks", "Bearer t")]
        (tmp_path / "client.crt").write_bytes(certificates.client_pem(authority, other := new_key(), "renewed"))
        await clock.advance(filewatch.USE_SECONDS)
        await caller.post(config, review, 5)
        assert seen.pop() == ("webhooks", "Bearer t")  # its key is not there yet
        (tmp_path / "client.key").write_bytes(other.private_bytes(*private))
        await clock.advance(filewatch.USE_SECONDS)
        await caller.post(config, review, 5)
        await caller.close()
        assert seen.pop() == ("renewed", "Bearer t")
