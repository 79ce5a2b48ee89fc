from pathlib import Path

from my_node import MyNode

from flowrt import Record
from flowrt.testing import context, deliver

RECORDS = [Record(time_s=float(n), data={"n": n}) for n in range(3)]


def test_each_message_is_a_line(tmp_path: Path) -> None:
    done = deliver(MyNode(path="out.ndjson"), RECORDS, context=context(tmp_path))
    assert len(done.sent) == 3
    assert (tmp_path / "out.ndjson").read_text().count("\n") == 3


def test_records_wait_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    done = deliver(MyNode(path="missing/out.ndjson"), RECORDS, context=context(tmp_path))
    assert (len(done.waiting), len(done.retries)) == (3, 3)
