"""One engine and one image for all tests of this folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from container.engine import Engine, what_is_missing
from harness import PROJECT

IMAGE = "localhost/flowrt:local"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the base images that `docker/` names.

    `FLOWRT_TEST_CONTAINERS` names a folder that keeps them between runs.
    """
    missing = what_is_missing()
    if missing is not None:
        if os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    kept = os.environ.get("FLOWRT_TEST_CONTAINERS")
    engine = Engine(Path(kept) if kept else tmp_path_factory.mktemp("containers"))
    python = _image_name("Dockerfile", r"^FROM (python:\S+)")
    mosquitto = _image_name("compose.yaml", r"image: (eclipse-mosquitto:\S+)")
    if engine.try_podman("image", "exists", f"localhost/{mosquitto}").returncode:
        engine.make_base_images(python, mosquitto)
    yield engine
    if kept is None:
        engine.remove()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The image that `docker/Dockerfile` makes, under the name that the compose file has for it."""
    engine.build(PROJECT / "docker" / "Dockerfile", IMAGE, "--target", "app")
    return IMAGE


def _image_name(file: str, pattern: str) -> str:
    found = re.search(pattern, (PROJECT / "docker" / file).read_text(), re.MULTILINE)
    assert found
    return found[1]
