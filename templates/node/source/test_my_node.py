from my_node import MyNode

from flowrt.testing import run


def test_a_record_every_few_seconds() -> None:
    records = run(MyNode(every_s=2.0), until_s=7.0)
    assert [record.time_s for record in records] == [0.0, 2.0, 4.0, 6.0]
