"""A flow file becomes a `Flow`, or a list of everything that is wrong with it.

    flow = load("intersection.yaml")            # raises FlowError with all problems
    flow, problems = read("intersection.yaml")  # the same without raising, warnings included

The way: documents with marks (`sources`), substitution of `${…}`, scenes, services, drafts of nodes, names, wiring, the
contract, the nodes' own checks. Each step goes on with what the steps before could read, so that one mistake hides no other,
and nothing is reported twice because of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from flowrt.catalog import Catalog
from flowrt.document import UNKNOWN, shorten
from flowrt.fingerprint import fingerprint
from flowrt.flow import Flow, NodeSpec
from flowrt.load.checks import check_nodes, check_signals
from flowrt.load.drafts import Draft, DraftReader
from flowrt.load.proof import prove
from flowrt.load.references import References, published_signals
from flowrt.load.report import Report
from flowrt.load.scenes import read_scene
from flowrt.load.services import read_services
from flowrt.load.sources import Sources
from flowrt.load.wiring import Wiring
from flowrt.node import Node
from flowrt.problem import FlowError, Problem

__all__ = ["load", "read"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOTHING: Mapping[str, str] = {}


def load(
    path: str | Path,
    *,
    catalog: Catalog | None = None,
    overrides: Mapping[str, str] = _NOTHING,
    environment: Mapping[str, str] | None = None,
) -> Flow:
    """The checked flow of a file. Raises FlowError with all errors; warnings do not raise.

    overrides: "NODE.SETTING" to text, which is read as the setting's type wants it.
    environment: where `${env:…}` looks; by default the process's own.
    """
    flow, problems = read(path, catalog=catalog, overrides=overrides, environment=environment)
    if flow is None:
        raise FlowError(problem for problem in problems if problem.severity == "error")
    return flow


def read(
    path: str | Path,
    *,
    catalog: Catalog | None = None,
    overrides: Mapping[str, str] = _NOTHING,
    environment: Mapping[str, str] | None = None,
) -> tuple[Flow | None, list[Problem]]:
    """The flow, None where there are errors, and every problem in the order of the file."""
    report = Report()
    path = Path(path)
    catalog = catalog if catalog is not None else Catalog(path.parent)
    environment = os.environ if environment is None else environment
    sources = Sources(path, overrides, environment, report)
    if sources.root is None:
        return None, report.sorted()
    flow = _flow(path, sources, catalog, environment, report)
    return (None if report.failed else flow), report.sorted()


def _flow(
    path: Path, sources: Sources, catalog: Catalog, environment: Mapping[str, str], report: Report
) -> Flow | None:
    name = _label(sources, "flow", report)
    site = _label(sources, "site", report) or name
    scenes = {key: read_scene(key, entry.node, f"scene.{key}", report) for key, entry in sources.scenes.items()}
    services = read_services(sources.services, environment, report)
    reader = DraftReader(catalog, scenes, report)
    drafts = {key: reader.read(key, entry.node, entry.mark) for key, entry in sources.nodes.items()}
    references = References(drafts, scenes, services.blocks, path.parent, report)
    for draft in drafts.values():
        references.check(draft)
    references.check_files(services.references)
    wiring = Wiring(drafts, catalog, report)
    wiring.check()
    schemas = prove(drafts.values(), wiring.arriving, path.parent, report)
    signals = published_signals(drafts.values(), report)
    readable = {key: scene for key, scene in scenes.items() if scene is not None}
    check_signals(signals, readable, sources, drafts, report)
    check_nodes(drafts.values(), path.parent, services.blocks, readable, signals, report)
    if report.failed:
        return None
    secrets = sources.secrets | services.secrets | {secret for draft in drafts.values() for secret in draft.secrets}
    nodes = {key: _spec(draft, wiring, path.parent, report) for key, draft in drafts.items()}
    read_by_nodes = [file for spec in nodes.values() for file in spec.reads]
    files = [*sources.all_files, *references.files, *catalog.files(), *schemas, *read_by_nodes]
    return Flow(
        name=name,
        site=site,
        path=path.absolute(),
        nodes=nodes,
        arriving=wiring.arriving,
        scenes=readable,
        services=services.blocks,
        files=tuple(dict.fromkeys(file.absolute() for file in files)),
        secrets=frozenset(secrets - {""}),
    )


def _label(sources: Sources, key: str, report: Report) -> str:
    """The name of the flow or site: it becomes part of topics and of file names."""
    leaf = sources.text(key)
    if leaf is None:
        if key == "flow" and sources.root is not None and key not in sources.root.items:
            report.add(sources.whole, "", "the flow has no name", "begin with `flow: NAME`")
        return ""
    if leaf.value is UNKNOWN:
        return ""
    text = str(leaf.value)
    if not _LABEL.fullmatch(text):
        message = f"'{shorten(text)}' is no name for a {key}"
        report.add(leaf.mark, key, message, "letters, digits, '-', '_' and '.', beginning with a letter or digit")
    return text


def _spec(draft: Draft, wiring: Wiring, folder: Path, report: Report) -> NodeSpec:
    assert draft.type is not None
    assert draft.settings is not None
    return NodeSpec(
        name=draft.name,
        type=draft.type,
        settings=draft.settings,
        edges=tuple(wiring.edge(wire, draft.name) for wire in draft.wires),
        was=draft.was,
        restart=draft.restart,
        reads=_reads(draft, draft.settings, folder, report),
    )


def _reads(draft: Draft, settings: Node, folder: Path, report: Report) -> dict[Path, str]:
    """What is in the files that a node reads as it opens."""
    try:
        return {file.absolute(): fingerprint(file) for file in settings.files(folder)}
    except Exception as error:  # a third party's code; its fault is a finding, not a crash
        message = f"{type(settings).__name__}.files() failed: {type(error).__name__}: {error}"
        report.add(draft.mark, draft.path, message, "this is a fault of the node type")
        return {}
