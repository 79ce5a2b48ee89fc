"""Nodes: what a flow is made of, and what the author of one has to know.

A node is a class whose fields are its settings and whose `process` annotations are its ports:

    class SpeedGate(Transform):
        \"\"\"Pass on only the vehicles faster than a limit.\"\"\"

        faster_than_kmh: float = 50.0

        def process(self, tracks: Tracks) -> Tracks:
            return tracks[tracks.speed_kmh > self.faster_than_kmh]

Invariants the runtime keeps for the author
- `open` is called once before the first message, `close` once after the last; nothing else is called outside of that, `status`
  included. A node whose `open` raised is not closed: what it had taken by then it hands to `on_close`.
- `process`, `finish`, `reconfigured`, `export_state` and `import_state` of one node never run at the same time.
  One exception: a hook that hangs is left behind after a while (`docs/reload.md`), and the node goes on without it.
- `open`, `reconfigured`, `finish`, `close` and the hand-over of memory each run on a thread of their own, so nothing of theirs may belong to a thread.
- Messages of one camera arrive in capture order, also across a reload.
- An edit of the flow file sets the changed fields on the living node and calls `reconfigured`; a field declared with
  `restart=True` makes a new node instead. Memory belongs in private attributes (`self._open_tracks`), set in `open`.
- An author raises `Retry` or `Reject`, from a sink. Whatever else is raised is contained, counted and reported.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

import msgspec

from flowrt.clock import Clock
from flowrt.contract import Contract
from flowrt.diagnostics import Diagnostic
from flowrt.message import Message
from flowrt.sink import Acknowledger, OutboxRecord
from flowrt.system.signed_links import SignedLinks
from flowrt.system.threads import Supervisor

M = TypeVar("M", bound=Message)
"""For nodes that pass on whatever they get: `def process(self, message: M) -> M | None`."""


class BadInput(ValueError):
    """What came in does not fit the node's settings, and the text says what to do: told without line and traceback, as no bug."""


def setting(
    description: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    pattern: str | None = None,
    min_length: int | None = None,
    examples: list[Any] | None = None,
    restart: bool = False,
    secret: bool = False,
    renamed_from: str = "",
    inherited: bool = False,
) -> msgspec.Meta:
    """Describe a setting: `limit_kmh: Annotated[float, setting("Speed limit.", gt=0)] = 50.0`.

    restart: a change needs a new node (a connection, a model); without it the change is made in place.
    secret: the value must come from `${env:…}` or `${file:…}` and is shown as `***` everywhere.
    renamed_from: its former name, which still works in flow files, with a warning.
    inherited: a setting that names something; where the file does not give it, it is what the nodes upstream name, else the only thing
        of that kind in the flow.
    The unit is the end of the name: _s, _ms, _px, _m, _kmh, _deg, _mb.
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt, "pattern": pattern, "min_length": min_length}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    extra = {"restart": restart, "secret": secret, "renamed_from": renamed_from} | (
        {"inherited": True} if inherited else {}
    )
    return msgspec.Meta(description=description, examples=examples, extra=extra, **given)


def reference(kind: str, *, inherited: bool = False) -> msgspec.Meta:
    """Mark a setting whose value names something else in the file; the loader checks that it exists and editors complete it.

    kind: `node`, `service`, `file`, `side_input`; or the name of a section of the flow file, of a part of its entries, or of names
    that nodes publish, as the section declares them (`flowrt.config.sections`). inherited: as with `setting`.
    """
    return msgspec.Meta(extra={"kind": kind, "inherited": True} if inherited else {"kind": kind})


ServiceName = Annotated[str, reference("service")]
FilePath = Annotated[str, reference("file")]
"""A file that must exist; relative to the flow file's folder."""
NodeName = Annotated[str, reference("node")]
"""The name of a node that this one speaks of, without an edge."""
SideInput = Annotated[str, reference("side_input")]
"""The name of a node whose messages arrive at `on_<field>(self, message: T) -> None`: a second input with its own type."""


class RuntimeView(Protocol):
    """What a node may know about the runtime it lives in (health probes, debuggers)."""

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        """The content of `/api/status`. recent_s: sinks' latencies of the last seconds only, for reports of an interval."""
        ...


T = TypeVar("T")


