"""What nodes made during a replay, kept beside the recording: a replay that changes one rule runs only that rule again.

A node whose results may be kept says so (`Node.repeatable`). In the next replay, a node about which nothing has changed is played:
in its place stands one that answers each message with what was made of it before. All edges stay as they are, so events come in the
same order, too.

Invariants
- A node is only played where the recording, everything that the flow gives it, its program, and all of that of the nodes upstream
  are what they were: `_marks`.
- `index.json` is written last and names the files that belong to it. What a node made that failed, or of a recording whose end is
  damaged, is not kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.fingerprint import fingerprint
from flowrt.flow import FROM, Flow, NodeSpec
from flowrt.message import Message
from flowrt.node import Context, Transform, close_node, open_node
from flowrt.testing.recording import Header, Recording, Writer

INDEX = "index.json"


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One node's results. mark: of what they follow from; through: each message became exactly one message of columns."""

    cache_key: str
    file: str
    through: bool


class ReplayCache:
    """The results kept for one recording, in a folder beside it. problem: why nothing could be kept, if so."""

    def __init__(self, recording: Recording) -> None:
        self.folder = recording.path.with_name(recording.path.name + ".kept")
        self.diagnostic = ""
        self._recording = recording
        self._logs: dict[str, _Log] = {}
        self._played: dict[str, Recording] = {}
        try:
            self._index = msgspec.json.decode((self.folder / INDEX).read_bytes(), type=dict[str, _Entry])
        except (OSError, msgspec.MsgspecError):
            self._index = {}  # nothing is kept, or by another version

    def applied_to(self, flow: Flow, recorded: Collection[str]) -> Flow:
        """The flow of a replay with players where results are kept, and keepers where they will be.

        recorded: the nodes in whose place the recording's messages are. Raises FlowError where results are damaged.
        """
        cache_keys = _cache_keys(flow, recorded, fingerprint(self._recording.path))
        self._index = {
            name: entry
            for name, entry in self._index.items()
            if cache_keys.get(name) == entry.cache_key and (self.folder / entry.file).exists()
        }
        self._played = {name: Recording(self.folder / entry.file) for name, entry in self._index.items()}
        needed = {edge.source for edge in flow.edges if edge.target not in self._played}
        nodes = dict(flow.nodes)
        for name, results in self._played.items():
            replayer = Replayer(results=results, through=self._index[name].through and name not in needed)
            edges = tuple(edge for edge in nodes[name].edges if edge.field == FROM)
            nodes[name] = msgspec.structs.replace(nodes[name], settings=replayer, edges=edges)
        try:
            self.folder.mkdir(exist_ok=True)
            for name in cache_keys.keys() - self._played:
                spec = nodes[name]
                header = Header(flow=flow.name, site=flow.site, nodes={name: spec.type.name})
                log = self._logs[name] = _Log(name, cache_keys[name], self.folder, header)
                recorder = Recorder(spec=spec, log=log)
                nodes[name] = msgspec.structs.replace(spec, settings=recorder)
        except OSError as error:
            self.diagnostic = f"{self.folder}: {error.strerror}"
        return msgspec.structs.replace(flow, nodes=nodes)

    def done(self) -> None:
        """The replay came to its end: keep what was made, and remove what no longer belongs to it.

        Raises FlowError where results that were played turned out to be damaged.
        """
        for results in self._played.values():
            if results.torn:
                what = "these results of an earlier replay are damaged"
                hint = f"remove {self.folder}, or replay with --fresh"
                raise FlowError(
                    [Diagnostic(file=str(results.path), line=0, column=0, path="", message=what, hint=hint)]
                )
        for name, log in self._logs.items():
            if log.close() and not self._recording.torn:
                self._index[name] = _Entry(cache_key=log.cache_key, file=log.file.name, through=log.through)
        belonging = {entry.file for entry in self._index.values()}
        try:
            fresh = self.folder / f"{INDEX}.new"
            fresh.write_bytes(msgspec.json.encode(self._index))
            fresh.replace(self.folder / INDEX)
            for file in self.folder.glob("*.results"):
                if file.name not in belonging:
                    file.unlink(missing_ok=True)
        except OSError as error:
            self.diagnostic = f"{self.folder}: {error.strerror}"


