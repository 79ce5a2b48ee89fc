"""The last checks: signal groups that somebody publishes, and what nodes themselves say of their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowrt import document
from flowrt.load.drafts import Draft
from flowrt.load.report import Report, place
from flowrt.load.sources import Sources
from flowrt.problem import Complaint
from flowrt.scene import Scene


class View:
    """What a node's `check` may look at (`flowrt.node.CheckView`)."""

    def __init__(
        self, folder: Path, services: Mapping[str, Any], scenes: Mapping[str, Scene], signals: frozenset[str]
    ) -> None:
        self.folder = folder
        self.services = services
        self._scenes = scenes
        self._signals = signals

    def scene(self, name: str) -> Scene | None:
        """The scene of that name."""
        return self._scenes.get(name)

    def signals(self) -> frozenset[str]:
        """Signal groups that the flow's signal sources declare; empty where one of them does not say."""
        return self._signals


def check_nodes(
    drafts: Iterable[Draft],
    folder: Path,
    services: Mapping[str, Any],
    scenes: Mapping[str, Scene],
    signals: frozenset[str],
    report: Report,
) -> None:
    """Place what each node complains of."""
    view = View(folder, services, scenes, signals)
    for draft in drafts:
        if draft.settings is None or draft.type is None:
            continue
        try:
            complaints: list[Complaint] = list(draft.settings.check(view))
        except Exception as error:  # a third party's code; its fault is a finding, not a crash
            message = f"'{draft.type.name}'.check() failed: {type(error).__name__}: {error}"
            report.add(draft.mark, draft.path, message, "this is a fault of the node type")
            continue
        for complaint in complaints:
            path = draft.path
            for step in complaint.path:
                path = document.join(path, step)
            mark = place(draft.node, complaint.path, draft.mark)
            report.add(mark, path, complaint.message, complaint.hint, complaint.severity)


def check_signals(
    published: frozenset[str],
    scenes: Mapping[str, Scene],
    sources: Sources,
    drafts: Mapping[str, Draft],
    report: Report,
) -> None:
    """Report signal groups that nobody publishes. Nothing can be said where a signal source does not declare its groups."""
    if not published:
        return
    for name, scene in scenes.items():
        written = sources.scenes[name].node
        assert isinstance(written, document.Mapping), "else it could not have been read"
        for path, mark, signal in _signals_of(written, f"scene.{name}"):
            if signal in scene.signals:
                _published(signal, published, path, mark, report)
    for draft in drafts.values():
        for reference in draft.references:
            if reference.kind == "signal":
                _published(reference.name, published, reference.path, reference.mark, report)


def _signals_of(node: document.Mapping, path: str) -> Iterable[tuple[str, document.Mark, str]]:
    """Path, place and name of every signal group below a scene's node."""
    for key, item in node.items.items():
        if isinstance(item, document.Mapping):
            yield from _signals_of(item, document.join(path, key))
        elif key == "signal" and isinstance(item, document.Scalar) and item.value:
            yield document.join(path, key), item.mark, str(item.value)


def _published(signal: str, published: frozenset[str], path: str, mark: document.Mark, report: Report) -> None:
    if signal not in published:
        report.add(mark, path, f"nobody publishes the signal group '{signal}'", report.suggest(signal, published))
