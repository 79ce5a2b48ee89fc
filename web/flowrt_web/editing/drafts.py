"""Drafts of scenes: what the file would say after some operations, what `flowrt check` would say of it, and the save.

Nothing is kept between two requests but caches: a draft is the file as it is, and the operations that the page sends with its hash.
"""

from __future__ import annotations

import difflib
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

from flowrt.config import read
from flowrt.config.cache import LoadCache
from flowrt.config.document.documents import Documents
from flowrt.config.report import Report
from flowrt.diagnostics import Diagnostic
from flowrt.flow import Flow
from flowrt.http import Host
from flowrt.services.environment import Environment
from flowrt_web.editing.files import Changed, EditedFiles, content_hash
from flowrt_web.editing.scene_operations import Operation, edits_of
from flowrt_web.editing.splice import data_of, edited
from flowrt_web.editing.tree import Refused, read_tree

MAX_OPERATIONS = 500


class SceneText(NamedTuple):
    """The file that a scene is written in, as it is now."""

    file: Path
    text: str
    hash: str


class Draft(NamedTuple):
    """A draft, and everything that is wrong with the flow as it would be."""

    before: SceneText
    text: str
    problems: list[Diagnostic]

    @property
    def good(self) -> bool:
        """Whether it may be saved."""
        return not any(problem.severity == "error" for problem in self.problems)


class Drafts:
    """The scenes of one run."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.files = EditedFiles(host.runtime.data, self._is_own)
        self._cache = LoadCache()
        self._lock = threading.Lock()

    def _is_own(self, file: Path) -> bool:
        return file in {each.resolve() for each in self._host.runtime.flow.files}

    def scene_text(self, scene: str) -> SceneText:
        """Where a scene is written. Raises Refused."""
        path = self._host.runtime.flow.path
        report = Report()
        documents = Documents(path, {}, Environment(), LoadCache(), report)
        entry = documents.sections.get("scene", {}).get(scene)
        if entry is None:
            raise Refused(f"the flow has no scene {scene} any more")
        file = Path(entry.mark.file)
        content = file.read_bytes()
        try:
            return SceneText(file, content.decode(), content_hash(content))
        except UnicodeDecodeError:
            raise Refused(f"{file.name} is not UTF-8") from None

    def scene_data(self, scene: str) -> tuple[SceneText, Any]:
        """The text, and what it says of the scene. Raises Refused."""
        found = self.scene_text(scene)
        return found, data_of(found.text.removeprefix("\ufeff"))["scene"][scene]

    def fixed(self, found: SceneText, scene: str) -> dict[str, str]:
        """By place below the scene, why it can't be edited here: aliases, anchors, merges, values from outside."""
        reasons: dict[str, str] = {}
        root = read_tree(found.text.removeprefix("\ufeff"))

        def look(node: Any, path: tuple[str, ...]) -> None:
            for key, value in node.pairs:
                place = (*path, key.text)
                if value.kind == "alias":
                    reasons[".".join(place)] = f"is an alias (*{value.text})"
                elif key.text == "<<":
                    reasons[".".join(path)] = "has a merge key (<<)"
                elif value.anchor:
                    reasons[".".join(place)] = f"has an anchor (&{value.anchor})"
                elif value.kind == "scalar" and "${" in value.text:
                    reasons[".".join(place)] = "is filled in from outside (${…})"
                look(value, place)

        for key, value in root.pairs:
            if key.text == "scene":
                for name, block in value.pairs:
                    if name.text == scene:
                        look(block, ())
        return reasons

    def draft(self, scene: str, based_on: str, operations: list[Operation]) -> Draft:
        """What the file would be. Raises Refused, and Changed where it is not the file that the page was drawn from."""
        if len(operations) > MAX_OPERATIONS:
            raise Refused(f"more than {MAX_OPERATIONS} changes: save in between")
        before = self.scene_text(scene)
        if before.hash != based_on:
            raise Changed(f"{before.file.name} was changed meanwhile, by an editor or another tab")
        text = before.text
        for operation in operations:
            edits = edits_of(scene, operation, data_of(text.removeprefix("\ufeff")))
            text = edited(text, edits)
        return Draft(before, text, self.check(before.file, text))

    def check(self, file: Path, text: str) -> list[Diagnostic]:
        """What `flowrt check` would say if the file had this text."""
        return self._read(file, text)[1]

    def flow(self, draft: Draft) -> Flow | None:
        """The flow as it would be; None where the draft has errors."""
        return self._read(draft.before.file, draft.text)[0]

    def _read(self, file: Path, text: str) -> tuple[Flow | None, list[Diagnostic]]:
        with self._lock:
            self._cache.drafts = {os.path.realpath(file): text.removeprefix("\ufeff")}
            try:
                return read(self._host.runtime.flow.path, overrides=self._host.reloader.overrides, cache=self._cache)
            finally:
                self._cache.drafts = {}

    def words(self, draft: Draft) -> dict[str, Any]:
        """A draft as the page shows it: problems with their places in the scene, and the difference to the file."""
        return {
            "good": draft.good,
            "problems": [
                {"severity": p.severity, "message": p.message, "hint": p.hint, "path": p.path, "line": p.line}
                for p in draft.problems
            ],
            "diff": difference(draft.before, draft.text),
        }

    def save(self, draft: Draft) -> str:
        """Write a good draft; returns the new hash. Raises Changed, OSError."""
        return self.files.save(draft.before.file, draft.before.hash, draft.text.encode())


def difference(before: SceneText, after: str) -> str:
    """What changes, as `diff -u` shows it."""
    name = before.file.name
    lines = difflib.unified_diff(
        before.text.splitlines(), after.splitlines(), f"{name} (as it is)", f"{name} (saved)", lineterm="", n=1
    )
    return "\n".join(lines)
