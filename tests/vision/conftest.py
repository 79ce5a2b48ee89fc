"""What the vision tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import context

from flowrt.clock import SystemClock, VirtualClock
from flowrt_nodes._lib.cv import cv2


@pytest.fixture
def virtual(tmp_path: Path):
    """A context under virtual time; the camera is called `north`."""
    return context(tmp_path, name="north", clock=VirtualClock(1_000.0))


@pytest.fixture
def real(tmp_path: Path):
    """A context under the machine's clock."""
    return context(tmp_path, name="north", clock=SystemClock())


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 160x120 at 10 a second; frame n is grey 10 n."""
    file = tmp_path_factory.mktemp("clip") / "short.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (160, 120))
    for number in range(20):
        writer.write(np.full((120, 160, 3), 10 * number, np.uint8))
    writer.release()
    return file
