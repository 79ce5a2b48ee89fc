"""What nodes made during a replay, kept beside the recording: a replay that changes one rule runs only that rule again.

A node whose results may be kept declares it (`Node.repeatable`). In the next replay, a node about which nothing has changed is replaced
by one that answers each message with what was made of it before. All edges stay as they are, so events come in the same order, too.

Invariants
- A node is only replaced where the recording, everything that the flow gives it, its program, and all of that of the nodes upstream
  are what they were: `_cache_keys`.
- What a node made that failed, or of a recording whose end is damaged, is not kept.
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

from flowrt.diagnostics import Diagnostic, FlowError, Mark
from flowrt.flow import FROM, Flow, NodeSpec
from flowrt.message import Message
from flowrt.node import Context, Transform, close_node, open_node
from flowrt.system.fingerprint import fingerprint
from flowrt.testing.recording import Header, Recording
from flowrt.testing.recording_store import RecordingStore, UnfinishedRecording

KEY_LENGTH = 32
SUFFIX = ".results"
THROUGH = ".through"
"""Stands in the name of results where each message became exactly one message of columns."""


class ReplayCache:
    """The results kept for one recording, in a folder beside it. diagnostic: why nothing could be kept, if so."""

    def __init__(self, recording: Recording) -> None:
        self.folder = recording.path.with_name(recording.path.name + ".kept")
        self.diagnostic = ""
        self._store = RecordingStore(self.folder, SUFFIX)
        self._recording = recording
        self._logs: list[_Log] = []
        self._replayed: dict[str, Recording] = {}

    def applied_to(self, flow: Flow, recorded: Collection[str]) -> Flow:
        """The flow of a replay with replayers where results are kept, and recorders where they will be.

        recorded: the nodes in whose place the recording's messages are. Raises FlowError where results are damaged.
        """
        cache_keys = _cache_keys(flow, recorded, fingerprint(self._recording.path))
        files = {name: self._store.find(name, key) for name, key in cache_keys.items()}
        self._replayed = {name: Recording(file) for name, file in files.items() if file is not None}
        needed = {edge.source for edge in flow.edges if edge.target not in self._replayed}
        nodes = dict(flow.nodes)
        for name, results in self._replayed.items():
            through = THROUGH in results.path.suffixes and name not in needed
            edges = tuple(edge for edge in nodes[name].edges if edge.field == FROM)
            replayer = Replayer(results=results, through=through)
            nodes[name] = msgspec.structs.replace(nodes[name], settings=replayer, edges=edges)
        try:
            for name in cache_keys.keys() - self._replayed:
                spec = nodes[name]
                header = Header(flow=flow.name, site=flow.site, nodes={name: spec.type.name})
                log = _Log(name, self._store.begin(name, cache_keys[name], header))
                self._logs.append(log)
                nodes[name] = msgspec.structs.replace(spec, settings=Recorder(spec=spec, log=log))
        except OSError as error:
            self.diagnostic = f"{self.folder}: {error.strerror}"
        return msgspec.structs.replace(flow, nodes=nodes)

    def done(self) -> None:
        """The replay came to its end: keep what was made, and remove what no longer belongs to it.

        Raises FlowError where results that were replayed turned out to be damaged.
        """
        for results in self._replayed.values():
            if results.torn:
                what = "these results of an earlier replay are damaged"
                hint = f"remove {self.folder}, or replay with --fresh"
                raise FlowError([Diagnostic.at(Mark(str(results.path)), "", what, hint)])
        try:
            made = [log.close(keep=not self._recording.torn) for log in self._logs]
            kept = [results.path for results in self._replayed.values()]
            self._store.remove_others([*kept, *(file for file in made if file is not None)])
        except OSError as error:
            self.diagnostic = f"{self.folder}: {error.strerror}"


class _Log:
    """What one node makes, as it is written down."""

    def __init__(self, name: str, recording: UnfinishedRecording) -> None:
        self.name = name
        self._recording = recording
        self._through, self._complete = True, True
        self._count = 0

    def add(self, made: list[Message]) -> None:
        """Write down what became of the next message."""
        self._count += 1
        self._through &= len(made) == 1 and bool(made[0].columns)
        self._write(self._count, made)

    def add_last(self, made: list[Message]) -> None:
        """Write down what was made as the flow ended."""
        self._write(0, made)

    def give_up(self) -> None:
        """What was written is of no use."""
        self._complete = False

    def close(self, *, keep: bool) -> Path | None:
        """The complete file; None where it was not to be kept. Raises OSError."""
        if not keep or not self._complete:
            self._recording.discard()
            return None
        return self._recording.finish(THROUGH if self._through else "")

    def _write(self, cause: int, made: list[Message]) -> None:
        writer = self._recording.writer
        self._complete &= all(map(writer.keeps, made))
        if not made or not self._complete:
            return
        try:
            writer.cause(cause)
            for message in made:
                writer.write(self.name, message)
        except OSError:  # the disk is full: no reason to end the replay
            self._complete = False


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
    """Answers each message with what a node made of it before. through: no node needs that, so the message itself goes on."""

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
    """By node whose results can be kept, a digest of everything that they depend on."""
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
        cache_keys[name] = hashlib.sha256(msgspec.json.encode(given)).hexdigest()[:KEY_LENGTH]
    return {name: cache_key for name, cache_key in cache_keys.items() if name not in recorded}


def _program(file: Path) -> str:
    """What is in the Python files of the package, or the folder, that this one belongs to: helpers count, too."""
    folder = file.parent
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return hashlib.sha256("".join(map(fingerprint, sorted(folder.rglob("*.py")))).encode()).hexdigest()
