from my_node import MyNode

from flowrt.testing import run, tracks


def test_only_those_seen_for_a_while_pass() -> None:
    [passed] = run(MyNode(older_than_s=2.0), [tracks(age_s=[0.5, 3.0, 2.0])])
    assert passed.track_id.tolist() == [2]
