"""Becoming more than one is: by writing roles and bindings in every way there is, by acting as others, and by certificates."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Api, Obj
from tests.support.rights import RBAC, allow, user

GROUP = "rbac.authorization.k8s.io"
ROOT = f"/apis/{RBAC}"
LOCAL = f"{ROOT}/namespaces/default"
RULES = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
PLURALS = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"]
WRITING = ["get", "list", "create", "update", "patch", "delete", "deletecollection"]
ME = [{"kind": "User", "apiGroup": GROUP, "name": "plain"}]


@pytest.fixture
async def plain(api: Api) -> Api:
    """Who may write all kinds of RBAC, but neither bind nor escalate, and may else read config maps."""
    await allow(
        api,
        "plain",
        {"apiGroups": [GROUP], "resources": PLURALS, "verbs": WRITING},
        {"resources": ["configmaps"], "verbs": ["get"]},
    )
    return user(api)


def refused(answer: Answer) -> bool:
    return answer.code == 403 and "not currently held" in answer.message


async def each_write(who: Api, path: str, name: str, wanted: Obj, change: Obj) -> list[Answer]:
    """The object `wanted` at that path, or `change` of what is there, by each way of writing."""
    kind = {"clusterroles": "ClusterRole", "roles": "Role", "rolebindings": "RoleBinding"}.get(path.rsplit("/", 1)[1])
    whole = {"apiVersion": RBAC, "kind": kind or "ClusterRoleBinding", "metadata": {"name": name}, **wanted}
    ops = [{"op": "add", "path": f"/{key}", "value": value} for key, value in change.items()]
    at = f"{path}/{name}"
    return [
        await who.put(at, whole),
        await who.patch(at, change, MERGE),
        await who.patch(at, change, STRATEGIC),
        await who.patch(at, ops, JSON_PATCH),
        await who.patch(at, whole, APPLY, fieldManager="m", force="true"),
        await who.patch(at, whole, APPLY, fieldManager="m", force="true", dryRun="All"),
    ]


@pytest.mark.parametrize("path", [f"{LOCAL}/roles", f"{ROOT}/clusterroles"])
async def test_no_way_of_writing_a_role_gives_more(plain: Api, path: str) -> None:
    fair = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    assert (await plain.post(path, {"metadata": {"name": "r"}, "rules": fair})).code == 201
    assert refused(await plain.post(path, {"metadata": {"name": "s"}, "rules": RULES}))
    for verbs in (["*"], ["escalate"], ["bind"]):
        rules = [{"apiGroups": [GROUP], "resources": ["*"], "verbs": verbs}]
        assert refused(await plain.post(path, {"metadata": {"name": "s"}, "rules": rules}))
    for rules in (
        RULES,
        [{"apiGroups": ["*"], "resources": ["configmaps"], "verbs": ["get"]}],
        [{"apiGroups": [""], "resources": ["configmaps/*"], "verbs": ["get"]}],
        [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "impersonate"]}],
        [*fair, {"apiGroups": [""], "resources": ["users"], "resourceNames": ["admin"], "verbs": ["impersonate"]}],
    ):
        for answer in await each_write(plain, path, "r", {"rules": rules}, {"rules": rules}):
            assert refused(answer), answer.raw
        answer = await plain.patch(f"{path}/r", {"rules": rules}, MERGE, dryRun="All")
        assert refused(answer)
    assert (await plain.get(f"{path}/r")).body["rules"] == fair


async def test_nor_is_a_role_that_does_not_exist_yet_written_by_update_or_apply(plain: Api) -> None:
    for path in (f"{LOCAL}/roles", f"{ROOT}/clusterroles"):
        wanted = {"rules": RULES}
        put, *_, applied, dry = await each_write(plain, path, "new", wanted, wanted)
        assert refused(put)
        assert refused(applied)
        assert refused(dry)
    ref = {"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": ME}
    for path in (f"{LOCAL}/rolebindings", f"{ROOT}/clusterrolebindings"):
        put, *_, applied, dry = await each_write(plain, path, "new", ref, ref)
        assert refused(put)
        assert refused(applied)
        assert refused(dry)


@pytest.mark.parametrize("path", [f"{LOCAL}/rolebindings", f"{ROOT}/clusterrolebindings"])
async def test_no_way_of_writing_a_binding_gives_more(api: Api, plain: Api, path: str) -> None:
    for name in ("cluster-admin", "system:node", "system:kube-scheduler"):
        ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
        assert refused(await plain.post(path, {"metadata": {"name": "x"}, "roleRef": ref, "subjects": ME}))
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
    assert (await api.post(path, {"metadata": {"name": "b"}, "roleRef": ref})).code == 201
    for answer in await each_write(plain, path, "b", {"roleRef": ref, "subjects": ME}, {"subjects": ME}):
        assert refused(answer), answer.raw
    # A role in place of another: a fair binding does not become one of cluster-admin.
    await api.post(f"{ROOT}/clusterroles", {"metadata": {"name": "fair"}, "rules": []})
    fair = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "fair"}
    assert (await plain.post(path, {"metadata": {"name": "f"}, "roleRef": fair, "subjects": ME})).code == 201
    for who in (plain, api):
        for answer in await each_write(who, path, "f", {"roleRef": ref, "subjects": ME}, {"roleRef": ref}):
            assert answer.code in (403, 422), answer.raw
    assert (await api.get(f"{path}/f")).body["roleRef"] == fair
    # Nor does a binding to nothing become one by the role that is made for it afterwards.
    ghost = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "ghost"}
    assert (await plain.post(path, {"metadata": {"name": "g"}, "roleRef": ghost, "subjects": ME})).code == 404


async def test_aggregation_gathers_nothing_for_who_does_not_hold_it(api: Api, plain: Api) -> None:
    path = f"{ROOT}/clusterroles"
    rule = {"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]}
    wanted = {"aggregationRule": rule}
    answer = await plain.post(path, {"metadata": {"name": "a"}, **wanted, "rules": []})
    assert (answer.code, "cluster-admin privileges" in answer.message) == (403, True)
    await plain.post(path, {"metadata": {"name": "r"}})
    for answer in await each_write(plain, path, "r", {**wanted, "rules": []}, wanted):
        assert (answer.code, "cluster-admin privileges" in answer.message) == (403, True), answer.raw
    # A role of others with many rights is not made part of a role that one has.
    await api.post(path, {"metadata": {"name": "strong"}, "rules": RULES})
    label = {"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}}
    for media_type in (MERGE, STRATEGIC):
        assert refused(await plain.patch(f"{path}/strong", label, media_type))
    # And what aggregates already cannot be taken over by dropping the rule and keeping the rights.
    answer = await plain.patch(f"{path}/admin", {"aggregationRule": None, "metadata": {"labels": {"a": "b"}}})
    assert answer.code == 403


async def test_a_collection_is_only_deleted_by_who_may(api: Api) -> None:
    await allow(api, "plain", {"apiGroups": [GROUP], "resources": PLURALS, "verbs": ["delete", "list", "get"]})
    for plural in ("clusterroles", "clusterrolebindings"):
        assert (await user(api).delete(f"{ROOT}/{plural}")).code == 403
    assert (await api.get(f"{ROOT}/clusterrolebindings/cluster-admin")).code == 200


async def test_bind_is_for_the_named_role(api: Api, plain: Api) -> None:
    rule = {"apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["system:node"], "verbs": ["bind"]}
    await allow(api, "plain", rule, namespace="default")
    for name, path, code in (
        ("system:node", f"{LOCAL}/rolebindings", 201),
        ("system:kube-scheduler", f"{LOCAL}/rolebindings", 403),
        ("system:node", f"{ROOT}/namespaces/kube-system/rolebindings", 403),
        ("system:node", f"{ROOT}/clusterrolebindings", 403),
    ):
        ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
        binding = {"metadata": {"generateName": "b-"}, "roleRef": ref, "subjects": ME}
        assert (await plain.post(path, binding)).code == code, (name, path)


# -- acting as others


SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def acting(api: Api, *headers: tuple[str, str]) -> Answer:
    """Who the server takes the user plain to be with these headers."""
    lines = [f"POST {SELF} HTTP/1.1", "Host: x", "Authorization: Bearer plaintoken", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    sent = "\r\n".join([*lines, "Content-Type: application/json", "Content-Length: 2"]) + "\r\n\r\n{}"
    answer = await api.raw(sent.encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ")[1]), {}, body)


AS: list[tuple[tuple[str, str], ...]] = [
    (("Impersonate-User", "admin"),),
    (("impersonate-user", "admin"),),
    (("IMPERSONATE-USER", "admin"), ("IMPERSONATE-GROUP", "system:masters")),
    (("Impersonate-User", "plain"), ("Impersonate-Group", "system:masters")),
    (("Impersonate-User", "plain"), ("Impersonate-Group", "team-a"), ("Impersonate-Group", "system:masters")),
    (("Impersonate-User", "plain"), ("Impersonate-Uid", "1")),
    (("Impersonate-User", "plain"), ("Impersonate-Extra-scopes", "all")),
    (("Impersonate-User", "plain"), ("Impersonate-Extra-%73copes", "all")),
    (("Impersonate-User", "plain"), ("Impersonate-Extra-", "all")),
    (("Impersonate-User", "system:serviceaccount:kube-system:default"),),
    (("Impersonate-User", "system:node:n1"),),
    (("Impersonate-User", "system:anonymous"),),
    (("Impersonate-User", "system:admin"),),
    (("Impersonate-User", "friend"), ("Impersonate-User", "admin")),
    (("Impersonate-User", "admin"), ("Impersonate-User", "friend")),
    (("Impersonate-Group", "system:masters"),),
    (("Impersonate-Uid", "1"),),
    (("Impersonate-Extra-a", "b"),),
    (("Impersonate-User", ""), ("Impersonate-Group", "system:masters")),
    (("Impersonate-User", "friend"), ("Impersonate-User-", "admin"), ("Impersonate-Groups", "system:masters")),
]


@pytest.mark.parametrize("headers", AS)
async def test_nobody_acts_as_another_without_the_right(api: Api, headers: tuple[tuple[str, str], ...]) -> None:
    """plain may act as friend and as nobody else, with no group, uid or extra."""
    rule = {"resources": ["users"], "resourceNames": ["friend"], "verbs": ["impersonate"]}
    await allow(api, "plain", rule)
    answer = await acting(api, *headers)
    if answer.code == 201:  # then as friend, or as oneself, and with no right of others
        found = answer.body["status"]["userInfo"]
        assert headers[0] == ("Impersonate-User", "friend")
        assert (found["username"], found["groups"]) == ("friend", ["system:authenticated"])
        assert set(found) == {"username", "groups"}
    else:
        assert answer.code in (400, 403)


async def test_odd_spellings_are_nobody(api: Api) -> None:
    for header in ("Impersonate_User", "X-Impersonate-User", "Impersonate.User", "X-Remote-User", "X_Remote_User"):
        answer = await acting(api, (header, "admin"))
        assert answer.body["status"]["userInfo"]["username"] == "plain"
    for header in ("Impersonate-User ", " Impersonate-User", "Impersonate-User\t"):
        assert (await acting(api, (header, "admin"))).code in (400, 403)


GROUP_OF_REVIEWS = "authentication.k8s.io"


async def test_constrained_impersonation_stays_within_its_bounds(api: Api) -> None:
    """Who may act as anybody to list pods does nothing else so, is no node, no account and no master."""
    await allow(
        api,
        "plain",
        {"apiGroups": [GROUP_OF_REVIEWS], "resources": ["users", "groups"], "verbs": ["impersonate:user-info"]},
        {"resources": ["pods"], "verbs": ["impersonate-on:user-info:list"]},
    )
    await allow(api, "jane", {"resources": ["pods", "secrets"], "verbs": ["*"]})
    plain = user(api)

    async def ask(path: str, method: str = "GET", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await plain.ask(method, path, headers=named)).code

    assert await ask("/api/v1/pods", Impersonate_User="jane") == 200
    assert await ask("/api/v1/pods", Impersonate_User="jane", Impersonate_Group="team-b") == 200
    assert await ask("/api/v1/secrets", Impersonate_User="jane") == 403
    assert await ask("/api/v1/namespaces/default/pods/x", Impersonate_User="jane") == 403
    assert await ask("/api/v1/namespaces/default/pods/x", "DELETE", Impersonate_User="jane") == 403
    assert await ask("/api/v1/pods", Impersonate_User="x", Impersonate_Group="system:masters") == 403
    assert await ask("/api/v1/pods", Impersonate_User="system:node:n1") == 403
    assert await ask("/api/v1/pods", Impersonate_User="system:serviceaccount:kube-system:default") == 403
    assert await ask("/api/v1/pods", Impersonate_User="jane", Impersonate_Uid="1") == 403
    assert await ask("/api/v1/pods", Impersonate_User="jane", Impersonate_Extra_a="b") == 403


# -- certificates


CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNERS = "kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving"


def csr(name: str, signer: str, *organizations: str, common_name: str = "jane") -> Obj:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    usages = ["digital signature", "server auth" if signer == "kubelet-serving" else "client auth"]
    spec = {"request": pem, "signerName": f"kubernetes.io/{signer}", "usages": usages}
    return {"metadata": {"name": name}, "spec": spec}


async def test_no_request_for_masters_is_taken(api: Api) -> None:
    for who in (api, user(api)):
        await allow(api, "plain", {"apiGroups": ["certificates.k8s.io"], "resources": ["*"], "verbs": ["create"]})
        for organizations in (("system:masters",), ("a", "system:masters"), ("system:masters", "system:masters")):
            answer = await who.post(CSRS, csr("m", SIGNERS[0], *organizations))
            assert answer.code == 403, answer.raw
            assert "system:masters" in answer.message


APPROVED = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}


async def test_nobody_approves_or_signs_without_the_right_on_the_signer(api: Api) -> None:
    """Even who may write everything else of requests, approval and status included."""
    resources = [
        "certificatesigningrequests",
        "certificatesigningrequests/approval",
        "certificatesigningrequests/status",
    ]
    await allow(api, "plain", {"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": ["*"]})
    plain = user(api)
    for signer in SIGNERS:
        common = {"kube-apiserver-client": "jane"}.get(signer, "system:node:n1")
        wanted = csr(signer, signer, *(() if common == "jane" else ("system:nodes",)), common_name=common)
        wanted["status"] = {"conditions": [APPROVED], "certificate": "eA=="}
        wanted["spec"] |= {"username": "admin", "groups": ["system:masters"]}
        made = await plain.post(CSRS, wanted)
        assert made.code == 201, made.raw
        assert "status" not in made.body or not made.body["status"]
        assert (made.body["spec"]["username"], "system:masters" in made.body["spec"]["groups"]) == ("plain", False)
        path = f"{CSRS}/{signer}"
        whole = {**made.body, "status": {"conditions": [APPROVED]}}
        for change in (whole, {**whole, "spec": {**whole["spec"], "signerName": "example.com/mine"}}):
            assert (await plain.put(f"{path}/approval", change)).code in (403, 422)
            assert (await plain.put(f"{path}/status", change)).code in (403, 422)
            await plain.put(path, change)
        for media_type in (MERGE, STRATEGIC):
            patch: Obj = {"status": {"conditions": [APPROVED]}}
            assert (await plain.patch(f"{path}/approval", patch, media_type)).code == 403
            assert (await plain.patch(f"{path}/status", patch, media_type)).code in (403, 422)
            await plain.patch(path, patch, media_type)
        patch = {"status": {"certificate": "eA=="}}
        assert (await plain.patch(f"{path}/status", patch)).code in (403, 422)
        applied: Any = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
        applied |= {"metadata": {"name": signer}, "status": {"conditions": [APPROVED]}}
        assert (await plain.patch(f"{path}/approval", applied, APPLY, fieldManager="m")).code == 403
        found = (await api.get(path)).body
        assert not found.get("status")
        assert found["spec"] == made.body["spec"]
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"]}
    await allow(api, "plain", {**rule, "resourceNames": ["kubernetes.io/kubelet-serving"]})
    patch = {"status": {"conditions": [APPROVED]}}
    assert (await plain.patch(f"{CSRS}/kube-apiserver-client/approval", patch)).code == 403
    assert (await plain.patch(f"{CSRS}/kubelet-serving/approval", patch)).code == 200
    assert (await plain.patch(f"{CSRS}/kubelet-serving/status", {"status": {"certificate": "eA=="}})).code in (403, 422)
