"""The `services` block made into the structs of `flowrt.services`, with what it leaves out taken from the environment."""

from __future__ import annotations

from collections.abc import Mapping as Environment

import msgspec

from flowrt.addresses import control_character, passwords, without_line_end
from flowrt.config.document.documents import Entry
from flowrt.config.report import Report
from flowrt.config.values import INVALID, Reference, SettingsReader
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar, Yaml, describe, join
from flowrt.diagnostics import Mark
from flowrt.services import CHECKS, FROM_ENVIRONMENT, KINDS, Service
from flowrt.services.environment import UnreadableSecret


class Services(msgspec.Struct, kw_only=True):
    """The services by name, and the files they name."""

    blocks: dict[str, Service] = {}
    references: list[Reference] = []


def read_services(entries: Environment[str, Entry], environment: Environment[str, str], report: Report) -> Services:
    """Every service of the flow; `mqtt`, `influx` and `grafana` are always among them."""
    values = SettingsReader(report)
    services = Services()
    for name in (kind for kind in KINDS if kind not in entries):
        services.blocks[name] = _default(name, environment, values)
    for name, entry in entries.items():
        node = entry.node
        if isinstance(node, Scalar) and node.value is None:
            node = Mapping(entry.mark)
        block = _block(name, node, entry.mark, environment, values, report)
        services.blocks[name] = block if block is not None else KINDS.get(name, KINDS["mqtt"])()
    services.references = values.references
    return services


def _default(kind: str, environment: Environment[str, str], values: SettingsReader) -> Service:
    """A service of which the file says nothing. A wrong address in the environment is reported as such."""
    node = Mapping(Mark(f"the environment, for services.{kind}", 0, 0))
    _complete(node, kind, environment, values.report)
    _check(node, kind, f"services.{kind}", values.report)
    block = values.struct(node, KINDS[kind], f"services.{kind}", f"'{kind}'", node.mark)
    return KINDS[kind]() if block is INVALID else block


def _complete(node: Mapping, kind: str, environment: Environment[str, str], report: Report) -> None:
    """Fill settings that are not in the file from their variables."""
    for setting, variable in FROM_ENVIRONMENT[kind].items():
        if setting in node.items:
            continue
        mark = Mark(f"${variable}", 0, 0)
        try:
            value = environment.get(variable)
        except UnreadableSecret as error:
            report.add(mark, f"services.{kind}.{setting}", str(error))
            continue
        if value := without_line_end(value or ""):
            leaf = Scalar(value, mark)
            leaf.substituted, leaf.sources, leaf.origin = True, frozenset({"env"}), f"${variable}"
            path = f"services.{kind}.{setting}"
            report.add_outside(path, value, leaf.origin)
            report.secrets |= passwords(value)
            if control := control_character(value):
                report.add(mark, path, f"{leaf.origin} has {control} in its text", "write the value again without it")
                leaf.value = UNKNOWN
            node.items[setting] = leaf
            node.keys[setting] = leaf.mark


def _check(node: Mapping, kind: str, path: str, report: Report) -> None:
    """Report settings whose form has to be explained; a reported one counts as unreadable from here on."""
    for setting, problem_of in CHECKS[kind].items():
        leaf = node.items.get(setting)
        if not isinstance(leaf, Scalar) or not isinstance(leaf.value, str) or not leaf.value:
            continue
        if (problem := problem_of(leaf.value)) is not None:
            report.add(leaf.mark, join(path, setting), *problem)
            node.items[setting] = Scalar(UNKNOWN, leaf.mark)


def _block(
    name: str, node: Yaml, mark: Mark, environment: Environment[str, str], values: SettingsReader, report: Report
) -> Service | None:
    """One entry. `kind` says what it is where its name does not: `backup: {kind: mqtt, url: …}`."""
    path = join("services", name)
    kind = name
    if isinstance(node, Mapping) and (written := node.items.get("kind")) is not None:
        if not isinstance(written, Scalar) or written.value not in KINDS:
            if not (isinstance(written, Scalar) and written.value is UNKNOWN):
                hint = report.suggest(str(written.value) if isinstance(written, Scalar) else "", KINDS)
                report.add(
                    written.mark, join(path, "kind"), f"expected a kind of service, found {describe(written)}", hint
                )
            return None
        kind = str(written.value)
    if kind not in KINDS:
        hint = f"{report.suggest(name, KINDS)}; or say what it is: `kind: mqtt`"
        report.add(mark, path, f"unknown service '{name}'", hint)
        return None
    if isinstance(node, Mapping):
        rest = Mapping(node.mark)
        rest.items = {key: item for key, item in node.items.items() if key != "kind"}
        rest.keys = dict(node.keys)
        if name == kind:
            _complete(rest, kind, environment, report)
        node = rest
    if isinstance(node, Mapping):
        _check(node, kind, path, report)
    block = values.struct(node, KINDS[kind], path, f"'{kind}'", mark)
    return None if block is INVALID else block
