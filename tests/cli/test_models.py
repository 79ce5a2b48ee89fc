"""`flowrt models` against a real HTTP server on this machine: whole, corrupt, short, long and missing files."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt_ops.commands.models import MODELS, File, Model

CONTENT = bytes(range(256)) * 900


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that it is served at; `tiny` is a model that is known."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "tiny.onnx").write_bytes(CONTENT)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    file = File(f"{address}/tiny.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(MODELS, "tiny", Model("a model for tests", "Apache-2.0", (file,)))
    yield folder, address
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_fetched_once(served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "tiny", "--to", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "tiny.onnx").read_bytes() == CONTENT
    (served[0] / "tiny.onnx").unlink()
    assert main(["models", "pull", "tiny", "--to", str(tmp_path / "new")]) == 0
    assert "already" in capsys.readouterr().out


def test_a_mirror_is_asked_instead(served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (served[0] / "copy").mkdir()
    (served[0] / "tiny.onnx").rename(served[0] / "copy" / "tiny.onnx")
    assert main(["models", "pull", "tiny", "--to", str(tmp_path), "--mirror", served[1] + "/copy/"]) == 0
    assert (tmp_path / "tiny.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x01" + CONTENT[1:], "corrupt"),
        (CONTENT[:-5], "ended after"),
        (CONTENT + b"more", "longer than"),
        (None, "File not found"),
    ],
    ids=["corrupt", "short", "long", "missing"],
)
def test_what_is_not_the_model_is_not_kept(
    served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    (served[0] / "tiny.onnx").unlink()
    if content is not None:
        (served[0] / "tiny.onnx").write_bytes(content)
    old = tmp_path / "new" / "tiny.onnx"
    old.parent.mkdir()
    old.write_bytes(b"what was there")
    assert main(["models", "pull", "tiny", "--to", str(old.parent)]) == 3
    assert said in capsys.readouterr().err
    assert [file.name for file in old.parent.iterdir()] == ["tiny.onnx"]
    assert old.read_bytes() == b"what was there"


def test_a_server_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "yolox_nano", "--to", str(tmp_path), "--mirror", "http://127.0.0.1:9"]) == 3
    assert "can't be fetched" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unknown_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "yolox_nanno"]) == 2
    assert "yolox_nano" in capsys.readouterr().err


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(MODELS)
    for row in rows:
        for file in row["files"]:
            assert file["url"].startswith("https://")
            assert len(bytes.fromhex(file["sha256"])) == 32
    assert main(["models", "list"]) == 0
    assert "yolox_nano" in capsys.readouterr().out


def test_the_page_names_every_model_and_who_says_what_its_sums_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text("utf-8")
    for name, model in MODELS.items():
        size_mb = sum(file.size for file in model.files) / 1e6
        assert f"| `{name}` | {size_mb:.1f} MB | {model.licence} | {model.sums_from} |" in page
