"""file_out: messages into a file, as NDJSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from flowrt import (
    Acknowledger,
    CheckView,
    Context,
    Diagnostic,
    Event,
    Message,
    Outbox,
    OutboxRecord,
    Retry,
    event_id,
    setting,
)
from flowrt_nodes._lib.payload import plain


class FileOut(Outbox, kw_only=True):
    """Append messages to a file: a JSON object per line (NDJSON), or CSV.

    When the file would grow beyond `max_mb` it becomes FILE.1, the former FILE.1 becomes FILE.2, and so on; at most `keep` old files
    stay. CSV has the fields named in `columns` (`object.track_id` for nested ones); without them, the plain fields of the first
    message, and those of the header where the file has one already.
    """

    path: Annotated[
        str,
        setting("File, relative to the flow file's folder; `{data}` is the data folder.", min_length=1, restart=True),
    ]
    format: Annotated[
        Literal["auto", "ndjson", "csv"], setting("auto: CSV for names that end in .csv.", restart=True)
    ] = "auto"
    columns: Annotated[list[str], setting("Fields of a CSV file, in order.", restart=True)] = []
    max_mb: Annotated[float, setting("Size at which a new file is begun.", gt=0, le=100_000)] = 100.0
    keep: Annotated[int, setting("Old files kept.", ge=0, le=1000)] = 5

    guarantee: ClassVar[str] = (
        "At least once: a message is journalled before it counts as accepted, and leaves the journal once its line is on "
        "disk. After a crash the last lines may appear twice; half a line is cut off."
    )
    example: ClassVar[str] = """\
to_file: {type: file_out, from: red_light, path: violations.ndjson}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.columns and not self._is_csv:
            yield Diagnostic(("columns",), "only CSV files have columns", "name the file *.csv or set `format: csv`")
        if "{data}" not in self.path:
            folder = (view.folder / self.path).parent
            if not folder.is_dir():
                yield Diagnostic(("path",), f"the folder '{folder}' does not exist", "make it, or use {data}/…")

    def open(self, context: Context) -> None:
        self._file = context.path(self.path.replace("{data}", str(context.data)))
        self._header = list(self.columns)
        self._written = 0
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.is_dir():
            raise ValueError(f"{self._file} is a folder; a file was expected")
        self._mend()

    def encode(self, message: Message) -> Iterable[OutboxRecord]:
        values = plain(message)
        body = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str).encode()
        if isinstance(message, Event):
            name = f"{message.id}-{values.get('phase', '')}-{message.time_s:.3f}"
        else:
            name = event_id(message.port, message.camera_id, f"{message.time_s:.6f}", body)
        violation = values.get("violation_type") is not None
        priority: Literal["critical", "event", "telemetry"] = "critical" if violation else "telemetry"
        if isinstance(message, Event) and not violation:
            priority = "event"
        yield OutboxRecord(id=name, time_s=message.time_s, address=self._file.name, body=body, priority=priority)

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        if not records:
            return
        try:
            self._append(records)
        except OSError as error:
            raise Retry(f"can't write {self._file}: {error.strerror or error}") from error
        for record in records:
            acknowledger.delivered(record)

    def status(self) -> dict[str, Any]:
        return {"file": str(self._file), "written": self._written}

    @property
    def _is_csv(self) -> bool:
        return self.format == "csv" or (self.format == "auto" and self.path.lower().endswith(".csv"))

    def _append(self, records: Sequence[OutboxRecord]) -> None:
        """Write all records and see them on disk, or leave the file as it was."""
        lines = [self._line(record) for record in records]
        size = self._file.stat().st_size if self._file.exists() else 0
        if size and size + sum(map(len, lines)) > self.max_mb * 1e6:
            self._rotate()
            size = 0
        head = self._csv_line(self._header) if self._is_csv and size == 0 else b""
        with self._file.open("ab") as out:
            try:
                out.write(head + b"".join(lines))
                out.flush()
                os.fsync(out.fileno())
            except OSError:
                os.truncate(self._file, size)
                raise
        self._written += len(records)

    def _line(self, record: OutboxRecord) -> bytes:
        if not self._is_csv:
            return record.body + b"\n"
        values = json.loads(record.body)
        if not self._header:
            self._header = self._old_header() or [
                name for name, value in values.items() if not isinstance(value, dict | list)
            ]
        return self._csv_line([_field(values, name) for name in self._header])

    def _old_header(self) -> list[str]:
        if not self._file.exists():
            return []
        with self._file.open(newline="", encoding="utf-8") as old:
            return next(csv.reader(old), [])

    @staticmethod
    def _csv_line(values: Sequence[Any]) -> bytes:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        return line.getvalue().encode()

    def _rotate(self) -> None:
        for number in range(self.keep, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self._file
            if newer.exists():
                newer.replace(older)
        self._file.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}")

    def _mend(self) -> None:
        """Cut off half a line that a crash left behind."""
        if not self._file.exists() or self._file.stat().st_size == 0:
            return
        with self._file.open("rb+") as old:
            end = old.seek(0, os.SEEK_END)
            reach = min(end, 1 << 20)
            old.seek(end - reach)
            tail = old.read(reach)
            if not tail.endswith(b"\n"):
                old.truncate(end - reach + tail.rfind(b"\n") + 1)


def _field(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, dict | list):
        return json.dumps(found, ensure_ascii=False)
    return "" if found is None else found
