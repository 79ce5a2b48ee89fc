"""my_node: a sink; `flowrt run my_node.yaml` runs it."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from flowrt import Acknowledger, Message, Outbox, OutboxRecord, Retry, event_id, setting


class MyNode(Outbox, kw_only=True):
    """Append messages to a file, a JSON object per line; wait while it can't be written."""

    path: Annotated[str, setting("The file, relative to the flow file's folder.", min_length=1)]

    def encode(self, message: Message) -> Iterator[OutboxRecord]:
        body = self.context.contract.encode_payload(message, self.context.site)
        name = event_id(message.port, message.camera_id, message.time_s, body)
        yield OutboxRecord(id=name, time_s=message.time_s, address=self.path, body=body)

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        try:
            with self.context.path(self.path).open("ab") as file:
                file.writelines(record.body + b"\n" for record in records)
        except OSError as error:
            raise Retry(f"{self.path}: {error.strerror}", after_s=5.0) from error
        acknowledger.delivered_all(records)
