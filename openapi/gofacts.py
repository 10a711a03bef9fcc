"""Reads facts about the original's Go types that no published schema carries, into openapi/facts.json (committed).

For each field of each API type: its Go type, whether an empty value is left out when the object is written, and its number
in protobuf. They decide what a decoded object looks like when it is written again, and the texts of type errors. Only names,
flags and numbers are taken. Run by hand when the supported version changes:

    python -m openapi.gofacts k8s.io/api=DIR k8s.io/apimachinery=DIR k8s.io/apiextensions-apiserver=DIR k8s.io/kube-aggregator=DIR

Each DIR is that module's source tree at the wanted tag.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from openapi import distil

OUTPUT = Path(__file__).parent / "facts.json"

# Packages read, and the prefix of their types' definition names in the published schema.
PACKAGES = {
    "k8s.io/apimachinery/pkg/apis/meta/v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "k8s.io/apimachinery/pkg/version": "io.k8s.apimachinery.pkg.version",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}

# Packages that no kind of the published schema uses, but bodies that the server sends to webhooks do.
UNPUBLISHED = ("io.k8s.api.admission.v1",)

_FIELD = re.compile(r"^\s+(?:(\w+)\s+)?([\w.*\[\]]+)\s+`([^`]*)`")
_JSON = re.compile(r'json:"([^"]*)"')
_NUMBER = re.compile(r'protobuf:"\w+,(\d+)')
_IMPORT = re.compile(r'^\s*(?:import\s+)?(?:(\w+)\s+)?"([^"]+)"\s*$')
_DEFAULT = re.compile(r"//\s*\+default=(.*)$")


def main(arguments: list[str]) -> None:
    trees = dict(argument.split("=", 1) for argument in arguments)
    facts: dict[str, Any] = {}
    named: dict[str, str] = {}
    for module, folder in trees.items():
        for package, prefix in _packages(module, Path(folder)):
            structs, aliases = _read_package(Path(folder) / package.removeprefix(module).lstrip("/"), package)
            for name, fields in structs.items():
                facts[f"{prefix}.{name}"] = fields
            named.update(aliases)
    _embed(facts)
    served = {name.rpartition(".")[0] for name in distil.read_definitions()} | set(UNPUBLISHED)
    facts = {name: fields for name, fields in facts.items() if name.rpartition(".")[0] in served and fields}
    lines = [f"{json.dumps(name)}: {json.dumps(facts[name], separators=(',', ':'))}" for name in sorted(facts)]
    named_text = json.dumps(dict(sorted(named.items())), separators=(",", ":"))
    OUTPUT.write_text('{"named": ' + named_text + ',\n"structs": {\n' + ",\n".join(lines) + "\n}}\n")


def _packages(module: str, folder: Path) -> list[tuple[str, str]]:
    if module == "k8s.io/api":
        found = sorted(path.parent.relative_to(folder) for path in folder.glob("*/v*/types.go"))
        return [(f"{module}/{path}", "io.k8s.api." + str(path).replace("/", ".")) for path in found]
    return [(package, prefix) for package, prefix in PACKAGES.items() if package.startswith(module + "/")]


def _read_package(folder: Path, package: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Struct name -> {json name: "Go type[,o][,z][,#number][,~embedded structs that have the field][=default]"}, and
    qualified named types -> what they stand for.
    """
    structs: dict[str, dict[str, str]] = {}
    named: dict[str, str] = {}
    here = package.rpartition("/")[2]
    for path in sorted(folder.glob("*.go")):
        if path.name.startswith("zz_") or path.name.endswith(("_test.go", ".pb.go")):
            continue
        imports: dict[str, str] = {}
        current: dict[str, str] | None = None
        default = ""
        constants = dict(re.findall(r'^\s+(\w+)\s+\w+\s+= ("[^"]*")', path.read_text(), re.M))
        for line in path.read_text().splitlines():
            if match := _IMPORT.match(line):
                imports[match[1] or match[2].rpartition("/")[2]] = match[2].rpartition("/")[2]
            elif match := re.match(r"^type (\w+) struct \{", line):
                current = structs.setdefault(match[1], {})
            elif line.startswith("}"):
                current = None
            elif match := re.match(r"^type (\w+) ([\w.*\[\]]+)$", line):
                named[f"{here}.{match[1]}"] = _qualify(match[2], here, imports)
            elif match := _DEFAULT.search(line):
                default = match[1].strip()
            elif current is not None and (match := _FIELD.match(line)):
                _add_field(current, match, here, imports, _constant(default, constants))
                default = ""
    return structs, named


def _constant(default: str, constants: dict[str, str]) -> str:
    if default.startswith("ref("):
        return constants.get(default[4:-1], "")
    return default


def _add_field(fields: dict[str, str], match: re.Match[str], here: str, imports: dict[str, str], default: str) -> None:
    tag = _JSON.search(match[3])
    if tag is None or tag[1] == "-":
        return
    name, *options = tag[1].split(",")
    go_type = _qualify(match[2], here, imports)
    number = _NUMBER.search(match[3])
    if not name:
        fields["+" + go_type] = number[1] if number else ""
        return
    flags = (",o" if "omitempty" in options else "") + (",z" if "omitzero" in options else "")
    if number:
        flags += f",#{number[1]}"
    fields[name] = go_type + flags + (f"={default}" if default else "")


def _qualify(go_type: str, here: str, imports: dict[str, str]) -> str:
    """The type as reflect prints it: every name with its package's own name."""

    def name(match: re.Match[str]) -> str:
        package, dot, word = match[0].rpartition(".")
        if word == "byte":
            return "uint8"
        if dot:
            return f"{imports.get(package, package)}.{word}"
        return f"{here}.{word}" if word[0].isupper() else word

    return re.sub(r"[A-Za-z][\w.]*", name, go_type)


def _split_default(fact: str) -> tuple[str, str]:
    go, equals, default = fact.partition("=")
    return go, equals + default


def _embed(facts: dict[str, Any]) -> None:
    """Replace embedded structs by their fields."""
    type_meta = {"kind": "string,o", "apiVersion": "string,o"}
    by_package: dict[tuple[str, str], str] = {}
    for full in facts:
        prefix, _, name = full.rpartition(".")
        by_package[prefix, name] = full

    def expand(full: str) -> dict[str, str]:
        prefix = full.rpartition(".")[0]
        out: dict[str, str] = {}
        for name, value in facts[full].items():
            if not name.startswith("+"):
                out[name] = value
                continue
            word = name.rpartition(".")[2]
            if word == "TypeMeta":
                out.update(type_meta)
                continue
            candidates = [prefix, "io.k8s.api.core.v1", "io.k8s.apimachinery.pkg.apis.meta.v1"]
            target = next((by_package[place, word] for place in candidates if (place, word) in by_package), None)
            if target is not None:
                # In protobuf an embedded struct is a message of its own: its fields' numbers get its own in front.
                prefixed = f",#{value}." if value else ",#"
                for field, fact in expand(target).items():
                    go, default = _split_default(fact.replace(",#", prefixed))
                    go, _, inner = go.partition(",~")
                    out[field] = f"{go},~{word}{'.' + inner if inner else ''}{default}"
        return out

    expanded = {full: expand(full) for full in facts}
    facts.clear()
    facts.update(expanded)


if __name__ == "__main__":
    main(sys.argv[1:])