class Shared:
    """Things several nodes use together (a compiled model, a broker), counted; the last one to let go closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[object, tuple[Any, int]] = {}
        self._making: dict[object, threading.Lock] = {}

    def acquire(self, key: object, make: Callable[[], T]) -> T:
        """The thing under `key`, made where there is none yet. What `make` raises is raised here."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:  # one maker per key; others with the same key wait, other keys do not
            with self._lock:
                if key in self._items:
                    item, users = self._items[key]
                    self._items[key] = item, users + 1
                    return item  # type: ignore[no-any-return]
            made = make()
            with self._lock:
                self._items[key] = made, 1
            return made

    def release(self, key: object) -> None:
        """Let go. The last user's release calls the thing's `close()`, where it has one."""
        with self._lock:
            item, users = self._items[key]
            if users > 1:
                self._items[key] = item, users - 1
                return
            del self._items[key]
        close = getattr(item, "close", None)
        if close is not None:
            close()


class Context(msgspec.Struct, kw_only=True):
    """What a node is given when it opens.

    entries: by setting, what the node's settings name in sections of the flow file (`entries["scene"]`); exchanged before
    `reconfigured` when it was edited. services: the flow's `services` block, secrets resolved. contract: the schemas of topics and measurements.
    folder: the flow file's folder. data: where the flow's journal, snapshots and model cache live.
    stopping: set when the node shall come to an end; sources look at it. supervisor: for threads of its own that live as long as the
    node: `context.supervisor.thread(name, target)`. What ends one is then in log, status and readiness.
    links: addresses of files in `data` that a browser may open without a password; None in tests and replays.
    """

    node: str
    flow: str
    site: str
    folder: Path
    data: Path
    clock: Clock
    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    shared: Shared
    runtime: RuntimeView
    contract: Contract
    entries: Mapping[str, Any] = {}
    services: Mapping[str, Any] = {}
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)
    supervisor: Supervisor = msgspec.field(default_factory=Supervisor)
    links: SignedLinks | None = None

    def path(self, name: str) -> Path:
        """A path of the flow file, made absolute."""
        return (self.folder / name).resolve()


class CheckView(Protocol):
    """What a node's `check` may look at before anything runs."""

    folder: Path
    services: Mapping[str, Any]

    def entry(self, section: str, name: str) -> Any:
        """The entry of that name in a section of the flow file, None where there is none."""
        ...

    def published(self, kind: str) -> frozenset[str]:
        """Names of a kind that nodes of the flow publish; empty where one of them does not say."""
        ...


class Node(msgspec.Struct, kw_only=True, dict=True, forbid_unknown_fields=True):
    """What every node has. Derive from `Source`, `Transform`, `Inference` or `Outbox`, not from this.

    requires, provides: columns or facts that must be filled upstream ("speed", "zones"), or that this node fills.
    uses: entries of the flow's `services` that the node connects to, besides those that its settings name (`ServiceName`); when one
        changes, the node is replaced.
    lazy: modules that a node imports only when it needs them; a running flow imports them ahead, so that adding a node is quick.
    example: a flow-file snippet, run by a test. guarantee: what a sink promises, or what a source drops.
    repeatable: the same messages under the same settings make the same results, and nothing else comes of them: a replay may keep
        the results instead of asking the node again.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    lazy: ClassVar[frozenset[str]] = frozenset()
    example: ClassVar[str] = ""
    guarantee: ClassVar[str] = ""
    repeatable: ClassVar[bool] = False

    @property
    def context(self) -> Context:
        """Given by the runtime before `open`."""
        return self._context

    def attach(self, context: Context) -> None:
        """Give the node its context; the runtime's part, and that of tests, before `open`."""
        self._context = context
        self._on_close = ExitStack()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Have this called when the node closes, the latest first, after `close`; also where `open` raises later on."""
        self._on_close.callback(callback)

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        """What is wrong with the settings beyond their types. Pure, quick, and without imports of heavy packages."""
        return ()

    def probe(self, view: CheckView) -> Iterable[Diagnostic]:
        """What outside does not answer as it should, such as a camera. Only `flowrt check --probe` asks, on a thread of the node's
        own; end within half a minute."""
        return ()

    def fetch(self, view: CheckView) -> Iterable[Diagnostic]:
        """Download what the settings name and is not here yet, such as a public model; before `check`, and only where the user allows it
        (`--fetch`)."""
        return ()

    def published(self, kind: str) -> Iterable[str]:
        """Names of a kind, such as signal groups, that this node publishes; known before it runs, empty where they are not."""
        return ()

    def files(self, folder: Path) -> Iterable[Path]:
        """Files that the node reads when it opens, such as a model: another content makes a new node. folder: the flow file's."""
        return ()

    def open(self, context: Context) -> None:
        """Get ready. What is raised here refuses the start or rolls the reload back."""

    def reconfigured(self, changed: frozenset[str]) -> None:
        """Settings, or the entries they name (as "scene"), were changed in place. What is raised here rolls the reload back."""

    def finish(self) -> Iterable[Message]:
        """Messages still owed when the flow ends or the node is removed."""
        return ()

    def close(self) -> None:
        """Let go of everything `open` took. Called once, only where `open` succeeded; see also `on_close`."""

    def export_state(self) -> Any:
        """Memory that a successor of the same type can take over; None where there is none."""
        return None

    def import_state(self, state: Any) -> None:
        """Take over what a predecessor of the same type exported."""

    def status(self) -> dict[str, Any]:
        """Facts for `/api/status`; called from other threads, so it only reads."""
        return {}


