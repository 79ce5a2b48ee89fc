"""The command line as a user meets it: output, exit codes, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowrt import cli
from flowrt.catalog import Catalog
from flowrt.commands import BUILT_IN
from flowrt.commands.graph import mermaid, svg
from flowrt.commands.graph._layout import Layout, label_width, layout
from flowrt.commands.graph._png import write_png
from flowrt.commands.nodes import description, listing
from flowrt.commands.terminal import problems as show
from flowrt.commands.terminal.tables import wants_colour
from flowrt.config import load
from flowrt.diagnostics import Diagnostic
from flowrt.http.server import BadAddress, named_hosts
from tests.harness import PROJECT

CASES = Path(__file__).parents[1] / "cases"
FLOW = CASES / "valid-include.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def flowrt(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "flowrt.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
    )


def test_check_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(FLOW)]) == 0
    *notes, verdict = capsys.readouterr().out.splitlines()
    assert verdict == f"{FLOW}: ok, 7 nodes, 7 edges, 1 scene"
    assert notes[0].startswith("scene north: homography of 4 points; it implies a camera ")
    assert "zero by construction" in notes[1]


def test_check_shows_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flow.yaml").write_text(
        "flow: a\nnodes:\n  tick: {type: timer, evry_s: 1}\n  print: {type: debug, from: tick}\n"
    )
    assert cli.main(["check", "flow.yaml"]) == 1
    assert capsys.readouterr().out == (
        "error: unknown setting 'evry_s' of 'timer'\n"
        "  --> flow.yaml:3:23\n"
        "  |\n"
        "3 |   tick: {type: timer, evry_s: 1}\n"
        "  |                       ^^^^^^\n"
        "  = at nodes.tick.evry_s\n"
        "  = help: did you mean 'every_s'?\n"
        "\n"
        "flow.yaml: 1 error\n"
    )


def test_check_several_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(FLOW), "nothing.yaml", str(CASES / "valid-unused-output.yaml")]) == 1
    out = capsys.readouterr().out
    assert "error: the file does not exist\n  --> nothing.yaml\n" in out
    assert "1 warning" in out


def test_check_json(capsys: pytest.CaptureFixture[str]) -> None:
    path = CASES / "invalid-everything-at-once.yaml"
    assert cli.main(["check", "--format", "json", str(path)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert len(answer["problems"]) == path.read_text().count("# expect:")
    assert set(answer["problems"][0]) == {"file", "line", "column", "path", "message", "hint", "severity"}
    assert cli.main(["check", "--format", "json", str(FLOW)]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "problems": []}


def test_check_github(capsys: pytest.CaptureFixture[str]) -> None:
    path = CASES / "invalid-unknown-setting.yaml"
    assert cli.main(["check", "--format", "github", str(path)]) == 1
    out = capsys.readouterr().out
    assert (
        out
        == f"::error file={path},line=4,col=23,endColumn=28::unknown setting 'evry_s' of 'timer' (did you mean 'every_s'?)\n"
    )


def test_github_annotations_are_escaped() -> None:
    diagnostic = Diagnostic(file="a,b:c.yaml", line=1, column=2, path="", message="50 %\nmore")
    assert show.github([diagnostic]) == "::error file=a%2Cb%3Ac.yaml,line=1,col=2::50 %25%0Amore"


def test_carets_stand_below_wide_characters_and_long_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    line = "道路: " + "x" * 300 + " BAD tail" + "y" * 200
    path.write_text(line + "\n", "utf-8")
    column = line.index("BAD") + 1
    said = show.text([Diagnostic(file=str(path), line=1, column=column, end_column=column + 3, path="", message="no")])
    shown, carets = said.splitlines()[3:5]
    assert shown[carets.index("^") : carets.index("^") + 3] == "BAD"
    assert carets.count("^") == 3
    assert len(shown) < 140
    said = show.text([Diagnostic(file=str(path), line=1, column=5, end_column=6, path="", message="no")])
    assert said.splitlines()[4] == "  |       ^"  # two wide characters, a colon and a blank before it


def test_nothing_that_a_terminal_obeys_gets_through(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flow.yaml").write_text('flow: "\\e]0;owned\\a"\nnodes:\n  "\\e[31mred": {type: debug}\n')
    assert cli.main(["check", "flow.yaml"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())  # type: ignore[arg-type]  # only isatty is asked
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())  # type: ignore[arg-type]  # as above
    diagnostic = Diagnostic(file="f", line=0, column=0, path="", message="no")
    assert "\x1b[31m" in show.text([diagnostic], colour=True)
    assert "\x1b" not in show.text([diagnostic])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["chek"], 2),
        (["--chek"], 2),
        (["check"], 2),
        (["check", "--format", "xml", "f.yaml"], 2),
        (["check", "--set", "nothing", "f.yaml"], 2),
        (["check", "--help"], 0),
        (["check", "nothing.yaml"], 1),
        (["graph", "nothing.yaml"], 1),
        (["graph", "nothing.yaml", "-o", "f.bmp"], 2),
        (["nodes", "camrea"], 2),
        (["new", "a/b"], 2),
        (["schema", "-o", "no/such/folder.json"], 3),
    ],
)
def test_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert said.err or said.out


def test_errors_without_a_name_end_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flowrt.commands import nodes

    def fail(args: object) -> int:
        raise RuntimeError("a\nb")

    monkeypatch.setattr(nodes, "run", fail)
    monkeypatch.delenv("FLOWRT_DEBUG", raising=False)
    assert cli.main(["nodes"]) == 3
    assert capsys.readouterr().err == "flowrt: internal error: RuntimeError: a b (FLOWRT_DEBUG=1 shows where)\n"
    monkeypatch.setenv("FLOWRT_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cli.main(["nodes"])


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in BUILT_IN.items():
        assert re.search(rf"^  {name} +{re.escape(command.help)}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_is_there_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert BUILT_IN[name].help.rstrip(".")[:12] in capsys.readouterr().out


def test_a_reader_that_goes_away() -> None:
    command = f"{sys.executable} -m flowrt.cli schema | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ('{\n  "$schem'[:10], "")


def test_check_waits_for_nothing_heavy() -> None:
    """What takes long to import is not imported for a check. A flow without outboxes needs no contract either."""
    code = (
        "import sys; from flowrt import cli; code = cli.main(['check', sys.argv[1]]); "
        "heavy = {'cv2', 'openvino', 'lap', 'rich', 'jsonschema', 'networkx', 'paho', 'starlette', 'cel', 'influxdb_client'}; "
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(FLOW)], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_new_passes_check_and_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", "main-and-5th"]) == 0
    text = Path("main-and-5th.yaml").read_text()
    assert cli.main(["check", "main-and-5th.yaml"]) == 0
    assert "ok" in capsys.readouterr().out
    assert cli.main(["new", "main-and-5th.yaml"]) == 3
    assert "not overwritten" in capsys.readouterr().err
    assert Path("main-and-5th.yaml").read_text() == text


def test_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  camera +\S", out, re.MULTILINE)
    assert "Can't be used" not in out
    assert cli.main(["nodes", "roi"]) == 0
    out = capsys.readouterr().out
    for said in (
        "accepts tracks (Tracks)",
        "outputs zone_events (ZoneEvent)",
        "debounce_s",
        "seconds",
        "default",
        "Example",
    ):
        assert said in out


def test_nodes_tells_of_broken_types() -> None:
    catalog = Catalog(CASES)
    assert re.search(r"Can't be used\n  broken: .*there_is_no_such_module", listing(catalog))


@pytest.mark.parametrize("name", Catalog().names())
def test_every_type_describes_itself(name: str) -> None:
    kind = Catalog().get(name)
    said = description(kind)
    assert kind.summary in said
    if kind.role == "sink":
        assert "Guarantee" in said or "at least once" in said.lower() or "lost" in said.lower(), (
            "a sink states its guarantee"
        )


def test_graph_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["graph", str(FLOW)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("flowchart LR\n")
    assert '  zones -->|"zone_events"| print\n' in out
    assert '  cam(["cam<br/><small>camera</small>"])\n' in out


def test_words_that_mermaid_has_taken() -> None:
    Path("flow.yaml").write_text("flow: a\nnodes:\n  end: {type: timer}\n  class: {type: debug, from: end}\n")
    out = mermaid(load("flow.yaml"))
    assert 'N_end -->|"ticks"| N_class' in out


def test_graph_as_svg() -> None:
    flow = load(FLOW)
    root = ET.fromstring(svg(flow))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {*flow.nodes, "camera", "zone_events"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == len(flow.edges)


def test_nothing_overlaps_in_a_drawing() -> None:
    drawn = layout(load(FLOW))
    boxes = drawn.boxes
    for i, one in enumerate(boxes):
        assert one.x >= 0
        assert one.x + one.width <= drawn.width
        assert one.y >= 0
        assert one.y + one.height <= drawn.height
        for other in boxes[i + 1 :]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert apart_x or apart_y, (one, other)
    for wire in drawn.wires:
        assert all(first[0] <= second[0] for first, second in zip(wire.points, wire.points[1:], strict=False))


def test_graph_as_png() -> None:
    assert cli.main(["graph", str(FLOW), "-o", "flow.png"]) == 0
    picture = cv2.imdecode(np.fromfile("flow.png", np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] > picture.shape[0] > 100
    assert (picture != 255).mean() > 0.05


SIDE_INPUTS = PROJECT / "flows" / "intersection.yaml"


def test_fault_22_labels_cover_neither_each_other_nor_a_box() -> None:
    for file in sorted((PROJECT / "flows").glob("*.yaml")):
        if file.name.endswith(".test.yaml"):
            continue
        drawn = layout(load(file))
        taken = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in drawn.boxes]
        for wire in (each for each in drawn.wires if each.label):
            (x, y), half = wire.label_at, label_width(wire.label) / 2
            area = (x - half, y - 10, x + half, y + 2)
            assert 0 <= area[0] < area[2] <= drawn.width, (file, wire.label)
            assert 0 <= area[1] < area[3] <= drawn.height, (file, wire.label)
            for other in taken:
                apart = area[0] >= other[2] or other[0] >= area[2] or area[1] >= other[3] or other[1] >= area[3]
                assert apart, (file, wire.label)
            taken.append(area)


def test_fault_22_png_and_svg_agree_on_dashes(tmp_path: Path) -> None:
    flow = load(SIDE_INPUTS)
    drawn = layout(flow)
    assert any(wire.side_input for wire in drawn.wires)
    lines = ET.fromstring(svg(flow)).iter("{http://www.w3.org/2000/svg}polyline")
    assert [bool(line.get("stroke-dasharray")) for line in lines] == [wire.side_input for wire in drawn.wires]
    for wire in drawn.wires:  # each alone, so that no other line fills the gaps
        write_png(Layout(drawn.width, drawn.height, [], [wire._replace(label="")]), tmp_path / "one.png")
        picture = cv2.imdecode(np.fromfile(tmp_path / "one.png", np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        first, second = (np.array(point) * 2 for point in wire.points[:2])
        shares = np.linspace(0.02, 0.85, 400)[:, None]
        at = np.rint(first + (second - first) * shares).astype(int)
        white = (picture[at[:, 1], at[:, 0]] > 200).mean()
        assert (0.2 < white < 0.6) if wire.side_input else white < 0.02, (wire, white)


def test_a_process_of_its_own() -> None:
    done = flowrt("check", str(CASES / "invalid-binary.yaml"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "the file is binary" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dead-letters"], "the following arguments are required: action\n"),
        (["services", "status", "--timeout", "nan"], "expected seconds above 0, found nan"),
        (["services", "status", "--timeout", "-1"], "expected seconds above 0, found -1"),
        (
            ["services", "status", "--folder", "/nosuch"],
            "there is no folder /nosuch: `flowrt services init --folder /nosuch`",
        ),
        (["services", "up", "--mosquitto-port", "70000"], "expected a port from 1 to 65535, found 70000"),
        (["record", "flow.yaml", "--duration", "inf"], "expected seconds above 0, found inf"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_arguments_that_can_not_be_are_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("hosts", ["a.example, b.example.", " a.example ,b.example"])
def test_fault_15_spaces_between_the_names_of_hosts(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWRT_HTTP_HOSTS", hosts)
    assert named_hosts() == {"a.example", "b.example"}
    monkeypatch.setenv("FLOWRT_HTTP_HOSTS", "a.example:8480")
    with pytest.raises(BadAddress, match="is no host name"):
        named_hosts()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_fault_02_ctrl_c_while_a_node_is_imported_is_an_interruption(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    node = '"""slow: takes its time."""\n\nimport time\nfrom pathlib import Path\n\nPath("begun").touch()\ntime.sleep(60)\n'
    (tmp_path / "nodes" / "slow.py").write_text(node)
    (tmp_path / "flow.yaml").write_text("flow: a\nnodes:\n  one: {type: slow}\n")
    command = [sys.executable, "-m", "flowrt", "check", "flow.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as check:
        end = time.monotonic() + 30
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        check.send_signal(signal.SIGINT)
        assert check.communicate(timeout=20)[1] == "flowrt: interrupted\n"
        assert check.returncode == 3
