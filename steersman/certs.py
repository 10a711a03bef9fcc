"""`steersman certs`: shows the certificates of a cluster, and rotates them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery import times
from apimachinery.clock import RealClock
from steersman import cluster, options, pki
from steersman.commands import CommandError, existing_data_dir
from steersman.options import OptionError
from steersman.paths import DataDir

USAGE = """steersman certs                  show the certificates: whose, by which CA, until when
steersman certs rotate [NAME…]   issue them anew, all or those named, with new keys; "sa" is the key that signs
                                 service account tokens, whose old tokens stay good

They are renewed without being told, a month before they end, while the cluster runs and when it starts. A running cluster
takes new ones within seconds; a new service account key is used from the next start on. CAs stay: they are good for ten years.
"""


@dataclass(frozen=True, slots=True)
class CertsConfig:
    data_dir: Path | None = None
    # The cluster's data directory.


def certs(arguments: Sequence[str]) -> int:
    """Carry out the command. OptionError, CommandError."""
    values, positional = options.parse_flags(arguments, options.options_of(CertsConfig))
    data = existing_data_dir(options.fill(CertsConfig, values).data_dir)
    if not os.access(data.pki, os.R_OK | os.X_OK):
        raise CommandError(f"{data.pki} cannot be read; run this as the cluster's owner")
    word, *names = positional or ["show"]
    if word == "show" and not names:
        _show(data)
    elif word == "rotate":
        _rotate(data, names)
    else:
        raise OptionError("usage:\n" + USAGE.rstrip())
    return 0


def _show(data: DataDir) -> None:
    now = RealClock().time()
    rows = [("NAME", "SUBJECT", "SIGNED BY", "EXPIRES", "LEFT")]
    try:
        for issued in pki.show(data.pki):
            left = times.human_duration(issued.not_after - now) if issued.not_after > now else "expired"
            signer = "itself" if issued.authority else issued.issuer
            rows.append((issued.name, issued.subject, signer, times.format_time(issued.not_after), left))
    except ValueError as error:
        raise CommandError(f"a certificate in {data.pki} cannot be read: {error}") from error
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _rotate(data: DataDir, names: Sequence[str]) -> None:
    if data.bootstrap_kubeconfig.exists():
        raise CommandError("this is a node that joined another machine's cluster: it renews its certificates by itself")
    try:
        written = pki.rotate(data.pki, names, RealClock())
    except (ValueError, OSError, json.JSONDecodeError) as error:
        raise CommandError(str(error)) from error
    cluster.refresh_kubeconfigs(data)
    for name in written:
        sys.stdout.write(f"rotated {name}\n")
    if "sa" in written and data.owner() is not None:
        sys.stdout.write("The new service account key is used once the cluster has been started again.\n")
