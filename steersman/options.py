"""Options: one frozen dataclass per component is the truth; flags, the configuration file and --help are read off it.

A field `secure_port: int = 6443` is the flag --secure-port and the key `securePort` or `secure-port` of the component's
section in the file. The comment (or string) under a field is its help. Types: str, int, float (seconds: "90", "1m30s"),
bool (--flag, --flag=false), Path, each also `| None`; tuple[T, ...] or Sequence[T] (comma-separated, repeatable);
dict[str, str] or Mapping (a=1,b=2; with metadata {"split": False} one entry, whose value may have commas). A field that is itself
such a dataclass contributes its own fields. A field with metadata {"flag": None} is set by the program alone.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


_LISTS = (tuple, list, Sequence)
_MAPS = (dict, Mapping)


class OptionError(Exception):
    """A flag or key that does not exist, or a value that does not fit; the text names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One settable field of a component's configuration."""

    flag: str
    path: tuple[str, ...]  # field names from the component's class down
    type: Any
    default: Any
    owner: type  # the class that declares the field
    split: bool = True  # whether commas separate the entries of a mapping

    @property
    def field(self) -> str:
        return self.path[-1]

    @property
    def is_bool(self) -> bool:
        return self.type is bool

    def parse(self, value: Any) -> Any:
        """The field's value from a flag's text or a file's YAML value. Raises ValueError."""
        return parse_value(self.type, value, split=self.split)


def options_of(cls: type, prefix: tuple[str, ...] = (), defaults: Any = None) -> dict[str, Option]:
    """A configuration class's options by flag name, in the order of its fields. defaults: an instance to take them from."""
    hints = typing.get_type_hints(cls)
    found: dict[str, Option] = {}
    for field in dataclasses.fields(cls):
        flag = field.metadata.get("flag", field.name.replace("_", "-"))
        if flag is None:
            continue
        kind = _base_type(hints[field.name])
        path = (*prefix, field.name)
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            nested = default if isinstance(default, kind) else None
            found |= options_of(kind, path, nested)
            continue
        found[flag] = Option(flag, path, kind, default, cls, field.metadata.get("split", True))
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _base_type(hint: Any) -> Any:
    """The type without `| None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def parse_duration(text: str) -> float:
    """Seconds of "90", "1.5", "1m30s" (Go's notation). Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        pass
    if not text or _DURATION.sub("", text):
        raise ValueError(f"{text!r} is not a duration (examples: 30s, 1m30s, 2h)")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def parse_value(kind: Any, value: Any, *, split: bool = True) -> Any:
    """Turn text, or a YAML value, into the type. Raises ValueError with a text that shows the value.

    split: whether commas separate the entries of a mapping.
    """
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        allowed = typing.get_args(kind)
        if str(value) not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
        return str(value)
    if kind is bool:
        return _parse_bool(value)
    if kind is int:
        if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value).strip()):
            raise ValueError(f"{value!r} is not an integer")
        return int(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a duration or number")
        return parse_duration(str(value))
    if origin in _LISTS:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, Sequence):
            raise ValueError(f"{value!r} is not a list")
        (item_type, *_rest) = typing.get_args(kind)
        return tuple(parse_value(item_type, item) for item in items if item != "")
    if origin in _MAPS:
        return _parse_map(value, split)
    if kind is Path:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{value!r} is not a path")
        return Path(value)
    if isinstance(value, dict | list | bool) or value is None:
        raise ValueError(f"{value!r} is not text")
    return str(value)


def _parse_bool(value: Any) -> bool:
    words = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(f"{value!r} is not true or false")
    return words[word]


def _parse_map(value: Any, split: bool) -> dict[str, str]:
    if isinstance(value, str):
        pairs = [part.partition("=") for part in (value.split(",") if split else [value]) if part or not split]
        bad = [key for key, equals, _ in pairs if not equals]
        if bad:
            raise ValueError(f"{value!r} is not of the form {'key=value,key=value' if split else 'key=value'}")
        return {key.strip(): text.strip() for key, _, text in pairs}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not a mapping")
    return {str(key): str(text) for key, text in value.items()}


