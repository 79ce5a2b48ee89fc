from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from flowrt import Acknowledger, Event, Outbox, OutboxRecord, Retry, setting


class ToFolder(Outbox, kw_only=True):
    """Put each event into a shared folder as a JSON file; wait while the folder is away."""

    folder: Annotated[str, setting("Where the files go; a network share may come and go.", min_length=1)]

    def encode(self, event: Event) -> Iterator[OutboxRecord]:
        body = self.context.contract.encode_payload(event, self.context.site)
        yield OutboxRecord(id=event.id, time_s=event.time_s, address=f"{event.port}-{event.id}.json", body=body)

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        folder = Path(self.context.path(self.folder))
        for record in records:
            try:
                (folder / record.address).write_bytes(record.body)
            except OSError as error:
                raise Retry(f"{folder}: {error.strerror}", after_s=1.0) from error
            acknowledger.delivered(record)
