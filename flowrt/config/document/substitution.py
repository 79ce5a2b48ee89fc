"""`${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in string leaves, after parsing.

A value can therefore never change the structure of the file. `$${` stands for a plain `${`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Environment
from pathlib import Path

from flowrt.addresses import control_character, passwords, without_line_end
from flowrt.config.report import Report
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar, Sequence, Unreadable, Yaml, join, read_text, shorten
from flowrt.diagnostics import Mark
from flowrt.services.environment import UnreadableSecret

_USE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Substitution:
    """Fills the leaves of one flow's documents.

    folders: the folder of each document by its name in marks; files: what `${file:…}` read. Passwords in addresses go to the report's secrets.
    """

    def __init__(self, environment: Environment[str, str], folders: dict[str, Path], report: Report) -> None:
        self.environment = environment
        self.folders = folders
        self.report = report
        self.files: list[Path] = []
        self._seen: set[int] = set()  # aliases share nodes: each is filled once

    def fill(self, node: Yaml, path: str = "") -> None:
        """Fill every leaf below a node, in place."""
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        if isinstance(node, Mapping):
            for key, item in node.items.items():
                self.fill(item, join(path, key))
        elif isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                self.fill(item, join(path, index))
        elif isinstance(node.value, str):
            written = node.value
            if "${" in written:
                self._leaf(node, path)
            self._address(node, path, written)

    def _leaf(self, leaf: Scalar, path: str) -> None:
        sources: set[str] = set()
        origins: list[str] = []
        complete = True

        def replace(use: re.Match[str]) -> str:
            nonlocal complete
            if use[1] is None:
                return "${"
            text = self._use(use[0], use[1], leaf.mark, path, sources)
            origins.append(f"${{{use[1].partition(':-')[0]}}}")
            complete = complete and text is not None
            return text or ""

        text = _USE.sub(replace, leaf.value)
        if complete and sources:
            leaf.origin = " and ".join(origins)
            self.report.add_outside(path, text, leaf.origin)
            if control := control_character(text, "\n\t"):
                hint = "write the value again without it"
                self.report.add(leaf.mark, path, f"{leaf.origin} has {control} in its text", hint)
                complete = False
        leaf.value = text if complete else UNKNOWN
        leaf.sources = frozenset(sources)
        leaf.substituted = bool(sources)

    def _use(self, written: str, inside: str, mark: Mark, path: str, sources: set[str]) -> str | None:
        kind, _, rest = inside.partition(":")
        if not written.endswith("}") or "${" in inside:
            message = "a '${' inside another" if "${" in inside else "a '${' without its '}'"
            self.report.add(mark, path, message, "write ${env:NAME}, or $${ for a plain ${")
        elif kind == "env":
            return self._env(rest, mark, path, sources)
        elif kind == "file":
            sources.add("file")
            return self._file(rest, mark, path)
        else:
            message = f"unknown substitution '{shorten(written)}'"
            near = (
                f"did you mean ${{env:{inside}}}?"
                if _NAME.fullmatch(inside)
                else self.report.suggest(kind, ("env", "file"))
            )
            self.report.add(mark, path, message, near)
        return None

    def _env(self, rest: str, mark: Mark, path: str, sources: set[str]) -> str | None:
        name, default_given, default = rest.partition(":-")
        if not _NAME.fullmatch(name):
            self.report.add(mark, path, f"'{shorten(name)}' is no name of a variable", "write ${env:NAME:-default}")
            return None
        try:
            text = self.environment.get(name)
        except UnreadableSecret as error:
            self.report.add(mark, path, str(error))
            return None
        if text is None or (text == "" and default_given):
            if not default_given:
                hint = f"set it, or give a default: ${{env:{name}:-…}}"
                self.report.add(mark, path, f"the environment variable {name} is not set", hint)
                return None
            sources.add("default" if default else "env")
            return default
        sources.add("env")
        return without_line_end(text)

    def _file(self, name: str, mark: Mark, path: str) -> str | None:
        file = self.folders[mark.file] / name
        try:
            text = read_text(file, str(file))
        except Unreadable as error:
            self.report.add(mark, path, f"${{file:{name}}}: {error.diagnostic.message}", f"looked for {file}")
            return None
        self.files.append(file)
        return without_line_end(text)

    def _address(self, leaf: Scalar, path: str, written: str) -> None:
        """Passwords in addresses are masked like secrets; written out in the file, also as a default, they are worth a warning."""
        if not isinstance(leaf.value, str):
            return
        found = passwords(leaf.value)
        in_file = found if not leaf.sources else {each for each in found if each in written}
        for use in _USE.finditer(written):  # a default is in the file also where the variable is set
            default = (use[1] or "").partition(":-")[2]
            in_file |= passwords(default)
        self.report.secrets |= found | in_file
        if in_file:
            hint = "put it into the environment: ${env:NAME}"
            self.report.add(leaf.mark, path, "a password in the flow file", hint, severity="warning", secret=True)
