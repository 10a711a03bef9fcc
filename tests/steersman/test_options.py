"""Flags, the configuration file's sections and --help, all read off a dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from steersman import options


@dataclass(frozen=True)
class Inner:
    client_ca_file: Path | None = None
    # The CA.


@dataclass(frozen=True)
class Sample:
    secure_port: int = 6443
    # The port,
    # in two lines.
    leader_elect: bool = True
    grace: float = 40
    # Seconds.
    names: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, str] = field(default_factory=dict, metadata={"split": False})
    mode: Literal["a", "b"] = "a"
    authn: Inner = field(default_factory=Inner)
    internal: object = field(default=None, metadata={"flag": None})


KNOWN = options.options_of(Sample)


def parse(*arguments: str) -> Any:
    values, _ = options.parse_flags(arguments, KNOWN)
    return options.fill(Sample, values)


def test_flags_fill_fields_of_every_type() -> None:
    filled = parse(
        "--secure-port=7443", "--leader-elect=false", "--grace", "1m30s", "--names=a,b", "--names", "c",
        "--labels=x=1,y=2", "--mode=b", "--client-ca-file=/ca",
    )  # fmt: skip
    labels = {"x": "1", "y": "2"}
    assert filled == Sample(7443, False, 90, ("a", "b", "c"), labels, {}, "b", Inner(Path("/ca")))


def test_a_mapping_that_is_not_split_takes_one_entry_a_flag() -> None:
    filled = parse("--whole=claim=a,b=c", "--whole", "empty=")
    assert filled.whole == {"claim": "a,b=c", "empty": ""}


def test_bare_boolean_flag_is_true_and_underscores_are_dashes() -> None:
    assert parse("--leader_elect").leader_elect is True


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--secure-prt=1"], "unknown flag --secure-prt; did you mean --secure-port?"),
        (["--internal=1"], "unknown flag --internal"),
        (["--secure-port=x"], "--secure-port: 'x' is not an integer"),
        (["--secure-port"], "--secure-port needs a value"),
        (["--grace=soon"], "--grace: 'soon' is not a duration"),
        (["--mode=c"], "--mode: 'c' is not one of a, b"),
        (["--leader-elect=maybe"], "--leader-elect: 'maybe' is not true or false"),
        (["--labels=x"], "--labels: 'x' is not of the form key=value"),
    ],
)
def test_what_does_not_fit_is_named(arguments: list[str], text: str) -> None:
    with pytest.raises(options.OptionError, match="^" + text.replace("?", r"\?")):
        parse(*arguments)


def test_positional_arguments_are_kept_in_order() -> None:
    assert options.parse_flags(["load", "--mode", "b", "x.tar", "--", "--y"], KNOWN)[1] == ["load", "x.tar", "--y"]


def test_file_sections_take_camel_case_and_flag_names() -> None:
    values = options.read_section({"securePort": 1, "leader-elect": False, "names": ["a"]}, KNOWN, "f")
    assert values == {"secure-port": 1, "leader-elect": False, "names": ("a",)}


@pytest.mark.parametrize("section", [{"securePrt": 1}, {"securePort": "x"}, {"names": 3}, ["securePort"]])
def test_file_sections_refuse_what_does_not_fit(section: Any) -> None:
    with pytest.raises(options.OptionError, match=r"^file: apiserver"):
        options.read_section(section, KNOWN, "file: apiserver")


def test_help_shows_type_default_and_the_comment_under_the_field() -> None:
    text = options.help_text(Sample)
    assert "--secure-port NUMBER\n        The port, in two lines. (default 6443)" in text
    assert "--client-ca-file PATH\n        The CA." in text
    assert "--mode a|b" in text
    assert "internal" not in text


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=lambda: Inner(Path("/default")))


def test_a_nested_part_starts_from_its_owner_s_default() -> None:
    known = options.options_of(Outer)
    assert known["client-ca-file"].default == Path("/default")
    assert options.fill(Outer) == Outer(Inner(Path("/default")))
    assert options.fill(Outer, {"client-ca-file": Path("/other")}) == Outer(Inner(Path("/other")))
