"""The checks that node types bring themselves (`Node.check`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowrt.config.nodes import NodeConfig
from flowrt.config.report import Report, place
from flowrt.config.yaml import join
from flowrt.diagnostics import Diagnostic


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
        if config.settings is None or config.type is None:
            continue
        try:
            diagnostics: list[Diagnostic] = list(config.settings.check(view))
        except Exception as error:  # a third party's code; its fault is a finding, not a crash
            message = f"'{config.type.name}'.check() failed: {type(error).__name__}: {error}"
            report.add(config.mark, config.path, message, "this is a fault of the node type")
            continue
        for diagnostic in diagnostics:
            path = config.path
            for step in diagnostic.keys:
                path = join(path, step)
            mark = place(config.node, diagnostic.keys, config.mark)
            report.add(mark, path, diagnostic.message, diagnostic.hint, diagnostic.severity)
