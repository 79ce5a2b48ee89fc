"""Third parties: schemas in a folder beside the flow, for message types of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from flowrt.config import read
from flowrt.contract import Contract
from flowrt.message import Count, Event, Message, Record
from tests.contract.messages import CAMERA, SITE, TIME_S, violation


class Noise(Event, frozen=True, kw_only=True, eq=False):
    """A loud vehicle."""

    port: ClassVar[str] = "noise"

    level_db: float
    vehicles: Count = 1


def text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


TOPIC = {
    "title": "Noise",
    "description": "A loud vehicle.",
    "x-mqtt": {"topic": "noise", "qos": 2, "expiry_s": 600, "message": "Noise"},
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "time", "site", "level_db"],
    "properties": {
        **{name: text(name) for name in ("id", "time", "site", "camera_id")},
        "level_db": {"type": "number", "description": "Decibel."},
        "vehicles": {"type": "integer", "minimum": 0, "description": "How many."},
    },
    "examples": [],
}
MEASUREMENT = {
    "title": "Noise",
    "description": "Loud vehicles.",
    "x-influx": {
        "measurement": "noise",
        "message": "Noise",
        "tags": {"site": "site"},
        "fields": {"level_db": {"from": "level_db", "type": "float"}},
    },
    "properties": {"site": {}, "level_db": {}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "noise-topic.schema.json").write_text(json.dumps(TOPIC))
    below = tmp_path / "measurements"
    below.mkdir()
    (below / "noise.schema.json").write_text(json.dumps(MEASUREMENT))
    (tmp_path / "something-else.schema.json").write_text('{"type": "object"}')
    return tmp_path


def noise() -> Noise:
    return Noise(time_s=TIME_S, camera_id=CAMERA, id="n1", level_db=91.5)


def test_a_third_partys_message_is_carried(folder: Path) -> None:
    contract = Contract.load(extra=[folder])
    spec = contract.topic(noise())
    assert (spec.topic, spec.qos, spec.expiry_s, spec.priority) == ("noise", 2, 600, "event")
    assert contract.incompatibilities(Noise, "topics") == contract.incompatibilities(Noise, "measurements") == []
    payload = contract.payload(noise(), SITE)
    assert payload["level_db"] == 91.5
    assert contract.validate_payload(noise(), payload) == []
    assert contract.validate_payload("noise", payload | {"level_db": "loud"}) != []
    assert contract.lines(noise(), SITE) == [b"noise,site=main-and-5th level_db=91.5 1777888800250000000"]


def test_the_built_in_ones_stay(folder: Path) -> None:
    contract = Contract.load(extra=[folder])
    assert contract.topic(violation()).topic == "violations"
    assert set(contract.topics) == set(Contract.load().topics) | {"noise"}
    assert set(contract.files) > {folder / "noise-topic.schema.json", folder / "measurements" / "noise.schema.json"}


def test_a_topic_may_be_replaced(tmp_path: Path) -> None:
    own = json.loads(json.dumps(Contract.load().topics["violations"].schema))
    own["x-mqtt"]["qos"] = 1
    (tmp_path / "violations.schema.json").write_text(json.dumps(own))
    assert Contract.load(extra=[tmp_path]).topic(violation()).qos == 1


def test_a_record_finds_the_schema_of_its_topic(folder: Path) -> None:
    contract = Contract.load(extra=[folder])
    record = Record(time_s=TIME_S, data={"level_db": "loud"}, topic="noise")
    assert contract.topic(record).qos == 2
    assert contract.validate_payload(record, contract.payload(record, SITE)) != []


def test_a_folder_that_is_not_there_is_no_problem(tmp_path: Path) -> None:
    assert set(Contract.load(extra=[tmp_path / "schemas"]).topics) == set(Contract.load().topics)


def test_without_a_schema_it_is_refused() -> None:
    contract = Contract.load()
    for reason in (*contract.incompatibilities(Noise, "topics"), *contract.incompatibilities(Noise, "measurements")):
        assert "Noise" in reason
    assert issubclass(Noise, Message)


NODE = '''
from typing import ClassVar, Iterator
from flowrt import Event, Source

class Noise(Event, frozen=True, kw_only=True, eq=False):
    """A loud vehicle."""

    port: ClassVar[str] = "noise"

    level_db: float
    vehicles: int = 1


class Microphone(Source):
    """Hears loud vehicles."""

    def produce(self) -> Iterator[Noise]:
        yield Noise(time_s=self.context.clock.now_s(), id="n1", level_db=91.5)
'''
FLOW = """
flow: noise
nodes:
  street: {type: microphone}
  out: {type: mqtt_out, from: street}
"""


@pytest.mark.parametrize(
    ("change", "reason"), [({}, None), ({"level_db": {"type": "string"}}, "level_db: the schema wants")]
)
def test_a_flow_is_loaded_with_the_schemas_beside_it(
    tmp_path: Path, change: dict[str, Any], reason: str | None
) -> None:
    flow = tmp_path / "noise.yaml"
    flow.write_text(FLOW)
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "microphone.py").write_text(NODE)
    _, diagnostics = read(flow)
    assert [p.message for p in diagnostics if "no topic of the contract carries Noise" in p.message]
    properties = {**TOPIC["properties"], "vehicles": {"type": "integer"}, **change}  # type: ignore[dict-item]
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "noise.schema.json").write_text(json.dumps({**TOPIC, "properties": properties}))
    _, diagnostics = read(flow)
    assert (not diagnostics) if reason is None else any(reason in p.message for p in diagnostics), diagnostics
