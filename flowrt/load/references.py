"""Names in settings: scenes, zones, lines, signal groups, services, files and nodes have to exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowrt.load.drafts import Draft
from flowrt.load.report import Report
from flowrt.load.values import Reference
from flowrt.messages import SignalState
from flowrt.scene import Scene


class References:
    """Looks up what settings name. scenes: None where a scene could not be read; files: what was found on disk."""

    def __init__(
        self,
        drafts: Mapping[str, Draft],
        scenes: Mapping[str, Scene | None],
        services: Mapping[str, Any],
        folder: Path,
        report: Report,
    ) -> None:
        self.drafts = drafts
        self.scenes = scenes
        self.services = services
        self.folder = folder
        self.report = report
        self.files: list[Path] = []

    def check(self, draft: Draft) -> None:
        """Report every name of one node that leads nowhere."""
        scene_name = next((r.name for r in draft.references if r.kind == "scene" and r.field == "scene"), "")
        for reference in draft.references:
            if reference.kind == "scene":
                self._known(reference, "scene", self.scenes)
            elif reference.kind == "service":
                self._known(reference, "service", self.services)
            elif reference.kind == "node":
                self._known(reference, "node", self.drafts)
            elif reference.kind in ("zone", "line"):
                self._in_scene(reference, scene_name, draft)
            elif reference.kind == "file":
                self._file(reference)

    def check_files(self, references: Iterable[Reference]) -> None:
        """The files that services name."""
        for reference in references:
            if reference.kind == "file":
                self._file(reference)

    def _known(self, reference: Reference, what: str, known: Mapping[str, Any]) -> None:
        if reference.name not in known:
            message = f"there is no {what} '{reference.name}'"
            self.report.add(reference.mark, reference.path, message, self.report.suggest(reference.name, known))

    def _in_scene(self, reference: Reference, scene_name: str, draft: Draft) -> None:
        if not scene_name:
            if draft.settings is None:
                return  # that its scene is missing was said already
            if len(self.scenes) != 1:
                hint = (
                    "add `scene: …`; " + self.report.suggest("", self.scenes)
                    if self.scenes
                    else "declare one under `scene`"
                )
                message = f"{reference.kind} '{reference.name}' of which scene?"
                self.report.add(reference.mark, reference.path, message, hint)
                return
            scene_name = next(iter(self.scenes))
        scene = self.scenes.get(scene_name)
        if scene is None:
            return  # unknown or unreadable, and reported as such
        known: Mapping[str, Any] = scene.zones if reference.kind == "zone" else scene.lines
        if reference.name not in known:
            other: Mapping[str, Any] = scene.lines if reference.kind == "zone" else scene.zones
            hint = self.report.suggest(reference.name, known)
            if reference.name in other:
                hint = f"it is a {'line' if reference.kind == 'zone' else 'zone'}, and a {reference.kind} is wanted; {hint}"
            message = f"scene '{scene_name}' has no {reference.kind} '{reference.name}'"
            self.report.add(reference.mark, reference.path, message, hint)

    def _file(self, reference: Reference) -> None:
        if "://" in reference.name:
            return
        try:
            path = (self.folder / reference.name).resolve()
            found = path.exists()
        except (OSError, ValueError):
            found, path = False, self.folder / "?"
        if found:
            self.files.append(path)
            return
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = self.report.suggest(path.name, siblings)
        hint = near if near.startswith("did") else f"looked for {path}"
        self.report.add(reference.mark, reference.path, f"the file '{reference.name}' does not exist", hint)


def published_signals(drafts: Iterable[Draft], report: Report) -> frozenset[str]:
    """The signal groups that the flow's signal sources declare; empty where one of them does not say."""
    groups: set[str] = set()
    for draft in drafts:
        if draft.type is None:
            return frozenset()
        if not any(issubclass(kind, SignalState) for kind in draft.type.ports.outputs) or draft.type.ports.passes:
            continue
        if draft.settings is None:
            return frozenset()
        try:
            declared = set(draft.settings.signals())
        except Exception as error:  # a third party's code; its fault is a finding, not a crash
            report.add(draft.mark, draft.path, f"'{draft.type.name}'.signals() failed: {type(error).__name__}: {error}")
            return frozenset()
        if not declared:
            return frozenset()
        groups |= declared
    return frozenset(groups)
