"""What is made from the contract: fresh, and right in the eyes of those who use it (AsyncAPI's parser, Mosquitto)."""

from __future__ import annotations

import json
import os
import queue
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from servers import missing, mosquitto, need

from flowrt.cli import main
from flowrt.contract import Contract
from flowrt.contract.acl import acl
from flowrt.contract.asyncapi import asyncapi
from flowrt.contract.documents import measurements_page, topics_page

WRITER, SIGNALLER, READERS = "flowrt", "signals", ("grafana", "reader")
"""The users of schemas/access.json."""

PROJECT = Path(__file__).resolve().parents[2]
CONTRACT = Contract.load()
MADE = {
    "docs/topics.md": ("flowrt contract docs -o docs", topics_page(CONTRACT)),
    "docs/measurements.md": ("flowrt contract docs -o docs", measurements_page(CONTRACT)),
    "schemas/asyncapi.yaml": ("flowrt contract asyncapi -o schemas/asyncapi.yaml", asyncapi(CONTRACT)),
    "docker/mosquitto/acl": ("flowrt contract acl -o docker/mosquitto/acl", acl(CONTRACT)),
}
PREFIXES = ["smartintersection", "smartintersection/main-and-5th"]


@pytest.mark.parametrize("name", MADE)
def test_committed_documents_are_fresh(name: str) -> None:
    command, text = MADE[name]
    assert (PROJECT / name).read_text("utf-8") == text, f"{name} is stale: run `{command}` and commit it"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["docs", "-o", "{out}"], "topics.md"),
        (["docs", "-o", "{out}"], "measurements.md"),
        (["asyncapi", "-o", "{out}/asyncapi.yaml"], "asyncapi.yaml"),
        (["acl", "-o", "{out}/acl"], "acl"),
    ],
)
def test_the_command_writes_them(arguments: list[str], name: str, tmp_path: Path) -> None:
    assert main(["contract", *(word.format(out=tmp_path) for word in arguments)]) == 0
    (text,) = (text for path, (_, text) in MADE.items() if path.endswith(name))
    assert (tmp_path / name).read_text("utf-8") == text


def test_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "acl", "--prefix", "city"]) == 0
    assert "topic write city/violations\n" in capsys.readouterr().out


