"""The link from the table of violations to the picture: served by the run itself, by a signed address or with a password."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import free_port

from flowrt.system.signed_links import KEY_FILE, SignedLinks

TOKEN = "picture-token"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evidence") / "data"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[str]:
    """A small flow that is reachable from other machines, with one picture in its data folder."""
    folder = data.parent
    (folder / "flow.yaml").write_text(
        "flow: f\nsite: s\nnodes:\n  tick: {type: timer, every_s: 1}\n  out: {type: debug, from: tick}\n"
    )
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


def get(url: str, authorization: str = "") -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_without_a_signed_address_the_picture_asks_for_the_token(server: str) -> None:
    assert get(f"{server}/snapshots/a1.jpg")[0] == 401
    assert get(f"{server}/snapshots/a1.jpg", "Bearer guess")[0] == 401
    assert get(f"{server}/snapshots/a1.jpg", f"Bearer {TOKEN}") == (200, b"\xff\xd8picture")


def test_fault_16_a_snapshot_that_is_a_link_is_not_served(server: str) -> None:
    status, body = get(f"{server}/snapshots/link.jpg", f"Bearer {TOKEN}")
    assert (status, b"not for you" in body) == (404, False)


@pytest.mark.parametrize(
    "name", ["nothing.jpg", "..%2fsecret.txt", "%2e%2e/secret.txt", "a1.jpg%00.txt", "..%2f..%2fflow.yaml"]
)
def test_nothing_else_can_be_had(server: str, name: str) -> None:
    status, body = get(f"{server}/snapshots/{name}", f"Bearer {TOKEN}")
    assert status == 404
    assert b"not for you" not in body


def test_a_signed_address_needs_no_password_until_it_expires(tmp_path: Path) -> None:
    links = SignedLinks(tmp_path)
    assert links.address("snapshots/a 1.jpg", 1000.0) == "", "nothing is served"
    links.base = "https://north.example"
    address = links.address("snapshots/a 1.jpg", 1000.0)
    assert address.startswith("https://north.example/snapshots/a%201.jpg?until=2593000&by=")
    query = address.partition("?")[2]
    assert links.permits("snapshots/a 1.jpg", query, 1000.0)
    assert SignedLinks(tmp_path).permits("snapshots/a 1.jpg", query, 2593000.0), "another run knows the key"
    assert not links.permits("snapshots/a 1.jpg", query, 2593001.0)
    assert not links.permits("snapshots/a 2.jpg", query, 1000.0)
    assert not links.permits("snapshots/a 1.jpg", query.replace("until=2", "until=3"), 1000.0)
    for other in ("", "until=", "until=9999999999", "until=²&by=x", "by=x", "until=9999999999&by=%ff", "&" * 5):
        assert not links.permits("snapshots/a 1.jpg", other, 1000.0)
    (tmp_path / KEY_FILE).unlink()
    assert not SignedLinks(tmp_path).permits("snapshots/a 1.jpg", query, 1000.0), "a new key revokes"
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_the_run_serves_it_to_another_site(server: str, data: Path) -> None:
    links = SignedLinks(data)
    links.base = server
    address = links.address("snapshots/a1.jpg", time.time())
    request = urllib.request.Request(address, headers={"Host": "grafana.example", "Referer": "http://grafana.example/"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.read() == b"\xff\xd8picture"
        assert answer.headers.get_all("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert get(links.address("snapshots/a1.jpg", time.time() - 31 * 86400))[0] == 401
    assert get(address.replace("a1.jpg", "link.jpg"))[0] == 401
    assert get(address.replace("snapshots/a1.jpg", "api/status"))[0] == 401
    assert get(links.address("snapshots/link.jpg", time.time()))[0] == 404, "a link is not followed, whoever asks"
