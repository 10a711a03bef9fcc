"""Writes down what a server answers: fills in, or replaces, the answers of scenario files.

    python -m tests.parity.record --port 6443 [--ca FILE] FILE...

The server is to be a real kube-apiserver, set up as README.md beside this file says. An answer is told in the shortest
of the ways that a scenario has: what differs from the body sent, or from the object before, or whole. `parts` and `except` of an
answer that is there already are kept: the first as a list of paths, or with old values. Comments in the file are lost.
"""

from __future__ import annotations

import argparse
import ssl
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.parity import paths, scenario
from tests.parity.client import Client
from tests.parity.runner import Run
from tests.parity.scenario import Loader, Scenario

Obj = dict[str, Any]
_STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
_ORDER = [
    "scenario",
    "request",
    "as",
    "headers",
    "body",
    "wait",
    "until",
    "watch",
    "meanwhile",
    "save",
    "answer",
    "steps",
]
_WIDTH = 128  # columns of a line of the files


class Recording(Run):
    """A run that keeps the answers instead of comparing them."""

    def record(self) -> list[Obj]:
        """The scenario's steps, each with its answer."""
        for step in self.what.every_step():
            step.setdefault("answer", {})
            parts = step["answer"].get("parts")
            if isinstance(parts, list):
                step["answer"]["parts"] = dict.fromkeys(parts)
        try:
            self._prepare()
            answers = [pair for step in self.what.steps for pair in self._step(step)]
        finally:
            self._clean_up()
        before: Obj | None = None
        for step, got in answers:
            step["answer"] = told(step, before, got)
            if scenario.is_object(got.get("body")):
                before = got["body"]
        return self.what.steps


def told(step: Obj, before: Obj | None, got: Obj) -> Obj:
    """The `answer` of a step that was answered so; before: the last object answered."""
    old = step["answer"]
    made: Obj = {"code": got["code"]}
    if got["type"] != "application/json":
        made["type"] = got["type"]
    made |= {key: got[key] for key in ("warnings", "challenge", "events") if key in got}
    body = got.get("body", "")
    if "parts" in old:
        made["parts"] = body if "events" not in got else made.pop("events")
    elif isinstance(body, dict) and body.items() >= (_STATUS | {"code": got["code"]}).items():
        made["error"] = {key: value for key, value in body.items() if key not in _STATUS and key != "code"}
    elif "events" not in got and body != "":
        made |= _shortest(step, before, made, body)
    if "except" in old:
        made["except"] = old["except"]
    return made


def _shortest(step: Obj, before: Obj | None, head: Obj, body: Any) -> Obj:
    ways = [{"body": body}]
    if scenario.is_object(body) and not step["answer"].get("except"):
        if before is not None:
            ways.append(_changes("before", scenario.seen(before), body))
        if isinstance(step.get("body"), dict):
            ways.append(_changes("sent", scenario.stamped(step), body))
    right = [way for way in ways if _tells(step, before, head | way, body)]
    return min(right, key=lambda way: len(written(way)))


def _tells(step: Obj, before: Obj | None, answer: Obj, body: Any) -> bool:
    try:
        made = scenario.expected(step | {"answer": answer}, before)
    except (KeyError, IndexError, TypeError):
        return False
    return not list(paths.differences(made.get("body"), body))


def _changes(word: str, base: Obj, body: Obj) -> Obj:
    new: Obj = {}
    gone: list[str] = []
    _compare(base, body, "", new, gone)
    return {word: new, **({"without": gone} if gone else {})}


def _compare(base: Any, body: Any, path: str, new: Obj, gone: list[str]) -> None:
    if isinstance(base, dict) and isinstance(body, dict):
        gone += [paths.child(path, key) for key in base if key not in body]
        for key, value in body.items():
            if key in base:
                _compare(base[key], value, paths.child(path, key), new, gone)
            else:
                new[paths.child(path, key)] = value
    elif isinstance(base, list) and isinstance(body, list) and len(base) == len(body):
        for i, value in enumerate(body):
            _compare(base[i], value, paths.child(path, i), new, gone)
    elif list(paths.differences(base, body)):
        new[path] = body


class _Dumper(yaml.CSafeDumper):
    """YAML that reads as the files do: no anchors, members in our order, small values in one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _flow(value: Any) -> bool:
    if not isinstance(value, dict | list) or not value:
        return True
    return len(yaml.dump(value, Dumper=_Plain, default_flow_style=True, width=10**6)) < 90


class _Plain(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _mapping(dumper: yaml.CSafeDumper, value: Obj) -> yaml.Node:
    known = {key: place for place, key in enumerate(_ORDER)}
    items = (
        sorted(value.items(), key=lambda item: known.get(item[0], len(known))) if "request" in value else value.items()
    )
    step = "request" in value or "steps" in value or "code" in value or "apiVersion" in value
    return dumper.represent_mapping("tag:yaml.org,2002:map", items, flow_style=not step and _flow(value))


def _sequence(dumper: yaml.CSafeDumper, value: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=_flow(value))


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)


def written(value: Any) -> str:
    """A value as a scenario file has it."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)


def main(arguments: list[str]) -> None:
    """Records each file in place."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.record", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="the server's, on 127.0.0.1")
    parser.add_argument("--ca", help="certificates to trust; without, any server is believed")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    tls = ssl.create_default_context(cafile=options.ca)
    if not options.ca:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    client = Client(options.port, tls)
    for file in options.files:
        documents = list(yaml.load_all(file.read_text(), Loader))
        for document in documents:
            document["steps"] = Recording(client, Scenario(document["scenario"], document["steps"])).record()
        file.write_text("---\n".join(map(written, documents)))
        print(f"{file}: {len(documents)} scenarios")
    client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
