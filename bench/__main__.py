"""make bench: measure what the project promises, and print a table."""

from __future__ import annotations

import argparse

from bench import api, storage
from bench.api import Row


def show(row: Row) -> None:
    value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}"
    aim = (f"{row.aim:,.0f}" if row.aim >= 100 else f"{row.aim:g}") if row.aim else ""
    print(f"{row.name:24}{value:>12}{aim:>10}  {row.unit:5} {row.note}", flush=True)


def main() -> None:
    argparse.ArgumentParser(prog="make bench", description=__doc__).parse_args()
    print(f"{'':24}{'measured':>12}{'aim':>10}  ")
    for part in (storage.rows, api.rows):
        for row in part():
            show(row)


if __name__ == "__main__":
    main()
