"""The link from the table of violations to the picture: served by the run itself, with a browser's password where it is open."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from servers import free_port

TOKEN = "picture-token"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small flow that is reachable from other machines, with one picture in its data folder."""
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "flow.yaml").write_text(
        "flow: f\nsite: s\nnodes:\n  tick: {type: timer, every_s: 1}\n  out: {type: debug, from: tick}\n"
    )
    data = folder / "data"
    (data / "snapshots").mkdir(parents=True)
    (data / "snapshots" / "a1.jpg").write_bytes(b"\xff\xd8picture")
    (data / "secret.txt").write_text("not for you")
    (data / "snapshots" / "link.jpg").symlink_to(data / "secret.txt")
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "FLOWRT_DATA": str(data), "FLOWRT_HTTP_TOKEN": TOKEN, "MQTT_URL": "", "INFLUX_URL": ""}
    command = [
        sys.executable,
        "-m",
        "flowrt.cli",
        "run",
        str(folder / "flow.yaml"),
        "--plain",
        "--http",
        f"0.0.0.0:{port}",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            assert process.poll() is None, process.communicate()[1].decode()[-1000:]
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def get(url: str, authorization: str = "") -> tuple[int, bytes, str]:
    """Status, body, and how the server asks for a password."""
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers.get("WWW-Authenticate", "")


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_a_browser_is_asked_for_a_password_and_gets_the_picture(server: str) -> None:
    status, _, asks = get(f"{server}/snapshots/a1.jpg")
    assert (status, asks[:5]) == (401, "Basic")
    assert get(f"{server}/snapshots/a1.jpg", basic("guess"))[0] == 401
    assert get(f"{server}/snapshots/a1.jpg", "Basic %%%")[0] == 401
    assert get(f"{server}/snapshots/a1.jpg", basic(TOKEN))[:2] == (200, b"\xff\xd8picture")
    assert get(f"{server}/snapshots/a1.jpg", f"Bearer {TOKEN}")[0] == 200


def test_fault_16_a_snapshot_that_is_a_link_is_not_served(server: str) -> None:
    status, body, _ = get(f"{server}/snapshots/link.jpg", f"Bearer {TOKEN}")
    assert (status, b"not for you" in body) == (404, False)


@pytest.mark.parametrize(
    "name", ["nothing.jpg", "..%2fsecret.txt", "%2e%2e/secret.txt", "a1.jpg%00.txt", "..%2f..%2fflow.yaml"]
)
def test_nothing_else_can_be_had(server: str, name: str) -> None:
    status, body, _ = get(f"{server}/snapshots/{name}", f"Bearer {TOKEN}")
    assert status == 404
    assert b"not for you" not in body
