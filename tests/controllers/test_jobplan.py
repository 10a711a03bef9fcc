from typing import Any

import pytest

from controllers import jobplan
from controllers.jobplan import Failures, View

Obj = dict[str, Any]
NOW = 1_000.0


def job(**spec: Any) -> Obj:
    template = {"metadata": {}, "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}
    defaults = {"parallelism": 2, "completions": 3, "backoffLimit": 2, "template": template}
    return {"metadata": {"name": "j", "namespace": "ns", "uid": "j"}, "spec": {**defaults, **spec}, "status": {}}


def pod(name: str, phase: str = "Running", index: int | None = None, **extra: Any) -> Obj:
    annotations = {} if index is None else {jobplan.INDEX: str(index)}
    annotations.update(extra.pop("annotations", {}))
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": name,
        "finalizers": [jobplan.FINALIZER],
        "annotations": annotations,
    }
    return {"metadata": {**metadata, **extra.pop("metadata", {})}, "spec": {}, "status": {"phase": phase, **extra}}


@pytest.mark.parametrize(
    ("indexes", "text"), [([], ""), ([1], "1"), ([1, 2], "1,2"), ([0, 1, 2, 5, 7, 8, 9], "0-2,5,7-9")]
)
def test_indexes_are_drawn_and_read(indexes: list[int], text: str) -> None:
    assert jobplan.draw_indexes(indexes) == text
    assert jobplan.parse_indexes(text, 100) == set(indexes)


def test_indexes_beyond_the_limit_are_left_out() -> None:
    assert jobplan.parse_indexes("1-5,x,9", 4) == {1, 2, 3}


def test_wanted_pods() -> None:
    assert jobplan.wanted_active(View(job(), [], NOW)) == 2
    assert jobplan.wanted_active(View(job(), [pod("a", "Succeeded"), pod("b", "Succeeded")], NOW)) == 1
    queue = job(completions=None, parallelism=3)
    assert jobplan.wanted_active(View(queue, [pod("a")], NOW)) == 3
    assert jobplan.wanted_active(View(queue, [pod("a"), pod("b", "Succeeded")], NOW)) == 1


def test_the_backoff_limit() -> None:
    failed = [pod(name, "Failed") for name in "abc"]
    assert jobplan.decide_outcome(View(job(), failed[:2], NOW)) is None
    outcome = jobplan.decide_outcome(View(job(), failed, NOW))
    assert outcome is not None
    assert (outcome.reason, outcome.final) == ("BackoffLimitExceeded", "Failed")
    counted = job()
    counted["status"] = {"failed": 2, "uncountedTerminatedPods": {"failed": ["a"]}}
    assert View(counted, failed[:1], NOW).failed == 3  # noted already: not counted twice


def test_restarts_count_with_on_failure() -> None:
    spec = {"metadata": {}, "spec": {"restartPolicy": "OnFailure"}}
    running = pod("a", containerStatuses=[{"name": "c", "restartCount": 2}])
    outcome = jobplan.decide_outcome(View(job(template=spec), [running], NOW))
    assert outcome is not None
    assert outcome.reason == "BackoffLimitExceeded"


def test_the_deadline() -> None:
    late = job(activeDeadlineSeconds=10)
    late["status"]["startTime"] = "1970-01-01T00:16:25Z"  # 985 s
    outcome = jobplan.decide_outcome(View(late, [], NOW))
    assert outcome is not None
    assert outcome.message == "Job was active longer than specified deadline"
    late["status"]["startTime"] = "1970-01-01T00:16:35Z"
    assert jobplan.deadline_in(View(late, [], NOW)) == 5


def policy(action: str, **rule: Any) -> Obj:
    return {"rules": [{"action": action, **rule}]}