def open_node(node: Node, context: Context) -> None:
    """Attach and open. What `open` raises is raised here, after what it had registered with `on_close` was called."""
    node.attach(context)
    try:
        node.open(context)
    except BaseException:
        node._on_close.close()
        raise
    node._on_close.callback(node.close)


def close_node(node: Node) -> None:
    """Close an open node. Everything registered is called; of what raises, the last exception is raised here."""
    node._on_close.close()


class Source(Node):
    """Makes messages on a thread of its own.

    live: the outside does not wait. The runtime then puts a channel behind the source that keeps only the newest of what is
    `replaceable`, such as frames (each drop counted); every other message waits for its turn.
    endless: goes on for ever by itself (timers); a run ends when every other source has ended.
    """

    endless: ClassVar[bool] = False

    @property
    def live(self) -> bool:
        """Whether frames may be dropped when the flow is too slow."""
        return False

    @property
    def dropped(self) -> int:
        """How many messages the source dropped by itself since it opened, such as frames that were replaced by newer ones before they
        could be yielded. They count as come in and dropped."""
        return 0

    def produce(self) -> Iterator[Message | Sequence[Message]]:
        """Yield messages until the end or until `self.context.stopping` is set; several that are there at once as a list.

        With a virtual clock, yield as fast as possible: the runtime merges all sources by `time_s`.
        """
        raise NotImplementedError


class Transform(Node):
    """Turns a message into none, one or several, on the thread that brought it.

    Subclasses define `process`, whose annotations are the ports: `def process(self, tracks: Tracks) -> Tracks | ZoneEvent`.
    It returns None, one message, or an iterable of messages.
    """

    process: ClassVar[Callable[..., Any]]


Pending = TypeVar("Pending")


class Inference(Node, Generic[Pending]):
    """Work that runs elsewhere (an inference queue): begun by `submit`, fetched by `collect`, in order.

    in_flight: how many submitted messages may wait for `collect`; a full pipe blocks the sender.
    Annotate `submit`'s message and `collect`'s result: they are the ports. A submitted message is collected exactly once.
    """

    @property
    def in_flight(self) -> int:
        """The depth of the pipe."""
        return 2

    submit: ClassVar[Callable[..., Any]]
    """`def submit(self, frame: Frame) -> Pending | None`: begin; None says that the message is skipped."""
    collect: ClassVar[Callable[..., Any]]
    """`def collect(self, pending: Pending) -> Detections`: wait for the result."""


class Outbox(Node):
    """A sink that loses nothing: records are journalled, then delivered, at least once, in order of acceptance.

    `encode` runs on the thread that brought the message and must be quick; `deliver` runs on the outbox's own thread, so one dead service
    never holds up another. `window` is how many records may be under way.
    """

    durability: Annotated[
        Literal["batch", "commit"],
        setting("`commit` waits until each record is on disk; `batch` goes on and counts it as accepted once it is."),
    ] = "batch"

    @property
    def window(self) -> int:
        """Records under way at most."""
        return 1000

    @property
    def replay_per_s(self) -> float | None:
        """How fast a backlog is delivered beside new records, which then go first; None: strictly in order of acceptance."""
        return None

    @property
    def tick_s(self) -> float:
        """In how long `deliver` is called again at the latest, without records, while some are under way and no new ones come."""
        return 0.2

    @property
    def outside(self) -> object | None:
        """What an open node delivers to, such as an address: outboxes with an equal one tell each other when it is back. None: it is its own."""
        return None

    def outside_is_back(self) -> None:
        """Called, on a thread of its own choice, when another outbox got through to the same `outside`: a node that waits to connect tries now."""

    def reach(self) -> bool:
        """Asked now and then while nothing waits: whether the outside is there; False where that shows only as it delivers.

        Raise Retry where it is away, as `deliver` would.
        """
        return False

    encode: ClassVar[Callable[..., Any]]
    """`def encode(self, message: Message) -> Iterable[OutboxRecord]`"""

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        """Send, and say of each record what became of it, now or later, from any thread.

        Raise Retry where the outside is away: records without an acknowledgement are sent again, in order.
        """
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether there is an outside to deliver to; without one, records stay in the journal."""
        return True