def test_the_command_takes_further_schemas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topic = {"title": "T", "description": "D.", "x-mqtt": {"topic": "noise"}, "type": "string", "examples": ["x"]}
    (tmp_path / "noise.schema.json").write_text(json.dumps(topic))
    assert main(["contract", "docs", "--schemas", str(tmp_path)]) == 0
    assert "## noise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["docs", "--schemas", "nowhere"], 2, "nowhere is no folder"),
        (["asyncapi", "-o", "no/such/folder/file"], 3, "No such file or directory"),
        (["acl", "--schemas", "{bad}"], 1, "no JSON"),
    ],
)
def test_the_command_fails_in_words(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.schema.json").write_text("{")
    assert main(["contract", *(word.format(bad=tmp_path) for word in arguments)]) == code
    assert said in capsys.readouterr().err


def test_pages_speak_of_every_name() -> None:
    topics, measurements = MADE["docs/topics.md"][1], MADE["docs/measurements.md"][1]
    for topic in CONTRACT.topics.values():
        assert f"\n## {topic.topic}\n" in topics
        assert all(f"\n| `{name}` |" in topics for name in topic.schema.get("properties", {}))
    for measurement in CONTRACT.measurements.values():
        assert f"\n## {measurement.name}\n" in measurements
        assert all(f"\n| `{name}` |" in measurements for name in (*measurement.tags, *measurement.fields))


# --- AsyncAPI --------------------------------------------------------------------------------------------------------


def test_the_parser_of_asyncapi_finds_nothing_wrong() -> None:
    modules = Path(os.environ.get("FLOWRT_NODE_MODULES", PROJECT / "tests/nodejs/node_modules"))
    (node,) = need("node")
    if not (modules / "@asyncapi/parser").is_dir():
        missing(f"@asyncapi/parser is not in {modules}: run `npm install` in tests/nodejs")
    script = PROJECT / "tests/nodejs/asyncapi.mjs"
    done = subprocess.run(
        [node, script, PROJECT / "schemas/asyncapi.yaml", modules],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["diagnostics"] == []
    assert answer["channels"] == [f"{{prefix}}/{topic}" for topic in sorted(CONTRACT.topics)]


def test_asyncapi_says_how_each_topic_is_sent() -> None:
    document: dict[str, Any] = yaml.safe_load(asyncapi(CONTRACT))
    for topic in CONTRACT.topics.values():
        key = topic.topic.replace("/", "_")
        binding = document["operations"][f"publish_{key}"]["bindings"]["mqtt"]
        assert (binding["qos"], binding["retain"]) == (topic.qos, topic.retain)
        assert binding.get("messageExpiryInterval") == topic.expiry_s
        examples = [example["payload"] for example in document["components"]["messages"][key]["examples"]]
        assert examples == topic.schema["examples"]


# --- Mosquitto -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real Mosquitto with the committed access list and a password for each user (its name)."""
    users = {user: user for user in (WRITER, SIGNALLER, *READERS)}
    access = (PROJECT / "docker/mosquitto/acl").read_text()
    # A bounded queue: with an unbounded one, Mosquitto 2.0.11 closes the connection on which it denied a message.
    extra = "sys_interval 1\nmax_queued_messages 1000"
    with mosquitto(tmp_path_factory.mktemp("broker"), users=users, acl=access, extra=extra) as running:
        yield running.port


class Client:
    """A client that waits for each answer of the broker."""

    def __init__(self, port: int, user: str) -> None:
        self.answers: queue.Queue[Any] = queue.Queue()
        self.got: queue.Queue[str] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(user, user)
        self.client.on_connect = lambda c, u, flags, reason, props: self.answers.put(reason)
        self.client.on_publish = lambda c, u, number, reason, props: self.answers.put(reason)
        self.client.on_subscribe = lambda c, u, number, reasons, props: self.answers.put(reasons[0])
        self.client.on_message = lambda c, u, message: self.got.put(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.answers.get(timeout=10) == "Success"

    def publish(self, topic: str) -> ReasonCode:
        self.client.publish(topic, b"x", qos=1)
        return self.answers.get(timeout=10)

    def subscribe(self, topic: str) -> ReasonCode:
        self.client.subscribe(topic, qos=1)
        return self.answers.get(timeout=10)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


DENIED = ReasonCode(PacketTypes.PUBACK, "Not authorized")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_flowrt_writes_its_topics_and_readers_read_them(broker: int, prefix: str, reader: str) -> None:
    with Client(broker, reader) as listening, Client(broker, WRITER) as writing:
        assert not listening.subscribe(f"{prefix}/#").is_failure
        for topic in CONTRACT.topics:
            assert not writing.publish(f"{prefix}/{topic}").is_failure
        assert {listening.got.get(timeout=10) for _ in CONTRACT.topics} == {f"{prefix}/{t}" for t in CONTRACT.topics}


@pytest.mark.parametrize(
    "topic",
    ["smartintersection/violation", "smartintersection/a/b/violations", "spat/main-and-5th", "violations", "lab"],
)
def test_flowrt_writes_nothing_else(broker: int, topic: str) -> None:
    with Client(broker, WRITER) as writing:
        assert writing.publish(topic) == DENIED


@pytest.mark.parametrize("reader", READERS)
def test_readers_write_nothing(broker: int, reader: str) -> None:
    with Client(broker, reader) as client:
        assert client.publish("smartintersection/violations") == DENIED
        assert client.publish("spat/main-and-5th") == DENIED


def test_signal_controllers_speak_and_flowrt_hears_them(broker: int) -> None:
    with Client(broker, WRITER) as listening, Client(broker, SIGNALLER) as controller:
        assert not listening.subscribe("spat/#").is_failure
        assert not controller.publish("spat/main-and-5th").is_failure
        assert listening.got.get(timeout=10) == "spat/main-and-5th"
        assert controller.publish("smartintersection/violations") == DENIED


def test_nobody_hears_what_is_not_theirs(broker: int) -> None:
    with Client(broker, SIGNALLER) as deaf, Client(broker, READERS[0]) as reader, Client(broker, WRITER) as writing:
        deaf.subscribe("smartintersection/#")
        reader.subscribe("#")
        assert not writing.publish("scenescape/data/camera/north").is_failure
        assert not writing.publish("smartintersection/violations").is_failure
        assert reader.got.get(timeout=10) == "smartintersection/violations"  # not SceneScape's, which came before
        assert deaf.got.empty()


def test_the_broker_says_that_it_lives(broker: int) -> None:
    with Client(broker, WRITER) as client:
        client.subscribe("$SYS/broker/uptime")
        assert client.got.get(timeout=10) == "$SYS/broker/uptime"
