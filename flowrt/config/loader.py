"""From a file to a flow: every step in its order.

The way: documents with marks (`documents`), substitution of `${…}`, sections, services, the nodes' own settings, names, wiring, the
contract, the nodes' own checks. Each step goes on with what the steps before could read, so that one mistake hides no other,
and nothing is reported twice because of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flowrt.catalog import Catalog
from flowrt.config.cache import LoadCache
from flowrt.config.checks.contract import Carried, check_contract
from flowrt.config.checks.nodes import FlowView, check_nodes, check_sections, fetch_nodes, flow_parts, probe_all
from flowrt.config.checks.references import References, check_published, published_names
from flowrt.config.checks.wiring import Wiring
from flowrt.config.document.documents import Documents
from flowrt.config.nodes import NodeConfig, read_nodes
from flowrt.config.report import Report
from flowrt.config.sections import FlowParts, Section, sections
from flowrt.config.services import read_services
from flowrt.config.yaml import UNKNOWN, Yaml, shorten
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Flow, NodeSpec
from flowrt.node import Node
from flowrt.services.environment import Environment
from flowrt.system.threads import from_keyboard

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOTHING: Mapping[str, str] = {}


def load(
    path: str | Path,
    *,
    catalog: Catalog | None = None,
    overrides: Mapping[str, str] = _NOTHING,
    environment: Mapping[str, str] | None = None,
    cache: LoadCache | None = None,
    fetch: bool = False,
) -> Flow:
    """The checked flow of a file. Raises FlowError with all errors; warnings do not raise.

    overrides: "NODE.SETTING" to text, which is read as the setting's type wants it.
    environment: where `${env:…}` looks, `NAME_FILE` included; by default the process's own.
    cache: of earlier loads, for a reload. fetch: nodes may download what they name.
    """
    flow, diagnostics = read(
        path, catalog=catalog, overrides=overrides, environment=environment, cache=cache, fetch=fetch
    )
    if flow is None:
        raise FlowError(diagnostic for diagnostic in diagnostics if diagnostic.severity == "error")
    return flow


def read(
    path: str | Path,
    *,
    catalog: Catalog | None = None,
    overrides: Mapping[str, str] = _NOTHING,
    environment: Mapping[str, str] | None = None,
    cache: LoadCache | None = None,
    probe: bool = False,
    fetch: bool = False,
) -> tuple[Flow | None, list[Diagnostic]]:
    """The flow, None where there are errors, and every problem in the order of the file.

    probe: also ask what the nodes connect to. fetch: nodes may download what they name.
    """
    report = Report()
    path = Path(path)
    catalog = catalog if catalog is not None else Catalog(path.parent)
    environment = Environment(environment)
    cache = cache or LoadCache()
    documents = Documents(path, overrides, environment, cache, report)
    if documents.root is None:
        return None, report.sorted()
    flow = _flow(path, documents, catalog, environment, cache, report, probe, fetch)
    return (None if report.failed else flow), report.sorted()


class Parts(NamedTuple):
    """What could be read of a file, also of one with errors. entries: of each section, by name."""

    nodes: FlowParts
    entries: Mapping[str, Mapping[str, Any]]


def parts(path: str | Path, *, environment: Mapping[str, str] | None = None) -> Parts:
    """The nodes and entries of a file that can be read, for tools that look at a flow which has errors; `read` tells those."""
    report, cache, path = Report(), LoadCache(), Path(path)
    documents = Documents(path, {}, Environment(environment), cache, report)
    if documents.root is None:
        return Parts(FlowParts({}, {}), {key: {} for key in sections()})
    entries = _entries(documents, cache, report)
    configs = read_nodes(documents, Catalog(path.parent), entries, Carried(path.parent, cache), report)
    return Parts(flow_parts(configs), _readable(entries))


def _entries(documents: Documents, cache: LoadCache, report: Report) -> dict[str, dict[str, Any]]:
    """By section and name; None where an entry could not be read."""
    return {
        key: {
            name: cache.entry(
                key, name, entry.node, partial(_entry, section, name, entry.node, f"{key}.{name}", report)
            )
            for name, entry in documents.sections[key].items()
        }
        for key, section in sections().items()
    }


def _readable(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: {n: each for n, each in of_one.items() if each is not None} for key, of_one in entries.items()}


def _flow(
    path: Path,
    documents: Documents,
    catalog: Catalog,
    environment: Mapping[str, str],
    cache: LoadCache,
    report: Report,
    probe: bool,
    fetch: bool,
) -> Flow | None:
    name = _label(documents, "flow", report)
    site = _label(documents, "site", report) or name
    entries = _entries(documents, cache, report)
    services = read_services(documents.services, environment, report)
    configs = read_nodes(documents, catalog, entries, Carried(path.parent, cache), report)
    references = References(configs, entries, services.blocks, path.parent, report)
    for config in configs.values():
        references.check(config)
    references.check_files(services.references)
    wiring = Wiring(configs, catalog, report, keys=documents.made_of, complete=documents.complete)
    wiring.check()
    schemas = check_contract(configs.values(), wiring.arriving, path.parent, cache, report)
    published = published_names(configs.values(), report)
    readable = _readable(entries)
    check_published(published, readable, documents, configs, report)
    view = FlowView(path.parent, services.blocks, readable, published)
    if fetch:
        fetch_nodes(configs.values(), view, report)
    check_nodes(configs.values(), view, report)
    check_sections(configs, readable, report)
    if probe and not report.failed:
        probe_all(configs.values(), documents.services, documents.file_mark, view, report)
    if report.failed:
        return None
    nodes = {key: _spec(config, wiring, path.parent, cache, report) for key, config in configs.items()}
    read_by_nodes = [file for spec in nodes.values() for file in spec.reads]
    files = [*documents.all_files, *references.files, *catalog.files(), *schemas, *read_by_nodes]
    return Flow(
        name=name,
        site=site,
        path=path.absolute(),
        nodes=nodes,
        arriving=wiring.arriving,
        sections=readable,
        services=services.blocks,
        files=tuple(dict.fromkeys(file.absolute() for file in files)),
        secrets=frozenset(report.secrets - {""}),
    )


def _entry(section: Section, name: str, node: Yaml, path: str, report: Report) -> tuple[Any | None, bool]:
    """An entry, and whether nothing is wrong with it."""
    before = len(report.diagnostics)
    entry = section.read(name, node, path, report)
    return entry, entry is not None and len(report.diagnostics) == before


def _label(documents: Documents, key: str, report: Report) -> str:
    """The name of the flow or site: it becomes part of topics and of file names."""
    leaf = documents.text(key)
    if leaf is None:
        if key == "flow" and documents.root is not None and key not in documents.root.items:
            report.add(documents.file_mark, "", "the flow has no name", "begin with `flow: NAME`")
        return ""
    if leaf.value is UNKNOWN:
        return ""
    text = str(leaf.value)
    if not _LABEL.fullmatch(text):
        message = f"'{shorten(text)}' is no name for a {key}"
        report.add(leaf.mark, key, message, "letters, digits, '-', '_' and '.', beginning with a letter or digit")
    return text


def _spec(config: NodeConfig, wiring: Wiring, folder: Path, cache: LoadCache, report: Report) -> NodeSpec:
    assert config.type is not None
    assert config.settings is not None
    return NodeSpec(
        name=config.name,
        type=config.type,
        settings=config.settings,
        edges=tuple(wiring.edge(edge_ref, config.name) for edge_ref in config.edge_refs),
        entries={r.field: (r.kind, r.name) for r in config.references if r.kind in sections()},
        renamed_from=config.renamed_from,
        mark=config.mark,
        restart=config.restart,
        reads=_reads(config, config.settings, folder, cache, report),
    )


def _reads(config: NodeConfig, settings: Node, folder: Path, cache: LoadCache, report: Report) -> dict[Path, str]:
    """What is in the files that a node reads as it opens."""
    try:
        return {file.absolute(): cache.fingerprints.of(file) for file in settings.files(folder)}
    except BaseException as error:  # a third party's code; its fault is a finding, not a crash
        if from_keyboard(error):
            raise
        message = f"{type(settings).__name__}.files() failed: {type(error).__name__}: {error}"
        report.add(config.mark, config.path, message, "this is a fault of the node type")
        return {}
