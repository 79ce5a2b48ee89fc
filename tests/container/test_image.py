"""What is in the image."""

from __future__ import annotations

import json
from importlib.metadata import entry_points

import pytest
from container.engine import Engine

from flowrt.commands import BUILT_IN, GROUP

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_it_has_at_most_900_mb(engine: Engine, image: str) -> None:
    assert json.loads(engine.podman("image", "inspect", image))[0]["Size"] <= 900e6


def test_every_command_answers_help(engine: Engine, image: str) -> None:
    names = sorted({*BUILT_IN, *(found.name for found in entry_points(group=GROUP))})
    script = "for name in " + " ".join(names) + '; do flowrt "$name" --help > /tmp/help || echo "failed: $name"; done'
    said = engine.podman(
        "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--entrypoint", "sh", image, "-c", script
    )
    assert "score" in names
    assert said == ""