class _Log:
    """What one node makes, as it is written down."""

    def __init__(self, name: str, cache_key: str, folder: Path, header: Header) -> None:
        self.name, self.cache_key = name, cache_key
        self.file = folder / f"{name}-{cache_key[:16]}.results"
        self.file.unlink(missing_ok=True)
        self.writer = Writer(self.file, header)
        self.through, self._whole = True, True
        self._taken = 0

    def add(self, made: list[Message]) -> None:
        """Write down what became of the next message."""
        self._taken += 1
        self.through &= len(made) == 1 and bool(made[0].columns)
        self._write(self._taken, made)

    def add_last(self, made: list[Message]) -> None:
        """Write down what was made as the flow ended."""
        self._write(0, made)

    def give_up(self) -> None:
        """What was written is of no use."""
        self._whole = False

    def close(self) -> bool:
        """Whether everything is there."""
        try:
            self.writer.close()
        except OSError:
            self._whole = False
        return self._whole

    def _write(self, cause: int, made: list[Message]) -> None:
        self._whole &= all(map(self.writer.keeps, made))
        if not made or not self._whole:
            return
        try:
            self.writer.cause(cause)
            for message in made:
                self.writer.write(self.name, message)
        except OSError:  # the disk is full: no reason to end the replay
            self._whole = False


class Recorder(Transform):
    """Does what another node does, in its place, and writes down what that makes of each message."""

    spec: Any = None
    log: Any = None

    def open(self, context: Context) -> None:
        spec: NodeSpec = self.spec
        self._node: Any = spec.instance()
        open_node(self._node, context)
        for field in spec.type.ports.side_inputs:
            self.__dict__[f"on_{field}"] = getattr(self._node, f"on_{field}")

    def process(self, message: Message) -> list[Message]:
        try:
            made = self._node.process(message)
            made = [made] if isinstance(made, Message) else list(made or ())
        except Exception:
            self.log.give_up()
            raise
        self.log.add(made)
        return made

    def finish(self) -> list[Message]:
        made = list(self._node.finish())
        self.log.add_last(made)
        return made

    def close(self) -> None:
        close_node(self._node)


class Replayer(Transform):
    """Answers each message with what a node made of it before. through: nobody needs that, so the message itself goes on."""

    results: Any = None
    through: bool = False

    def open(self, context: Context) -> None:
        self._results: Iterator[tuple[int, list[Message]]] = self.results.by_cause()
        self._next = None if self.through else next(self._results, None)
        self._taken = 0

    def process(self, message: Message) -> list[Message]:
        if self.through:
            return [message]
        self._taken += 1
        return self._answer(self._taken)

    def finish(self) -> list[Message]:
        return self._answer(0)

    def _answer(self, cause: int) -> list[Message]:
        if self._next is None or self._next[0] != cause:
            return []
        made: list[Message] = self._next[1]
        self._next = next(self._results, None)
        return made


def _cache_keys(flow: Flow, recorded: Collection[str], recording: str) -> dict[str, str]:
    """For each node that can be kept, a text that is another one once anything has changed that its results follow from."""
    cache_keys = {name: f"{recording} {name}" for name in recorded}
    program = cache(_program)
    for name in flow.order():
        spec = flow.nodes[name]
        sources = {edge.source for edge in spec.edges}
        if name in cache_keys or not sources or not spec.settings.repeatable or not sources <= cache_keys.keys():
            continue
        given = [
            name, flow.name, flow.site, spec.type.name, program(Path(spec.type.file)), program(Path(__file__)), sys.version,
            np.__version__, spec.settings, flow.entries_of(name), flow.services, sorted(spec.reads.values()),
            [(edge.field, edge.port, cache_keys[edge.source]) for edge in spec.edges],
        ]  # fmt: skip
        cache_keys[name] = hashlib.sha256(msgspec.json.encode(given)).hexdigest()
    return {name: cache_key for name, cache_key in cache_keys.items() if name not in recorded}


def _program(file: Path) -> str:
    """What is in the Python files of the package, or the folder, that this one belongs to: helpers count, too."""
    folder = file.parent
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return hashlib.sha256("".join(map(fingerprint, sorted(folder.rglob("*.py")))).encode()).hexdigest()
