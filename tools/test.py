"""Everything that must hold, in one command: lint, format, types, unit and API tests, e2e tests; one closing summary.

    python tools/test.py [--only lint,format,types,unit,e2e]

Static checks run beside the unit tests, on two cores; the e2e tests come last, by themselves. The output of a step is
shown when it ends; skipped tests are listed with their reasons. The exit status is 1 when anything failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    "steersman",
    "apimachinery",
    "openapi",
    "client",
    "serving",
    "streaming",
    "apiserver",
    "controllers",
    "scheduler",
    "nodeagent",
]
CODE = [*PACKAGES, "tests", "bench", "tools"]


@dataclass(frozen=True, slots=True)
class Step:
    """A command to run; `tests` when its closing line counts tests."""

    name: str
    command: Sequence[str]
    tests: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    step: Step
    status: int
    seconds: float
    output: str


def steps() -> dict[str, Step]:
    """All steps by name."""
    python = sys.executable
    pytest = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    found = [
        Step("lint", [python, "-m", "ruff", "check", *CODE]),
        Step("format", [python, "-m", "ruff", "format", "--check", *CODE]),
        Step("types", [python, "-m", "mypy"]),
        Step("unit", [*pytest, "--ignore=tests/e2e", "tests"], tests=True),
        Step("e2e", [*pytest, "tests/e2e"], tests=True),
    ]
    return {step.name: step for step in found}


def run(step: Step) -> Outcome:
    """Run a step and show what it printed."""
    begun = time.monotonic()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcome = Outcome(step, done.returncode, time.monotonic() - begun, done.stdout)
    print(f"=== {step.name}: {'ok' if done.returncode == 0 else 'FAILED'} ({outcome.seconds:.0f} s)", flush=True)
    if done.returncode != 0 or step.tests:
        print(done.stdout.rstrip(), flush=True)
    return outcome


def count(outcome: Outcome) -> dict[str, int]:
    """Passed, failed and skipped tests of a step, from pytest's closing line."""
    numbers = {"passed": 0, "failed": 0, "skipped": 0}
    closing = outcome.output.rstrip().splitlines()[-1:] or [""]
    for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", closing[0]):
        numbers["failed" if word.startswith("error") else word] += int(number)
    return numbers


def skipped(outcome: Outcome) -> dict[str, int]:
    """How many tests of a step were skipped, by reason."""
    reasons: dict[str, int] = {}
    if outcome.step.tests:
        for number, reason in re.findall(r"^SKIPPED \[(\d+)\] \S+: (.*)$", outcome.output, re.MULTILINE):
            reasons[reason] = reasons.get(reason, 0) + int(number)
    return reasons


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated steps")
    wanted = [name for name in parser.parse_args().only.split(",") if name]
    known = steps()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"unknown step {unknown[0]!r}; steps: {', '.join(known)}")
    chosen = [known[name] for name in known if not wanted or name in wanted]
    first = [step for step in chosen if step.name != "e2e"]
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(2) as pool:
        static = pool.submit(lambda: [run(step) for step in first if not step.tests])
        tests = pool.submit(lambda: [run(step) for step in first if step.tests])
        outcomes += static.result() + tests.result()
    outcomes += [run(step) for step in chosen if step.name == "e2e"]
    return summarise(outcomes)


def summarise(outcomes: Sequence[Outcome]) -> int:
    """Print the closing summary; the exit status."""
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    print("\n=== summary")
    for outcome in outcomes:
        words = "ok" if outcome.status == 0 else "FAILED"
        if outcome.step.tests:
            numbers = count(outcome)
            words += "  " + ", ".join(f"{number} {word}" for word, number in numbers.items() if number)
            for word, number in numbers.items():
                totals[word] += number
        print(f"{outcome.step.name:<8} {words}")
    for outcome in outcomes:
        for reason, number in skipped(outcome).items():
            print(f"skipped  {number} in {outcome.step.name}: {reason}")
    failed = [outcome for outcome in outcomes if outcome.status != 0]
    rest = f", {totals['skipped']} skipped" if totals["skipped"] else ""
    print(f"{totals['passed']} passed, {max(totals['failed'], len(failed))} failed{rest}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
