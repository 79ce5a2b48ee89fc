"""Inputs from the field that once were accepted silently or refused for the wrong reason; each is in the shared cases."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowrt import addresses
from flowrt.config import read
from flowrt.config.yaml import Unreadable, compose
from flowrt.diagnostics import Diagnostic
from flowrt.services.environment import Environment, UnreadableSecret
from flowrt.services.topics import topic_problem
from tests.harness import case_copy, case_folder

NO_VARIABLES: dict[str, str] = {}


def problems(folder: str, file: str = "flow.yaml", **variables: str) -> dict[str, Diagnostic]:
    """The problems of a case by their path."""
    flow, found = read(case_folder(folder) / file, environment=variables)
    assert (flow is None) == any(each.severity == "error" for each in found)
    return {each.path: each for each in found}


def test_fault_20_prefixes_and_topics_that_a_broker_refuses() -> None:
    found = problems("12")
    assert {path: each.message for path, each in found.items()} == {
        "nodes.a.prefix": "a prefix with the wildcard '+'",
        "nodes.b.prefix": "a prefix with a '/' at an end",
        "nodes.c.prefix": "a prefix with the unknown name {Site}",
        "nodes.wild.topic": "a topic with the wildcard '#'",
    }


@pytest.mark.parametrize(
    "topic", ["/a", "a/", "a//b", "a b", "a\tb", "$SYS/a", "a\0b", "é" * 40_000, "+", "#", "{site}"]
)
def test_fault_20_topics_that_can_not_be_published_on(topic: str) -> None:
    assert topic_problem(topic) is not None


@pytest.mark.parametrize("topic", ["a", "a/b", "ÄÖ/北", "a-b_c.d", "spat/main-and-5th"])
def test_topics_that_can_be_published_on(topic: str) -> None:
    assert topic_problem(topic) is None


def test_fault_20_a_zone_in_shares_of_the_picture() -> None:
    (found,) = problems("18").values()
    assert found.path == "scene.north.zones.bay.zone"
    assert "within a single pixel" in found.message
    assert "points are pixels: [0.5, 0.5] is [320, 320]" in found.hint


@pytest.mark.parametrize("most", ["1.02", "1.4"])
def test_fault_20_shares_that_reach_over_the_edge_are_shares_too(tmp_path: Path, most: str) -> None:
    folder = case_copy("18", tmp_path)
    text = (folder / "flow.yaml").read_text()
    edited = text.replace("1.0", most)
    assert edited != text
    (folder / "flow.yaml").write_text(edited)
    messages = [each.message for each in read(folder / "flow.yaml", environment=NO_VARIABLES)[1]]
    assert any("lies within two pixels: its points look like shares of the picture" in each for each in messages), (
        messages
    )


def test_fault_20_names_of_buckets_that_databases_have() -> None:
    assert not problems("19")


@pytest.mark.parametrize("name", [" a", "a ", "_internal", 'a"b', "a\\tb"])
def test_fault_20_names_of_buckets_that_no_database_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / "flow.yaml"
    escaped = name.replace('"', '\\"')
    path.write_text(f'flow: a\nservices: {{influx: {{bucket: "{escaped}"}}}}\nnodes:\n  t: {{type: timer}}\n')
    _, found = read(path, environment=NO_VARIABLES)
    assert [each.message[:16] for each in found if each.path == "services.influx.bucket"] == ["a bucket's name "]


@pytest.mark.parametrize("file", ["flow.yaml", "nbsp_after_number.yaml", "nbsp_indent.yaml"])
def test_fault_20_a_no_break_space_is_named(file: str) -> None:
    _, found = read(case_folder("21") / file, environment=NO_VARIABLES)
    assert found
    assert {each.message for each in found} == {"a no-break space (U+00A0), which is not a space in YAML"}
    assert all(each.line and each.column for each in found)


def test_fault_20_curly_quotes_are_named() -> None:
    _, (found,) = read(case_folder("21") / "smart_quotes.yaml", environment=NO_VARIABLES)
    assert (found.line, found.column, found.message) == (4, 30, "curly quotes, which are not quotes in YAML")


def test_invisible_characters_may_stand_in_comments_and_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        'flow: a\nx-note: "5\u00a0km “so”"  # a\u00a0comment “with” quotes\nnodes:\n  t: {type: timer, every_s: 1}\n'
    )
    flow, _ = read(path, environment=NO_VARIABLES)
    assert flow is not None


@given(
    before=st.sampled_from(["a: ", "a: b", "a:\n  ", "- ", "{a: ", "[", "a: b\nc", ""]),
    character=st.sampled_from("\u00a0\u00ad\u200b\u200e\u2003\u202f\u2060\u3000\ufeff"),
    after=st.sampled_from(["1", "b: 1", "}", "]", ": 1", "\n", "x"]),
)
def test_fault_20_no_invisible_character_gets_into_a_value(before: str, character: str, after: str) -> None:
    assume(before or character != "\ufeff")  # a byte order mark, which is skipped
    diagnostics: list[Diagnostic] = []
    with pytest.raises(Unreadable) as error:
        compose(f"# first\n{before}{character}{after}", "flow.yaml", diagnostics)
    assert f"U+{ord(character):04X}" in error.value.diagnostic.message or "not YAML" in error.value.diagnostic.message


MQTT = ("mqtt", "mqtts", "tcp", "ssl")


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("mqtt://user:Open#Sesame26@127.0.0.1:1883", "percent-encoded", "write # as %23"),
        ("mqtt://user:Open/Sesame26@127.0.0.1:1883", "percent-encoded", "write / as %2F"),
        ("mqtt://user:Open?Sesame26@127.0.0.1:1883", "percent-encoded", "write ? as %3F"),
        ("mqtt://user:Open@Sesame26@127.0.0.1:1883", "percent-encoded", "write @ as %40"),
        ("mqtt://127.0.0.1:188300", "port 188300", "correct"),
        ("mqtt://127.0.0.1:1883\r", "a carriage return (\\r)", "without"),
        ('"mqtt://127.0.0.1:1883"', "quotes", "remove"),
        ("ws://127.0.0.1:8083/mqtt", "websockets", "mqtt://"),
        ("mqtt://127.0.0.1:1883?clientId=x", "query", "settings"),
        ("mqtt://", "no host", "mqtt://"),
        ("mqtt://:1883", "no host", "mqtt://"),
        ("127.0.0.1:1883", "no scheme", "mqtt://"),
        ("mqtt://host:port", "not a number", "HOST:PORT"),
        ("mqtt://us%00er:Sesame26@h", "a zero byte (\\0), percent-encoded", "without it"),
        ("mqtt://user:Sesame26%0A@h", "a line break (\\n), percent-encoded", "without it"),
        ("mqtt://user%1b:Sesame26@h", "the control character 0x1b, percent-encoded", "without it"),
        ("mqtt://us%ffer:Sesame26@h", "bytes that are no text, percent-encoded", "without it"),
        ("mqtt://us\x01er:Sesame26@h", "the control character 0x01", "without it"),
    ],
)
def test_fault_14_addresses_of_a_broker_that_no_parser_understands(url: str, message: str, hint: str) -> None:
    (found,) = problems("14", MQTT_URL=url).values()
    assert found.path == "services.mqtt.url"
    assert message in found.message
    assert hint in found.hint
    assert "Sesame26" not in str(found)
    assert "Open" not in str(found)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("INFLUX_TOKEN", "   ", "a token of nothing but spaces"),
        ("INFLUX_TOKEN", "Sesame26ü", "a token with a character that is not ASCII"),
        ("INFLUX_TOKEN", "Sesame26 ", "a token with a space at an end"),
        ("INFLUX_TOKEN", "Sesame26\x7f", "the control character 0x7f"),
        ("INFLUX_TOKEN", "Sesame26" * 2000, "a token of more than 8000 bytes"),
        ("MQTT_USERNAME", "Sesame26\x00", "a zero byte"),
        ("MQTT_PASSWORD", "Sesame26" * 9000, "a password of more than 65535 bytes"),
    ],
)
def test_fault_14_what_no_service_can_be_given_is_refused_at_load_by_name(
    variable: str, value: str, message: str
) -> None:
    (found,) = problems("14", MQTT_URL="", **{variable: value}).values()
    assert found.path.startswith("services.")
    assert variable in f"{found.file} {found.message}"
    assert message in found.message
    assert "Sesame26" not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://h",
        "mqtts://u:p%40ss@h:8883/",
        "tcp://[::1]:1883",
        "mqtt://u@h",
        "ssl://broker.example:1",
        "mqtt://h:1883\n",
    ],
)
def test_addresses_of_a_broker_that_are_good(url: str) -> None:
    assert not problems("14", MQTT_URL=url)


@given(
    st.text(alphabet="ab1@:/?#[]% \r\n\0é", max_size=25), st.sampled_from(["", "mqtt://", "rtsp://u:pw@", "mqtt://u:"])
)
def test_an_address_that_passes_is_one_that_parsers_read(text: str, start: str) -> None:
    address = start + text
    addresses.passwords(address)
    addresses.without_passwords(address)
    if addresses.problem(address, (*MQTT, "rtsp")) is None:
        parts = urlsplit(address)
        assert parts.hostname or parts.netloc
        assert parts.port is None or 0 < parts.port <= 65535


def test_fault_17_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.yaml")
    path = tmp_path / "flow.yaml"
    path.write_text(
        'flow: a\ninclude: pipe.yaml\nnodes:\n  t: {type: timer, every_s: "${file:pipe}"}\n  d: {type: debug, from: t}\n'
    )
    variables = {"MQTT_PASSWORD_FILE": str(tmp_path / "pipe")}
    flow, found = read(path, environment=Environment(variables))
    assert flow is None
    said = {each.path: each.message for each in found}
    assert said["nodes.t.every_s"] == "${file:pipe}: this is a pipe, which may never end"
    assert "it is a pipe" in said["services.mqtt.password"]
    assert "include" in said
    assert read(tmp_path / "pipe.yaml")[1][0].message == "this is a pipe, which may never end"


def test_fault_17_pipes_among_nodes_and_schemas_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "schemas").mkdir()
    for name in ("nodes/gate.py", "nodes/lamp.py", "schemas/a.schema.json"):
        os.mkfifo(tmp_path / name)
    path = tmp_path / "flow.yaml"
    path.write_text("flow: a\nnodes:\n  t: {type: timer}\n  m: {type: mqtt_out, from: t}\n  g: {type: gate, from: t}\n")
    _, found = read(path, environment=NO_VARIABLES)
    assert any(each.message == "unknown node type 'gate'" for each in found)


def test_fault_17_a_file_of_a_secret_that_does_not_end() -> None:
    with pytest.raises(UnreadableSecret, match="more than 65536 bytes"):
        Environment({"TOKEN_FILE": "/dev/zero"})["TOKEN"]
