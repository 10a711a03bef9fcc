"""The ConfigMap by which other servers authenticate clients as this one does."""

from __future__ import annotations

from pathlib import Path

from apimachinery.clock import ControlledClock
from apiserver.authn import Config
from apiserver.bootstrap import authentication_config
from apiserver.bootstrap.ensure import Access
from tests.support.reader import MemoryObjects


async def test_it_is_made_and_kept_up_to_date(tmp_path: Path) -> None:
    ca, front = tmp_path / "ca", tmp_path / "front"
    ca.write_text("one")
    front.write_text("two")
    config = Config(client_ca_file=ca, requestheader_client_ca_file=front, requestheader_allowed_names=("proxy",))
    objects = MemoryObjects()
    clock = ControlledClock()
    access = Access(objects, objects, clock)
    await authentication_config.reconcile(access, config, clock)
    found = await objects.get("", "configmaps", "kube-system", "extension-apiserver-authentication")
    assert found is not None
    assert found["data"] == {
        "client-ca-file": "one",
        "requestheader-allowed-names": '["proxy"]',
        "requestheader-client-ca-file": "two",
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": "[]",
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    objects.put("", "configmaps", {**found, "data": {**found["data"], "theirs": "x"}})
    ca.write_text("three")
    await authentication_config.reconcile(access, config, clock)
    found = await objects.get("", "configmaps", "kube-system", "extension-apiserver-authentication")
    assert found is not None
    assert (found["data"]["client-ca-file"], found["data"]["theirs"]) == ("three", "x")
    tracking = await objects.get("", "configmaps", "kube-system", authentication_config.TRACKING)
    assert tracking is not None
    assert tracking["data"] == {"since": "2023-11-14"}
