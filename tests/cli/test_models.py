"""`flowrt models` against a real HTTP server on this machine: whole, wrong, cut, long, missing and moved files; and models shown."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from harness import PROJECT, TINY_MODEL, case_folder, data_file

from flowrt.cli import main
from flowrt.config import read
from flowrt.system.downloads import CACHE, Source, progress
from flowrt_nodes.detect._command import PUBLIC
from flowrt_nodes.detect._model.public import PublicFile, PublicModel, cached

CONTENT = TINY_MODEL.read_bytes() + bytes(range(256)) * 900
PAGE = (PROJECT / "docs" / "models.md").read_text("utf-8")
FLOW = """\
flow: fetched
nodes:
  north: {type: camera, uri: "sim://four-way?camera=north"}
  objects: {type: detect, from: north, model: Tiny_Model, keep: [car]}
  print: {type: debug, from: objects}
"""


class Answer(http.server.BaseHTTPRequestHandler):
    """`served` holds by path what is sent; `cut`: how many bytes of a body are sent before the connection ends."""

    served: dict[str, bytes]
    moved: dict[str, str]
    cut: int
    ranges: bool
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Range", "")))
        if self.path in self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved[self.path])
            self.end_headers()
            return
        body = self.served.get(self.path)
        if body is None:
            self.send_error(404)
            return
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.wfile.write(body[begin : self.cut or len(body)])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answer]]:
    """`tiny-model` is a public model that this server has, and the cache is empty."""
    handler = type("Handler", (Answer,), {"served": {}, "moved": {}, "cut": 0, "ranges": True, "asked": []})
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    source = Source(
        f"http://127.0.0.1:{running.server_port}/tiny.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
    )
    model = PublicModel(
        "a model for tests", "Apache-2.0", 0.1, None, "any", (PublicFile("tiny.onnx", source),), "tests"
    )
    monkeypatch.setitem(PUBLIC, "tiny-model", model)
    handler.served["/tiny.onnx"] = CONTENT
    yield handler
    running.shutdown()
    thread.join()
    running.server_close()


def fetched() -> Path:
    file = cached("tiny-model")
    assert file is not None
    return file


def test_a_model_is_fetched_once_for_its_owner_alone(server: type[Answer], capsys: pytest.CaptureFixture[str]) -> None:
    before = os.umask(0)
    try:
        assert main(["models", "fetch", "tiny_model"]) == 0
    finally:
        os.umask(before)
    assert fetched().read_bytes() == CONTENT
    assert stat.S_IMODE(fetched().stat().st_mode) == 0o600
    folders = [fetched().parent, *fetched().parents[1:3]]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert [file.name for file in fetched().parent.iterdir()] == ["tiny.onnx"]
    server.served.clear()
    assert main(["models", "fetch", "tiny-model"]) == 0
    assert "is here already" in capsys.readouterr().out
    assert len(server.asked) == 1


def test_a_cached_file_that_was_changed_is_fetched_again(server: type[Answer]) -> None:
    assert main(["models", "fetch", "tiny-model"]) == 0
    fetched().write_bytes(CONTENT[:-1] + b"x")
    assert main(["models", "fetch", "tiny-model"]) == 0
    assert fetched().read_bytes() == CONTENT


def test_redirects_are_followed_and_a_mirror_may_be_asked_instead(server: type[Answer], tmp_path: Path) -> None:
    server.served = {"/copy/tiny.onnx": CONTENT}
    server.moved = {"/tiny.onnx": "/copy/tiny.onnx"}
    assert main(["models", "fetch", "tiny-model", "--to", "new"]) == 0
    assert (tmp_path / "new" / "tiny.onnx").read_bytes() == CONTENT
    [path, *_] = PUBLIC["tiny-model"].files[0].source.url.split("/tiny.onnx")
    assert main(["models", "fetch", "tiny-model", "--mirror", f"{path}/copy/"]) == 0
    assert fetched().read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x01" + CONTENT[1:], "is not what it was: its SHA-256 is"),
        (CONTENT[:-5], "ended after"),
        (CONTENT + b"more", "is longer than"),
        (None, "404 Not Found"),
    ],
    ids=["wrong", "short", "long", "missing"],
)
def test_what_is_not_the_model_is_not_taken(
    server: type[Answer], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    server.served = {} if content is None else {"/tiny.onnx": content}
    old = tmp_path / "new" / "tiny.onnx"
    old.parent.mkdir()
    old.write_bytes(b"what was there")
    assert main(["models", "fetch", "tiny-model", "--to", str(old.parent)]) == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert old.read_bytes() == b"what was there"
    kept = [file.name for file in old.parent.iterdir()]
    assert kept == (["tiny.onnx", "tiny.onnx.part"] if said == "ended after" else ["tiny.onnx"])
    server.served = {"/tiny.onnx": CONTENT}
    assert main(["models", "fetch", "tiny-model", "--to", str(old.parent)]) == 0
    assert old.read_bytes() == CONTENT
    assert [file.name for file in old.parent.iterdir()] == ["tiny.onnx"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_goes_on_where_the_server_can(
    server: type[Answer], capsys: pytest.CaptureFixture[str], ranges: bool
) -> None:
    server.cut, server.ranges = 100_000, ranges
    assert main(["models", "fetch", "tiny-model"]) == 3
    assert "the next try goes on from there" in capsys.readouterr().err
    assert cached("tiny-model") is None
    server.cut = 0
    assert main(["models", "fetch", "tiny-model"]) == 0
    assert fetched().read_bytes() == CONTENT
    assert [span for _, span in server.asked] == ["", "bytes=65536-"], "whole blocks are kept"


def test_what_a_cut_download_of_another_file_left_is_not_built_upon(server: type[Answer]) -> None:
    server.served, server.cut = {"/tiny.onnx": bytes(len(CONTENT))}, 100_000
    assert main(["models", "fetch", "tiny-model"]) == 3
    server.served, server.cut = {"/tiny.onnx": CONTENT}, 0
    assert main(["models", "fetch", "tiny-model"]) == 0
    assert fetched().read_bytes() == CONTENT
    assert [span for _, span in server.asked] == ["", "bytes=65536-", ""]


def test_a_link_in_the_place_of_the_download_is_refused(
    server: type[Answer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache" / "models" / "tiny-model"
    folder.mkdir(parents=True)
    other = tmp_path / "precious"
    other.write_text("mine")
    (folder / "tiny.onnx.part").symlink_to(other)
    assert main(["models", "fetch", "tiny-model"]) == 3
    assert "is a link" in capsys.readouterr().err
    assert other.read_text() == "mine"


def test_two_that_want_the_same_model_get_it(server: type[Answer]) -> None:
    codes: list[int] = []
    both = [threading.Thread(target=lambda: codes.append(main(["models", "fetch", "tiny-model"]))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert codes == [0, 0]
    assert fetched().read_bytes() == CONTENT
    assert [file.name for file in fetched().parent.iterdir()] == ["tiny.onnx"]


def test_a_server_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "yolox-nano", "--to", str(tmp_path), "--mirror", "http://127.0.0.1:9"]) == 3
    assert "can't be fetched" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "code", "said"), [("yolox-nanno", 2, "yolox-nano"), ("deimv2-n", 3, "nobody publishes its SHA-256")]
)
def test_models_that_cannot_be_fetched(name: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", name]) == code
    assert said in capsys.readouterr().err


def test_a_bar_grows_on_a_terminal_alone() -> None:
    class Stream:
        text = ""

        def __init__(self, terminal: bool) -> None:
            self.isatty: Callable[[], bool] = lambda: terminal

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None: ...

    for terminal in (True, False):
        stream = Stream(terminal)
        tell = progress("a.onnx", 2_000_000, stream)  # type: ignore[arg-type]  # of a stream it uses these
        tell(500_000)
        tell(2_000_000)
        lines = stream.text.split("\r")[1:]
        assert [line.split("[")[1][:30].count("#") for line in lines] == ([8, 30] if terminal else [])
        assert stream.text.endswith("of 2.0 MB\n") == terminal


# In flows


def test_a_flow_names_a_public_model(server: type[Answer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.served["/tiny.onnx"] = TINY_MODEL.read_bytes()
    source = PUBLIC["tiny-model"].files[0].source
    here = source._replace(size=TINY_MODEL.stat().st_size, sha256=hashlib.sha256(TINY_MODEL.read_bytes()).hexdigest())
    PUBLIC["tiny-model"] = PUBLIC["tiny-model"]._replace(files=(PublicFile("tiny.onnx", here),))
    Path("flow.yaml").write_text(FLOW)
    assert main(["check", "flow.yaml"]) == 1
    said = capsys.readouterr().out
    assert "flow.yaml:4:47" in said
    assert "the public model 'tiny-model' is not here yet" in said
    assert "run `flowrt models fetch tiny-model`" in said
    assert main(["run", "flow.yaml", "--http", "off"]) == 1
    assert not server.asked, "nothing is fetched unless it is allowed"
    assert main(["check", "flow.yaml", "--fetch"]) == 0
    assert len(server.asked) == 1
    flow, diagnostics = read("flow.yaml")
    assert flow is not None
    assert not diagnostics
    server.served.clear()
    fetched().unlink()
    assert main(["check", "flow.yaml", "--fetch"]) == 1
    assert "404 Not Found" in capsys.readouterr().out


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(PUBLIC)
    wanted = {"yolox-nano", "yolox-tiny", "yolox-s", "dfine-n", "deimv2-n", "person-vehicle-bike-detection-2003"}
    assert wanted <= {row["name"] for row in rows}
    for row in rows:
        assert row["licence"]
        assert row["suits"]
        assert bool(row["files"]) != bool(row["manual"])
        for file in row["files"]:
            assert file["url"].startswith("https://")
            assert len(bytes.fromhex(file["sha256"])) == 32
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert all(file["sha256"] in said for row in rows for file in row["files"])


def test_the_page_names_every_public_model() -> None:
    for name, model in PUBLIC.items():
        size = f"{model.size / 1e6:.1f} MB" if model.files else "-"
        ap = "-" if model.ap is None else f"{model.ap:g}"
        assert f"| `{name}` | {size} | {model.licence} | {model.gflops:g} | {ap} | {model.suits} |" in PAGE


@pytest.mark.parametrize("line", re.findall(r"```yaml\n(.*?)\n```", PAGE))
def test_lines_of_the_page_are_checked(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with them but that public models are not here."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    folder = tmp_path / "best_openvino_model"
    folder.mkdir()
    shutil.copyfile(TINY_MODEL, folder / "best.onnx")
    flow = tmp_path / "flow.yaml"
    flow.write_text(FLOW.replace(FLOW.splitlines()[3], f"  {line}"))
    _, diagnostics = read(flow)
    assert all("is not here yet" in diagnostic.message for diagnostic in diagnostics)
    assert bool(diagnostics) == ("best_openvino_model" not in line)


# Shown


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["models", "show", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("case", "model", "words", "family", "object_"),
    [
        ("05", "pose.xml", [], "YOLO, its keypoints unused", ("person", 0.9)),
        ("06", "seg.xml", [], "YOLO, its mask coefficients unused", ("car", 0.8)),
        ("08", "v5p6.xml", [], "YOLO with objectness", ("car", 0.72)),
        ("09", "bare.xml", ["--labels", "metadata.yaml"], "YOLO", ("car", None)),
        ("10", "yolox_decoded.xml", [], "YOLOX", ("car", 0.72)),
        ("17", "detect.xml", [], "YOLO", ("car", None)),
        ("23", "best_openvino_model", [], "YOLO", ("car", None)),
    ],
)
def test_a_model_is_shown_with_what_it_finds(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case,
    model,
    words,
    family,
    object_,
) -> None:
    monkeypatch.chdir(case_folder(case))
    drawn = tmp_path / "drawn.png"
    facts = shown(capsys, model, "--picture", "grey.png", "-o", str(drawn), *words)
    assert facts["family"] == family
    assert facts["why"]
    [found] = facts["objects"]
    assert found["class"] == object_[0]
    assert object_[1] in (None, round(found["confidence"], 2))
    assert [round(side) for side in found["box_px"]] == [22, 17, 42, 47]
    picture, before = cv2.imread(str(drawn)), cv2.imread("grey.png")
    assert picture.shape == before.shape
    assert (picture[17:47, 22:42] != before[17:47, 22:42]).any()


def test_a_real_model_is_shown_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, clip = str(data_file("yolox_nano.onnx")), str(data_file("bridge-traffic.mp4"))
    assert main(["models", "show", model, "--picture", clip, "--at", "2", "--min-confidence", "0.4"]) == 0
    said = capsys.readouterr().out
    for text in (
        "images [1,3,416,416]",
        "output [1, 3549, 85]",
        "yolox, raw grid offsets",
        "cells of grids with strides 8, 16, 32",
        "letterbox (family), grey 114",
        "bgr (family)",
        "person, bicycle, car, motorcycle",
        "objects in",
    ):
        assert text in said
    assert main(["models", "show", model, "--colours", "rgb", "--scale", "255"]) == 0
    said = capsys.readouterr().out
    assert "rgb (setting)" in said
    assert "255 (setting)" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["gone.onnx"], 3, "there is no model 'gone.onnx'"),
        (["dfine-n"], 3, "run `flowrt models fetch dfine-n`"),
        ([str(TINY_MODEL), "-o", "x.png"], 2, "name one with --picture"),
        ([str(TINY_MODEL), "--picture", "gone.png"], 3, "there is no picture gone.png"),
        ([str(TINY_MODEL), "--decoder", "ssd"], 3, "are not those of a 'ssd' model"),
        ([str(TINY_MODEL), "--labels", "gone.txt"], 3, "gone.txt: the labels file can't be read"),
    ],
)
def test_what_cannot_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words, code, said
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["models", "show", *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
