"""From file to flow: what is read, filled, kept and watched."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt.catalog import Catalog
from flowrt.config import load, read
from flowrt.config.cache import LoadCache
from flowrt.config.sections import sections
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Edge, Flow
from flowrt.message import Tick
from flowrt.services import Influx, Mqtt

TICK = "nodes:\n  tick: {type: timer, every_s: 1}\n  print: {type: debug, from: tick}\n"
NODE = '''
"""A node type for one test."""
from __future__ import annotations
from typing import Annotated, Any, ClassVar, Literal
import msgspec
from flowrt import *


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """Some part."""
    name: str
    size_m: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Any_(Transform):
    """Takes anything."""
{fields}

    def process(self, message: Message) -> None:
        return None
'''


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(text: str, name: str = "flow.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    return _write


def test_a_module_named_after_its_folder_is_a_type_by_its_own_name(write: Any) -> None:
    node = NODE.format(fields="")
    for name in ("gate", "bus/__init__", "bus/bus_out", "bus/gate", "bus/_bus_link", "site/bus/bus_out", "_lib/gate"):
        write(node, f"nodes/{name}.py")
    write("from ._link import Link\n", "nodes/link/__init__.py")
    catalog = Catalog(write(TICK).parent)
    own = [name for name in catalog.names() if catalog.get(name).origin == "folder"]
    assert own == ["bus", "bus.gate", "bus_out", "gate", "site.bus_out"]


def errors(path: Path, **more: Any) -> list[str]:
    flow, diagnostics = read(path, **more)
    assert flow is None
    return [diagnostic.message for diagnostic in diagnostics if diagnostic.severity == "error"]


def node_with(write: Any, fields: str, settings: str, **more: Any) -> tuple[Flow | None, list[Diagnostic]]:
    write(NODE.format(fields=textwrap.indent(textwrap.dedent(fields), "    ")), "nodes/mine.py")
    return read(write(f"flow: a\n{TICK}  mine: {{type: mine, from: tick, {settings}}}\n"), **more)


def test_a_flow_says_everything(write: Any) -> None:
    path = write("flow: a\n" + TICK)
    flow = load(path)
    assert (flow.name, flow.site, flow.path) == ("a", "a", path.resolve())
    assert flow.order() == ["tick", "print"]
    edge = Edge(source="tick", target="print")
    assert flow.edges == [edge]
    assert flow.arriving == {edge: (Tick,)}
    assert flow.files == (path.resolve(),)
    assert list(flow.services) == ["mqtt", "influx", "grafana"]


def test_equal_by_meaning(write: Any) -> None:
    catalog = Catalog()
    one = load(write("flow: a\n" + TICK), catalog=catalog)
    other = load(
        write('# the same\n"flow": a\nnodes: {print: {from: [tick], type: debug}, tick: {every_s: 1.0, type: timer}}'),
        catalog=catalog,
    )
    assert {name: (spec.settings, spec.edges) for name, spec in one.nodes.items()} == {
        name: (spec.settings, spec.edges) for name, spec in other.nodes.items()
    }


def test_all_errors_are_raised_and_no_warnings(write: Any) -> None:
    path = write("flow: a\nnodes:\n  a: {type: timer, every: 1}\n  b: {type: timer, at_start: 1}\n")
    with pytest.raises(FlowError) as caught:
        load(path)
    assert [diagnostic.line for diagnostic in caught.value.diagnostics] == [3, 4]
    flow, diagnostics = read(write("flow: a\nnodes:\n  a: {type: timer}\n"))
    assert flow is not None
    assert [diagnostic.severity for diagnostic in diagnostics] == ["warning"]


def test_overrides_are_read_by_type(write: Any) -> None:
    path = write("flow: a\nservices: {mqtt: }\n" + TICK)
    flow = load(path, overrides={"tick.every_s": "0.5", "tick.at_start": "true", "print.level": "warning"})
    assert (flow.nodes["tick"].settings.every_s, flow.nodes["tick"].settings.at_start) == (0.5, True)
    assert load(path, overrides={"print.from": "[tick]"}).edges == flow.edges
    flow, diagnostics = read(
        path, overrides={"tick.every_s": "often", "tack.every_s": "1", "tick": "1", "tick.evry_s": "1"}
    )
    assert flow is None
    assert sorted(diagnostic.file for diagnostic in diagnostics) == [
        "--set tack.every_s",
        "--set tick",
        "--set tick.every_s",
        "--set tick.evry_s",
    ]
    assert errors(path, overrides={"tick.every_s": "[1"})


def test_substitution_never_changes_the_structure(write: Any) -> None:
    path = write(
        'flow: a\nnodes:\n  tick: {type: timer, every_s: "${env:EVERY}"}\n  print: {type: debug, from: tick}\n'
    )
    assert load(path, environment={"EVERY": "2"}).nodes["tick"].settings.every_s == 2.0
    for text in ("2, at_start: true", "[2]", "{a: 2}", "2\nat_start: true", "nan", "1e999"):
        assert errors(path, environment={"EVERY": text}), text


def test_files_that_fill_values_are_watched(write: Any, tmp_path: Path) -> None:
    write("0.5\n", "every.txt")
    write("scene: {north: {picture_px: [10, 10]}}", "more/scene.yaml")
    path = write("flow: a\ninclude: more/scene.yaml\n" + TICK.replace("every_s: 1", 'every_s: "${file:every.txt}"'))
    flow = load(path)
    assert flow.nodes["tick"].settings.every_s == 0.5
    assert set(flow.files) == {path, tmp_path / "every.txt", tmp_path / "more" / "scene.yaml"}


def test_secrets_are_known_and_never_written(write: Any) -> None:
    write("tok3n\n", "more/token.txt")
    write('services: {influx: {url: "http://localhost", token: "${file:token.txt}"}}', "more/services.yaml")
    text = 'flow: a\ninclude: more/services.yaml\nservices: {mqtt: {url: "mqtt://u:p4ss@h", password: "${env:PASSWORD}"}}\n'
    flow = load(write(text + TICK), environment={"PASSWORD": "s3cret"})
    assert flow.secrets == {"tok3n", "p4ss", "s3cret"}
    path = write('flow: a\nservices: {mqtt: {url: "${env:URL}"}}\n' + TICK)
    said = errors(path, environment={"URL": "mqtt//u:p4ss@h"})
    assert said
    assert "p4ss" not in "".join(said)


def test_services_come_from_the_environment(write: Any) -> None:
    environment = {"MQTT_URL": "mqtt://broker:1883", "INFLUX_URL": "http://db:8086", "INFLUX_TOKEN": "t0ken"}
    flow = load(write("flow: a\nservices: {mqtt: {prefix: x}}\n" + TICK), environment=environment)
    assert flow.services["mqtt"] == Mqtt(url="mqtt://broker:1883", prefix="x")
    assert flow.services["influx"] == Influx(url="http://db:8086", token="t0ken")
    assert "t0ken" in flow.secrets
    own = load(write('flow: a\nservices: {mqtt: {url: ""}}\n' + TICK), environment=environment)
    assert own.services["mqtt"] == Mqtt()
    path = write("flow: a\n" + TICK)
    _, diagnostics = read(path, environment={"MQTT_URL": "broker:1883"})
    assert [(diagnostic.file, diagnostic.line) for diagnostic in diagnostics] == [("$MQTT_URL", 0)]


def test_a_node_type_of_many_kinds_of_settings(write: Any) -> None:
    fields = """
        parts: list[Part]
        limits: dict[str, Annotated[int, setting("A limit.", ge=0)]] = {}
        pair: tuple[int, str] | None = None
        mode: Literal["a", 2] = "a"
        either: float | list[float] = 1.0
        anything: Any = None
        names: frozenset[str] = frozenset()
        nested: dict[str, list[Part]] = {}
    """
    good = "parts: [{name: x, size_m: 2}], limits: {a: 1}, pair: [1, b], mode: 2, either: [1, 2.5], names: [x, x], nested: {k: [{name: y}]}"
    flow, diagnostics = node_with(write, fields, good)
    assert flow is not None, diagnostics
    mine: Any = flow.nodes["mine"].settings
    assert (mine.parts[0].size_m, mine.pair, mine.mode, mine.either) == (2.0, (1, "b"), 2, [1.0, 2.5])
    assert mine.names == frozenset({"x"})
    assert mine.nested["k"][0].name == "y"
    bad = "parts: [{nam: x, size_m: 0}, 3], limits: {a: -1, b: c}, pair: [1], mode: 3, either: [a], names: x, nested: {k: {name: y}}"
    _, diagnostics = node_with(write, fields, bad)
    assert [diagnostic.path.removeprefix("nodes.mine.") for diagnostic in diagnostics] == [
        "parts[0]",
        "parts[0].nam",
        "parts[0].size_m",
        "parts[1]",
        "limits.a",
        "limits.b",
        "pair",
        "mode",
        "either[0]",
        "names",
        "nested.k",
    ]


def test_text_from_outside_is_a_number_where_one_is_wanted(write: Any) -> None:
    fields = """
        either: int | str
        maybe: float | None = 1.0
        text: str = ""
        flag: bool = False
        mode: Literal["a", 2] = "a"
    """
    said = 'either: "${env:N}", maybe: "${env:EMPTY}", text: "${env:N}", flag: "${env:T}", mode: "${env:TWO}"'
    environment = {"N": "7", "EMPTY": "", "T": "true", "TWO": "2"}
    flow, diagnostics = node_with(write, fields, said, environment=environment)
    assert flow is not None, diagnostics
    mine: Any = flow.nodes["mine"].settings
    assert (mine.either, mine.maybe, mine.text, mine.flag, mine.mode) == (7, None, "7", True, 2)
    flow, _ = node_with(write, fields, 'either: "7"')
    assert flow is not None
    assert flow.nodes["mine"].settings.either == "7"  # type: ignore[attr-defined]


def test_faults_of_a_node_type_are_findings(write: Any) -> None:
    _, diagnostics = node_with(write, "a: int = 0\ndef check(self, view): raise KeyError('x')", "a: 1")
    assert ["check() failed" in diagnostic.message for diagnostic in diagnostics] == [True]
    _, diagnostics = node_with(write, "a: int = 0\ndef __post_init__(self): raise ValueError('a is odd')", "a: 1")
    assert ["a is odd" in diagnostic.message for diagnostic in diagnostics] == [True]
    _, diagnostics = node_with(write, "a: Annotated[str, setting('x', gt=1)] = ''", "a: x")
    assert ["can't be used" in diagnostic.message for diagnostic in diagnostics] == [True]


def test_complaints_stand_where_they_belong(write: Any) -> None:
    fields = """
        rows: list[list[int]] = []
        def check(self, view):
            yield Diagnostic(("rows", 1, 0), "deep")
            yield Diagnostic(("rows", 7), "not there")
            yield Diagnostic((), "all of it", "think", "warning")
    """
    flow, diagnostics = node_with(write, fields, "rows: [[1], [2]]")
    assert flow is None
    assert [(p.message, p.line, p.column) for p in diagnostics] == [
        ("all of it", 5, 3),
        ("not there", 5, 40),
        ("deep", 5, 47),
    ]


def test_generic_nodes_pass_on_what_arrives(write: Any) -> None:
    text = 'flow: a\nnodes:\n  tick: {type: timer}\n  some: {type: filter, from: tick, when: "true"}\n  tracks: {type: track, from: some}\n  all: {type: debug, from: tracks}\n'
    assert errors(write(text)) == ["'some' (filter) outputs ticks, but 'track' accepts detections"]


def test_an_included_file_is_read_once(write: Any) -> None:
    write("scene: {north: {picture_px: [10, 10]}}", "scene.yaml")
    write("include: scene.yaml", "one.yaml")
    write("include: [scene.yaml]", "two.yaml")
    flow = load(write("flow: a\ninclude: [one.yaml, two.yaml]\n" + TICK))
    assert list(flow.sections["scene"]) == ["north"]


@pytest.mark.skipif(os.name == "nt", reason="symlinks need rights on Windows")
def test_links_that_go_round_in_a_circle_are_no_file(write: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    flow, diagnostics = read(write("flow: a\ninclude: a.yaml\n" + TICK))
    assert flow is None
    assert [diagnostic.message for diagnostic in diagnostics] == ["the file 'a.yaml' does not exist"]
    _, diagnostics = read(tmp_path / "a.yaml")
    assert "can't be read" in diagnostics[0].message


def test_a_scene_that_did_not_change_is_the_same_one_in_the_next_reading(write: Any) -> None:
    cache = LoadCache()
    scene = "scene: {{north: {{picture_px: [10, 10], zones: {{box: {{kind: box, zone: {points}}}}}}}}}"
    write(scene.format(points="[[0, 0], [5, 0], [5, 5]]"), "scene.yaml")
    path = write("flow: a\ninclude: scene.yaml\n" + TICK)
    first = load(path, cache=cache).sections["scene"]["north"]
    write("flow: a\n# moved down by a line\ninclude: scene.yaml\n" + TICK)
    assert load(path, cache=cache).sections["scene"]["north"] is first
    write(scene.format(points="[[0, 0], [6, 0], [5, 5]]"), "scene.yaml")
    moved = load(path, cache=cache).sections["scene"]["north"]
    assert moved.zones["box"].points[1] == (6, 0)
    write(scene.format(points="[[0, 0]]"), "scene.yaml")
    diagnostics = [str(diagnostic) for diagnostic in read(path, cache=cache)[1]]
    assert diagnostics
    assert [str(diagnostic) for diagnostic in read(path, cache=cache)[1]] == diagnostics, "told again, not forgotten"


def test_what_an_included_file_takes_from_outside_is_looked_up_each_time(write: Any) -> None:
    write('services: {mqtt: {url: "mqtt://h", username: "${env:WHO}"}}', "services.yaml")
    path = write("flow: a\ninclude: services.yaml\n" + TICK)
    names = [load(path, environment={"WHO": who}).services["mqtt"].username for who in ("ada", "bob")]
    assert names == ["ada", "bob"]


def test_paths_start_at_the_flow_file(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("scene: {north: {picture_px: [10, 10]}}", "site/scene.yaml")
    write("flow: a\ninclude: scene.yaml\n" + TICK, "site/flow.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    flow = load("../site/flow.yaml")
    assert flow.folder.resolve() == tmp_path / "site"
    assert list(flow.sections["scene"]) == ["north"]


def big(extra: str, count: int = 2000) -> str:
    lines = [
        f"  n{i}: {{type: filter, from: {'tick' if i == 0 else f'n{i - 1}{extra}'}, when: 'true'}}"
        for i in range(count)
    ]
    return (
        "flow: a\nnodes:\n  tick: {type: timer}\n"
        + "\n".join(lines)
        + f"\n  print: {{type: debug, from: n{count - 1}}}\n"
    )


@pytest.mark.parametrize("extra", ["", "x"], ids=["good", "every edge wrong"])
def test_2000_nodes(write: Any, extra: str) -> None:
    """No time is asserted: where the work grew by the square, this would take minutes and meet the test's own limit."""
    began = time.perf_counter()
    flow, diagnostics = read(write(big(extra)))
    print(f"{time.perf_counter() - began:.2f} s")
    if extra:
        assert len(diagnostics) == 1999
    else:
        assert flow is not None
        assert len(flow.nodes) == 2002


