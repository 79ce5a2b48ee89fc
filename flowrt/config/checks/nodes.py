"""The checks that node types bring themselves (`Node.check`, `Node.probe`, `Node.fetch`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flowrt.catalog import services_of
from flowrt.config.document.documents import Entry
from flowrt.config.nodes import NodeConfig
from flowrt.config.report import Report, place
from flowrt.config.sections import FlowParts, sections
from flowrt.config.yaml import join
from flowrt.diagnostics import Diagnostic, Mark
from flowrt.services.probing import probe
from flowrt.system.threads import from_keyboard


class FlowView:
    """What a node's `check` may look at (`flowrt.node.CheckView`)."""

    def __init__(
        self,
        folder: Path,
        services: Mapping[str, Any],
        entries: Mapping[str, Mapping[str, Any]],
        published: Mapping[str, frozenset[str]],
    ) -> None:
        self.folder = folder
        self.services = services
        self._entries = entries
        self._published = published

    def entry(self, section: str, name: str) -> Any:
        """The entry of that name in a section of the flow file, None where there is none."""
        return self._entries[section].get(name)

    def published(self, kind: str) -> frozenset[str]:
        """Names of a kind that nodes of the flow publish; empty where one of them does not say."""
        return self._published[kind]


def check_nodes(configs: Iterable[NodeConfig], view: FlowView, report: Report) -> None:
    """Report each node's own problems at their place in the file."""
    for config in configs:
        if config.settings is not None:
            _report(config, config.settings.check, "check", view, report)


def flow_parts(configs: Mapping[str, NodeConfig]) -> FlowParts:
    """The nodes that could be read, and who feeds whom."""
    return FlowParts(
        nodes={name: config.settings for name, config in configs.items() if config.settings is not None},
        feeds={name: frozenset(edge.source for edge in config.edge_refs) for name, config in configs.items()},
    )


def check_sections(configs: Mapping[str, NodeConfig], entries: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    """Report what sections find wrong with the nodes together."""
    flow = flow_parts(configs)
    for key, section in sections().items():
        for name, diagnostic in section.check(entries[key], flow):
            _add(configs[name], diagnostic, report)


def fetch_nodes(configs: Iterable[NodeConfig], view: FlowView, report: Report) -> None:
    """Let the nodes download what they name, one after the other, and report what could not be had."""
    for config in configs:
        if config.settings is not None:
            _report(config, config.settings.fetch, "fetch", view, report)


def probe_all(
    configs: Iterable[NodeConfig], services: Mapping[str, Entry], file_mark: Mark, view: FlowView, report: Report
) -> None:
    """Report what outside does not answer: nodes, and the services that are in the file or that nodes use, all at the same time."""
    able = [config for config in configs if config.settings is not None]
    used = {name for config in able if config.settings is not None for name in services_of(config.settings)}
    with ThreadPoolExecutor(max(len(able) + len(view.services), 1), "probe") as pool:
        for config in able:
            assert config.settings is not None  # of `able`
            pool.submit(_report, config, config.settings.probe, "probe", view, report)
        for name in {*services, *used} & view.services.keys():
            pool.submit(_probe_service, name, services.get(name), file_mark, view, report)


def _probe_service(name: str, entry: Entry | None, file_mark: Mark, view: FlowView, report: Report) -> None:
    finding = probe(view.services[name], view.folder)
    if finding is not None:
        otherwise = entry.mark if entry is not None else file_mark
        mark = place(entry.node, (finding.setting,), otherwise) if entry is not None else otherwise
        report.add(mark, join(join("services", name), finding.setting), finding.message, finding.hint)


def _report(
    config: NodeConfig, ask: Callable[[FlowView], Iterable[Diagnostic]], name: str, view: FlowView, report: Report
) -> None:
    try:
        diagnostics = list(ask(view))
    except BaseException as error:  # a third party's code; its fault is a finding, not a crash
        if from_keyboard(error):
            raise
        node_type = config.type.name if config.type is not None else config.path
        message = f"'{node_type}'.{name}() failed: {type(error).__name__}: {error}"
        report.add(config.mark, config.path, message, "this is a fault of the node type")
        return
    for diagnostic in diagnostics:
        _add(config, diagnostic, report)


def _add(config: NodeConfig, diagnostic: Diagnostic, report: Report) -> None:
    path = config.path
    for step in diagnostic.keys:
        path = join(path, step)
    mark = place(config.node, diagnostic.keys, config.mark)
    report.add(mark, path, diagnostic.message, diagnostic.hint, diagnostic.severity)
