from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from flowrt import Event, Letter, Outbox, Receipt, Retry, setting


class ToFolder(Outbox, kw_only=True):
    """Put each event into a shared folder as a JSON file; wait while the folder is away."""

    folder: Annotated[str, setting("Where the files go; a network share may come and go.", min_length=1)]

    def encode(self, event: Event) -> Iterator[Letter]:
        body = self.context.contract.encode_payload(event, self.context.site)
        yield Letter(id=event.id, time_s=event.time_s, address=f"{event.port}-{event.id}.json", body=body)

    def deliver(self, letters: Sequence[Letter], receipt: Receipt) -> None:
        folder = Path(self.context.path(self.folder))
        for letter in letters:
            try:
                (folder / letter.address).write_bytes(letter.body)
            except OSError as error:
                raise Retry(f"{folder}: {error.strerror}", after_s=1.0) from error
            receipt.delivered(letter)
