"""make bench: measure what the project promises, and print a table.

    python -m bench [--only storage,api,cluster] [--kube-apiserver PATH [--etcd PATH]]

With the original's binary, the same load is put on it and on us, one after the other, and a last column gives the ratio
(how many times better we are).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterable

from bench import api, cluster, original, storage
from bench.api import Row

PARTS: dict[str, Callable[[], Iterable[Row]]] = {"storage": storage.rows, "api": api.rows, "cluster": cluster.rows}
SMALLER_IS_BETTER = frozenset(("s", "MB", "KB", "ms"))


def show(row: Row, other: Row | None = None) -> None:
    value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}"
    aim = (f"{row.aim:,.0f}" if row.aim >= 100 else f"{row.aim:g}") if row.aim else ""
    ratio = ""
    if other is not None and row.value and other.value:
        better = other.value / row.value if row.unit in SMALLER_IS_BETTER else row.value / other.value
        ratio = f"{better:.2f}x  "
    print(f"{row.name:24}{value:>12}{aim:>10}  {row.unit:5} {ratio}{row.note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts: " + ", ".join(PARTS))
    parser.add_argument("--kube-apiserver", default="", help="path of the original, to compare with")
    parser.add_argument(
        "--etcd", default=shutil.which("etcd") or "", help="path of its etcd (default: the one on PATH)"
    )
    told = parser.parse_args()
    chosen = told.only.split(",")
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; parts: {', '.join(PARTS)}")
    if told.kube_apiserver and not told.etcd:
        parser.error("--kube-apiserver needs an etcd: --etcd PATH")
    theirs: dict[str, Row] = {}
    if told.kube_apiserver and "api" in chosen:
        print("measuring the original first", flush=True)
        theirs = {row.name: row for row in api.rows(original.starter(told.kube_apiserver, told.etcd))}
    print(f"{'':24}{'measured':>12}{'aim':>10}  ")
    for name in chosen:
        for row in PARTS[name]():
            show(row, theirs.get(row.name))


if __name__ == "__main__":
    main()