def test_failure_policy_by_exit_code() -> None:
    codes = {"operator": "In", "values": [42]}
    failed = pod("p", "Failed", containerStatuses=[{"name": "main", "state": {"terminated": {"exitCode": 42}}}])
    verdict = jobplan.match_failure_policy(job(podFailurePolicy=policy("FailJob", onExitCodes=codes)), failed)
    assert verdict.message == "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 0"
    outcome = jobplan.decide_outcome(View(job(podFailurePolicy=policy("FailJob", onExitCodes=codes)), [failed], NOW))
    assert outcome is not None
    assert outcome.reason == "PodFailurePolicy"
    other = {"operator": "NotIn", "values": [42]}
    assert (
        jobplan.match_failure_policy(job(podFailurePolicy=policy("FailJob", onExitCodes=other)), failed).message is None
    )


def test_failure_policy_by_condition_can_ignore() -> None:
    patterns = [{"type": "DisruptionTarget", "status": "True"}]
    ignoring = job(podFailurePolicy=policy("Ignore", onPodConditions=patterns))
    evicted = pod("p", "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    assert not jobplan.match_failure_policy(ignoring, evicted).counts
    assert View(ignoring, [evicted], NOW).failed == 0


def test_a_terminating_pod_counts_as_failed_unless_only_failures_are_replaced() -> None:
    going = pod("p", metadata={"deletionTimestamp": "1970-01-01T00:00:00Z"})
    assert jobplan.has_failed(going, job())
    assert not jobplan.has_failed(going, job(podReplacementPolicy="Failed"))


def indexed(**spec: Any) -> Obj:
    return job(completionMode="Indexed", **spec)


def test_pending_indexes_and_doubled_ones() -> None:
    done = pod("a", "Succeeded", 0)
    view = View(indexed(completions=4), [done, pod("b", index=1), pod("c", index=1), pod("d", index=9)], NOW)
    assert jobplan.pending_indexes(view, 5) == [2, 3]
    victims = jobplan.choose_victims(view, 0, lambda entry: entry["metadata"]["name"])
    assert {victim["metadata"]["name"] for victim in victims} == {"b", "d"}


def test_backoff_limit_per_index() -> None:
    spec = {"backoffLimit": 100, "backoffLimitPerIndex": 1, "completions": 2}
    first = pod("a", "Failed", 0, annotations={jobplan.INDEX_FAILURES: "0"})
    view = View(indexed(**spec), [first], NOW)
    assert view.indexes_lost == set()
    assert view.kept == {0: first}
    second = pod("b", "Failed", 0, annotations={jobplan.INDEX_FAILURES: "1"})
    view = View(indexed(**spec), [second], NOW)
    assert view.indexes_lost == {0}
    view = View(indexed(**spec), [second, pod("c", "Succeeded", 1)], NOW)
    outcome = jobplan.decide_outcome(view)
    assert outcome is not None
    assert (outcome.reason, outcome.message) == ("FailedIndexes", "Job has failed indexes")


def test_success_policy() -> None:
    rules = {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 2}]}
    done = [pod("a", "Succeeded", 0), pod("b", "Succeeded", 3)]
    outcome = jobplan.decide_outcome(View(indexed(completions=5, successPolicy=rules), done, NOW))
    assert outcome is not None
    assert (outcome.reason, outcome.message, outcome.final) == ("SuccessPolicy", "Matched rules at index 0", "Complete")


def test_retries_wait_longer_each_time() -> None:
    assert jobplan.retry_delay(0, 0, NOW) == 0
    assert jobplan.retry_delay(1, NOW, NOW) == 10
    assert jobplan.retry_delay(3, NOW - 15, NOW) == 25
    assert jobplan.retry_delay(50, NOW, NOW) == 600
    failed = pod(
        "a", "Failed", conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:10:00Z"}]
    )
    after = Failures().after([], [failed], NOW)
    assert (after.count, after.last) == (1, 600.0)
    assert after.after([pod("s", "Succeeded")], [], NOW).count == 0


def test_the_pod_of_an_index() -> None:
    described = jobplan.indexed_pod(
        {"metadata": {"generateName": "j-"}, "spec": {"containers": [{"name": "c"}]}}, indexed(), 3, None
    )
    assert described["metadata"]["generateName"] == "j-3-"
    assert described["metadata"]["annotations"][jobplan.INDEX] == described["metadata"]["labels"][jobplan.INDEX] == "3"
    assert described["spec"]["hostname"] == "j-3"
    (variable,) = described["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
