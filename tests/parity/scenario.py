"""Reads scenario files: what is sent, and beside it what the original answered. README.md beside this file tells the format.

An expected answer may be told by what differs from the body sent or from the object answered before; expected() makes
the whole of it, in the form that normalise.py gives real answers.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

from tests.parity import paths

Obj = dict[str, Any]
FOLDER = Path(__file__).parent / "scenarios"

_STEP = {"request", "as", "headers", "body", "wait", "until", "watch", "meanwhile", "save", "answer"}
_ANSWER = {
    "code",
    "type",
    "warnings",
    "challenge",
    "body",
    "error",
    "sent",
    "before",
    "without",
    "parts",
    "except",
    "events",
}
_TELLING = ("body", "error", "sent", "before", "parts", "events")
_NAMESPACE = re.compile(r"/namespaces/([^/?]+)/")


class Loader(yaml.CSafeLoader):
    """YAML as JSON has it: dates stay text."""


Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Scenario:
    """name: `folder/file: title`. steps: as the file has them."""

    name: str
    steps: list[Obj]

    def every_step(self) -> Iterator[Obj]:
        """The steps in the order of their answers: a watch, then what happens meanwhile."""
        return _flat(self.steps)

    def requests(self) -> list[Obj]:
        """All that is sent, without what is expected; queries taken apart."""
        sent = [{key: step.get(key) for key in ("request", "headers", "body")} for step in self.every_step()]
        queries = [parse_qsl(step["request"].partition("?")[2]) for step in self.every_step()]
        return [*sent, {"queries": [list(pair) for query in queries for pair in query]}]


def _flat(steps: list[Obj]) -> Iterator[Obj]:
    for step in steps:
        yield step
        yield from _flat(step.get("meanwhile", []))


def load() -> list[Scenario]:
    """All scenarios of all files. ValueError where a file has a word that means nothing: a typing error would compare less."""
    found = []
    for path in sorted(FOLDER.rglob("*.yaml")):
        area = path.relative_to(FOLDER).with_suffix("").as_posix()
        for document in yaml.load_all(path.read_text(), Loader):
            scenario = Scenario(f"{area}: {document['scenario']}", document["steps"])
            for step in scenario.every_step():
                check(scenario.name, step)
            found.append(scenario)
    return found


def check(name: str, step: Obj) -> None:
    """ValueError for a step that has an unknown word, or that tells its answer in two ways or in none."""
    answer = step.get("answer", {})
    unknown = (set(step) - _STEP) | (set(answer) - _ANSWER)
    if unknown or sum(key in answer for key in _TELLING) > 1 or "code" not in answer:
        raise ValueError(
            f"{name}: {step.get('request')}: {', '.join(sorted(unknown)) or 'one answer and its code, please'}"
        )


def expected(step: Obj, before: Obj | None) -> Obj:
    """The whole normalised answer of a step; before: the expected object of the last step that answered with one."""
    told = step["answer"]
    made: Obj = {"code": told["code"], "type": told.get("type", "application/json")}
    for key in ("warnings", "challenge", "events"):
        if key in told:
            made[key] = told[key]
    if "body" in told:
        made["body"] = told["body"]
    elif "error" in told:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": told["code"]}
        made["body"] = {**status, **told["error"]}
    elif "parts" in told:
        made["body"] = told["parts"]
    elif "sent" in told:
        made["body"] = changed(stamped(step), told["sent"], told.get("without", []))
    elif "before" in told:
        if before is None:
            raise ValueError(f"{step['request']}: nothing was answered before")
        made["body"] = changed(seen(before), told["before"], told.get("without", []))
    elif "events" not in told:
        made["body"] = ""
    return made


def changed(base: Obj, new: Obj, gone: list[str]) -> Obj:
    """A copy of base with the values of `new` at their paths, and nothing at the paths `gone`."""
    base = copy.deepcopy(base)
    for path in reversed(gone):
        paths.drop(base, path)
    for path, value in new.items():
        paths.put(base, path, value)
    return base


def stamped(step: Obj) -> Obj:
    """The body that was sent, with what the server gives every object."""
    body = copy.deepcopy(step["body"])
    metadata = body.setdefault("metadata", {})
    metadata |= {"uid": "<uuid>", "creationTimestamp": "<time>", "resourceVersion": "<rv new>"}
    namespace = _NAMESPACE.search(step["request"])
    if namespace:
        metadata["namespace"] = namespace[1].replace("${ns}", "ns-${id}")
    result: Obj = body
    return result


def seen(answer: Obj) -> Obj:
    """An object that was answered before, as a read shows it now."""
    metadata = answer.get("metadata")
    if isinstance(metadata, dict) and metadata.get("resourceVersion") == "<rv new>":
        return {**answer, "metadata": {**metadata, "resourceVersion": "<rv seen>"}}
    return answer


def is_object(body: Any) -> bool:
    """Whether later answers may be told by what differs from this one."""
    return isinstance(body, dict) and body.get("kind") != "Status" and bool((body.get("metadata") or {}).get("uid"))