def parse_flags(arguments: Sequence[str], known: Mapping[str, Option]) -> tuple[dict[str, Any], list[str]]:
    """Read --flag=value, --flag value and bare boolean flags; (values by flag, positional arguments).

    A repeated list or map flag adds up, any other takes its last value. Raises OptionError for an unknown flag, with the
    nearest known one.
    """
    values: dict[str, Any] = {}
    positional: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            positional += rest
            break
        if not argument.startswith("-") or argument == "-":
            positional.append(argument)
            continue
        name, equals, text = argument.lstrip("-").partition("=")
        name = name.replace("_", "-")
        option = known.get(name)
        if option is None:
            raise OptionError(f"unknown flag --{name}" + _nearest(name, known, "--"))
        if not equals:
            if option.is_bool:
                text = "true"
            elif rest:
                text = rest.pop(0)
            else:
                raise OptionError(f"--{name} needs a value")
        try:
            value = option.parse(text)
        except ValueError as error:
            raise OptionError(f"--{name}: {error}") from error
        if name in values and isinstance(value, tuple | dict):
            value = values[name] + value if isinstance(value, tuple) else {**values[name], **value}
        values[name] = value
    return values, positional


def read_section(section: Any, known: Mapping[str, Option], where: str) -> dict[str, Any]:
    """Values by flag of one mapping of the configuration file; keys may be camelCase or like the flags."""
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise OptionError(f"{where}: must be a mapping of options")
    values = {}
    for key, raw in section.items():
        flag = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: "-" + m.group(1).lower(), str(key))
        option = known.get(flag)
        if option is None:
            raise OptionError(f"{where}: unknown key {key!r}" + _nearest(flag, known, ""))
        try:
            values[flag] = option.parse(raw)
        except ValueError as error:
            raise OptionError(f"{where}.{key}: {error}") from error
    return values


def _nearest(name: str, known: Iterable[str], prefix: str) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def fill(cls: type, *layers: Mapping[str, Any]) -> Any:
    """An instance of the configuration class; later layers (values by flag) win."""
    tree: dict[str, Any] = {}
    for flag, option in options_of(cls).items():
        for layer in layers:
            if flag in layer:
                branch = tree
                for name in option.path[:-1]:
                    branch = branch.setdefault(name, {})
                branch[option.field] = layer[flag]
    return _construct(cls, tree)


def _construct(cls: type, tree: dict[str, Any]) -> Any:
    """An instance from values by field name; a nested configuration starts from its owner's default."""
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name not in tree:
            continue
        value = tree[field.name]
        default = _default(field) if isinstance(value, dict) else None
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            told = _construct(type(default), value)
            value = dataclasses.replace(default, **{name: getattr(told, name) for name in value})
        arguments[field.name] = value
    return cls(**arguments)


def describe(cls: type) -> dict[str, str]:
    """Help texts by field name: the string or the comment lines under each field in the class's source."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines = source.splitlines()
    body = typing.cast("ast.ClassDef", ast.parse(source).body[0]).body
    texts = {}
    for position, statement in enumerate(body):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        following = body[position + 1] if position + 1 < len(body) else None
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = str(following.value.value)
        else:
            comments = itertools.takewhile(
                lambda line: line.lstrip().startswith("#"), lines[statement.end_lineno or 0 :]
            )
            text = " ".join(line.lstrip().lstrip("#") for line in comments)
        texts[statement.target.id] = " ".join(text.split())
    return texts


def show_default(option: Option) -> str:
    """The default as --help shows it; empty when there is none."""
    default = option.default
    if default is None or default is dataclasses.MISSING or default in ("", ()) or default == {}:
        return ""
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default)
    if isinstance(default, bool):
        return "true" if default else "false"
    return str(default)


def help_text(cls: type, without: Sequence[str] = ()) -> str:
    """All flags of a configuration class but some, with type, default and meaning, for --help."""
    lines = []
    described: dict[type, dict[str, str]] = {}
    for flag, option in options_of(cls).items():
        if flag in without:
            continue
        if option.owner not in described:
            described[option.owner] = describe(option.owner)
        texts = described[option.owner]
        default = show_default(option)
        head = f"  --{flag}" + ("" if option.is_bool else f" {_type_word(option.type)}")
        meaning = texts.get(option.field, "")
        if default:
            meaning = f"{meaning} (default {default})".strip()
        lines.append(head)
        lines += textwrap.wrap(meaning, 92, initial_indent="        ", subsequent_indent="        ")
    return "\n".join(lines)


def _type_word(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "|".join(typing.get_args(kind))
    if origin in _LISTS:
        return "LIST"
    if origin is not None:
        return "KEY=VALUE,…"
    return {int: "NUMBER", float: "DURATION", Path: "PATH"}.get(kind, "TEXT")
