"""Runs a scenario against a server, in a namespace of its own, and tells where the answers differ from the expected ones."""

from __future__ import annotations

import contextlib
import json
import random
import re
import string
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.parity import paths, scenario
from tests.parity.client import Client, Request
from tests.parity.normalise import Normaliser
from tests.parity.scenario import Scenario

Obj = dict[str, Any]

_OBJECT = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?/[^/]+(/[^/]+)?")
_VARIABLE = re.compile(r"\$\{([\w:]+)\}")
_PATIENCE = 20.0  # seconds that `until` and `watch` wait unless they say how long; a busy machine may need them
_PAUSE = 0.05  # seconds between two tries
_UNSAFE = ' "<>\\^`{|}'  # what may not stand in a request line; escaped where a file has it


class Run:
    """One run. differences() runs it."""

    def __init__(self, client: Client, what: Scenario) -> None:
        self.client, self.what = client, what
        name = "".join(random.choices(string.ascii_lowercase, k=8))
        self.variables: Obj = {"id": name, "ns": "ns-" + name}
        self.normaliser = Normaliser(what.requests(), self.variables, client.port)
        self.created: list[str] = []

    def differences(self) -> list[str]:
        """A line for each place where an answer is not as expected; empty when all are."""
        try:
            self._prepare()
            answers = [pair for step in self.what.steps for pair in self._step(step)]
        finally:
            self._clean_up()
        return list(compare(answers))

    def _prepare(self) -> None:
        namespace = f"/api/v1/namespaces/{self.variables['ns']}"
        self._quietly("POST", "/api/v1/namespaces", {"metadata": {"name": self.variables["ns"]}})
        self._quietly("POST", namespace + "/serviceaccounts", {"metadata": {"name": "default"}})
        self.created += [namespace, namespace + "/serviceaccounts/default"]

    # -- steps

    def _step(self, step: Obj) -> list[tuple[Obj, Obj]]:
        """The step and its normalised answer, then those of the steps inside it."""
        inner: list[tuple[Obj, Obj]] = []
        if "wait" in step:
            time.sleep(step["wait"])  # what is waited for shows nowhere; `until` serves everywhere else
        if "watch" in step:
            answer = self._watch(step, inner)
        else:
            answer = self._until(step)
        self._remember(step, answer)
        for name, path in step.get("save", {}).items():
            self.variables[name] = paths.read(answer.get("body", answer.get("events")), path)
        return [(step, self._shown(step, answer)), *inner]

    def _until(self, step: Obj) -> Obj:
        goal = step.get("until", {})
        deadline = time.monotonic() + goal.get("seconds", _PATIENCE)
        while True:
            answer = self.client.ask(self._request(step))
            if all(self._reached(answer, key, goal) for key in goal) or time.monotonic() > deadline:
                return answer
            time.sleep(_PAUSE)

    @staticmethod
    def _reached(answer: Obj, key: str, goal: Obj) -> bool:
        if key == "code":
            return bool(answer["code"] == goal["code"])
        return key != "path" or bool(paths.read(answer["body"], goal["path"]) == goal["equals"])

    def _watch(self, step: Obj, inner: list[tuple[Obj, Obj]]) -> Obj:
        with self.client.watch(self._request(step)) as watch:
            if not watch.accepted:
                return watch.refusal()
            for nested in step.get("meanwhile", []):
                inner.extend(self._step(nested))
            return watch.events(step["watch"]["events"], step["watch"].get("seconds", _PATIENCE))

    def _shown(self, step: Obj, answer: Obj) -> Obj:
        answer = self.normaliser.answer(answer, step["request"])
        told = step["answer"]
        part = "events" if "events" in answer else "body"
        if "parts" in told:
            chosen = {path: paths.read(answer[part], path) for path in told["parts"]}
            answer[part] = {path: None if value is paths.ABSENT else value for path, value in chosen.items()}
        answer[part] = paths.without(answer[part], told.get("except", []))
        return answer

    # -- requests

    def _request(self, step: Obj) -> Request:
        method, _, target = self._filled(step["request"]).partition(" ")
        body = self._filled(step.get("body"))
        if body is not None:
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {
            name: value if value is None else str(value)
            for name, value in self._filled(step.get("headers", {})).items()
        }
        return Request(step.get("as", "admin"), method, _escaped(target), headers, body)

    def _filled(self, value: Any) -> Any:
        """value with its variables filled in; one alone keeps its type. ${pad:N} is N times the letter x."""
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if not isinstance(value, str):
            return value
        alone = _VARIABLE.fullmatch(value)
        if alone and alone[1] in self.variables:
            return self.variables[alone[1]]
        return _VARIABLE.sub(lambda found: self._variable(found[1]), value)

    def _variable(self, name: str) -> str:
        if name.startswith("pad:"):
            return "x" * int(name[4:])
        return str(self.variables[name])

    # -- leaving nothing behind

    def _remember(self, step: Obj, answer: Obj) -> None:
        method, _, target = self._filled(step["request"]).partition(" ")
        path, _, query = target.partition("?")
        body = answer.get("body")
        if method not in ("POST", "PUT", "PATCH") or answer["code"] not in (200, 201) or "dryRun" in query:
            return
        if not isinstance(body, dict) or not _OBJECT.fullmatch(path) or body.get("kind", "").endswith("Review"):
            return
        name = (body.get("metadata") or {}).get("name")
        if method == "POST":
            path += f"/{name}"
        if name and path not in self.created and _OBJECT.fullmatch(path):
            self.created.append(path)

    def _quietly(self, method: str, target: str, body: Obj | None = None, media_type: str = "application/json") -> Any:
        data = None if body is None else json.dumps(body).encode()
        return self.client.ask(Request("admin", method, target, {"Content-Type": media_type}, data))["body"]

    def _clean_up(self) -> None:
        for path in reversed(self.created):
            left = self._quietly("DELETE", path + "?gracePeriodSeconds=0&propagationPolicy=Background")
            if not isinstance(left, dict):
                continue
            if left.get("kind") == "Namespace":  # nobody here finishes namespaces
                left.setdefault("spec", {})["finalizers"] = []
                self._quietly("PUT", path + "/finalize", left)
            elif (left.get("metadata") or {}).get("finalizers"):
                self._quietly("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")


def _escaped(target: str) -> str:
    return "".join(quote(letter) if letter in _UNSAFE else letter for letter in target)


def compare(answers: list[tuple[Obj, Obj]]) -> Iterator[str]:
    """A line for each difference between expected answers and normalised real ones."""
    before: Obj | None = None
    for number, (step, got) in enumerate(answers, 1):
        want = scenario.expected(step, before)
        places = list(paths.differences(want, got))
        if places:
            yield f"{number}. {step['request']}"
        for path, wanted, found in places:
            yield f"    {path}: expected {_brief(wanted)}, got {_brief(found)}"
        if scenario.is_object(want.get("body")):
            before = want["body"]


def _brief(value: Any) -> str:
    with contextlib.suppress(TypeError):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
