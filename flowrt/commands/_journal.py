"""Finding and opening the journal that a command is about."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flowrt.commands import Failure, UsageError
from flowrt.config.yaml import Scalar, read_document
from flowrt.diagnostics import Diagnostic, FlowError, did_you_mean
from flowrt.journal import REFUSED, JournalVersionError, JournalView, OutboxView, data_folder, journal_path

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@contextmanager
def open_journal(flow: str | None, *, write: bool = False) -> Iterator[JournalView]:
    """The journal of a flow: by flow file or name; without either, the only one there is. Raises UsageError, Failure."""
    path = journal_path(flow_name(flow)) if flow else _only_one()
    if not path.exists():
        names = [journal.stem for journal in _journals()]
        hint = did_you_mean(path.stem, names) if names else "no flow has run here yet"
        raise UsageError(f"there is no journal {path}; {hint}. Journals are looked for in $FLOWRT_DATA or .flowrt/")
    try:
        with JournalView(path, write=write) as view:
            yield view
    except JournalVersionError as error:
        raise Failure(str(error)) from error
    except sqlite3.Error as error:
        raise Failure(f"{path} can't be read: {error}") from error


def flow_name(flow: str) -> str:
    """The name that a flow file gives its flow; a word that is no file is a name itself."""
    path = Path(flow)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml"):
            raise UsageError(f"there is no file {flow}")
        return flow
    diagnostics: list[Diagnostic] = []
    document = read_document(path, flow, diagnostics)
    if document is None:
        raise FlowError(diagnostics)
    value = document.items.get("flow")
    name = str(value.value) if isinstance(value, Scalar) and value.value else ""
    return _read_name(flow) if "${" in name else name or path.stem


def _read_name(flow: str) -> str:
    """A name with `${…}` in it takes a whole load."""
    from flowrt.config import read

    loaded, diagnostics = read(flow)
    if loaded is None:
        raise FlowError(diagnostics)
    return loaded.name


def _journals() -> list[Path]:
    return sorted(data_folder().glob("*.journal"))


def _only_one() -> Path:
    found = _journals()
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no journal in {data_folder()}: no flow has run here yet, or FLOWRT_DATA is another")
    raise UsageError(f"name one of the flows: {', '.join(path.stem for path in found)}")


def since_s(text: str) -> float:
    """A point in time: `10m`, `2h`, `1d` ago, seconds since the epoch, or RFC 3339. Raises UsageError."""
    unit = _UNITS_S.get(text[-1:])
    try:
        if unit is not None:
            return time.time() - float(text[:-1]) * unit
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text}: expected 90s, 10m, 2h, 1d, or a time like 2026-05-04T10:00:00Z") from None
    return (moment if moment.tzinfo else moment.astimezone()).timestamp()


def refusal(outbox: OutboxView) -> str:
    """That a service refuses every message of a sink, why, since when, and what becomes of them, in a sentence or two."""
    verb = "refuses" if outbox.state == REFUSED else "refused, when the flow ran last,"
    messages = "1 message is" if outbox.pending == 1 else f"{outbox.pending} messages are"
    return (
        f"{outbox.name}: the service {verb} every message since {when(outbox.since_s)}: {outbox.last_error}. "
        f"{messages} held, and {'goes' if outbox.pending == 1 else 'go'} as soon as its configuration is fixed"
    )


def when(time_s: float) -> str:
    """RFC 3339, UTC, milliseconds; the number itself where it is no date."""
    try:
        return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError, TypeError):
        return f"{time_s} s"
