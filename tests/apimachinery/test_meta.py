from apimachinery import meta
from apimachinery.clock import ControlledClock
from apimachinery.gvk import Resource

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)


def test_keys() -> None:
    assert meta.key({"metadata": {"namespace": "a", "name": "b"}}) == "a/b"
    assert meta.key({"metadata": {"name": "b"}}) == "b"
    assert meta.split_key("a/b") == ("a", "b")
    assert meta.split_key("b") == ("", "b")


def test_owners() -> None:
    owner = {"metadata": {"name": "d", "uid": "u"}}
    child = {"metadata": {"name": "c", "ownerReferences": [{"uid": "x"}, meta.controller_ref(owner, DEPLOYMENTS)]}}
    reference = meta.controller_of(child)
    assert reference is not None
    assert (reference["apiVersion"], reference["kind"], reference["blockOwnerDeletion"]) == (
        "apps/v1",
        "Deployment",
        True,
    )
    assert meta.is_controlled_by(child, owner)
    assert meta.controller_of(owner) is None


async def test_conditions_keep_their_time_until_the_status_changes() -> None:
    clock = ControlledClock(0)
    first = meta.set_condition(None, {"type": "A", "status": "True"}, clock)
    await clock.advance(60)
    same = meta.set_condition(first, {"type": "A", "status": "True", "reason": "New"}, clock)
    changed = meta.set_condition(same, {"type": "A", "status": "False"}, clock)
    assert first[0]["lastTransitionTime"] == same[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert same[0]["reason"] == "New"
    assert changed[0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