def test_a_circle_of_2000_nodes(write: Any) -> None:
    assert len(errors(write(big("").replace("from: tick,", "from: n1999,")))) == 1


YAMLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
        ["timer", "debug", "roi", "${env:X}", "${file:x}", "tick", "north", "violation.red_light", "camera", "a.b", "../x"]
    ),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["flow", "site", "scene", "services", "nodes", "include", "type", "from", "tick", "north", "zone", "zones",
             "picture_px", "lanes", "line", "stop_line", "mqtt", "url", "every_s", "uri", "was", "restart", "kind", "homography"]
        ) | st.text(max_size=6),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=YAMLS, head=st.booleans())
def test_whatever_the_file_holds_there_is_an_answer(tmp_path: Path, content: Any, head: bool) -> None:
    import yaml

    document = {"flow": "a", "nodes": content, "scene": content, "services": content} if head else content
    path = tmp_path / "fuzz.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")
    flow, diagnostics = read(path, environment={})
    assert (flow is None) == any(diagnostic.severity == "error" for diagnostic in diagnostics)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_good_flow_with_bytes_changed(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray((Path(__file__).parents[1] / "cases" / "valid-design.yaml").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"\t", b"\n", b": ", b"&a ", b"*a"])
        )
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(bytes(text))
    flow, diagnostics = read(path, catalog=Catalog(Path(__file__).parents[1] / "cases"), environment={})
    assert (flow is None) == any(diagnostic.severity == "error" for diagnostic in diagnostics)


def test_an_installation_older_than_its_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an update the entry points of the installation may be those of before, which know no sections."""
    monkeypatch.setattr("flowrt.config.sections.entry_points", lambda group: {})
    with pytest.raises(FlowError, match="install it again"):
        sections.__wrapped__()  # type: ignore[attr-defined]  # around the cache, which knows the sections of this process
