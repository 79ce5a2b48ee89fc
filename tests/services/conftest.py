"""What the tests of this folder share: folders with secrets, and the contract."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flowrt.contract import Contract
from flowrt_ops.services.home import Home
from flowrt_ops.services.secrets import initialise


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract.load()


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What `flowrt services init` writes for InfluxDB 2 and for 3, once: certificates take a moment."""
    folders = {version: tmp_path_factory.mktemp(f"init{version}") for version in (2, 3)}
    for version, folder in folders.items():
        initialise(Home(folder), influx=version)
    return folders


@pytest.fixture
def new_home(initialised: dict[int, Path], tmp_path: Path) -> Callable[[int], Home]:
    """A folder of its own, as after `flowrt services init --influx VERSION`."""

    def make(version: int) -> Home:
        home = Home(tmp_path / f"services{version}")
        shutil.copytree(initialised[version], home.folder)
        home.write_environment(home.ports)
        return home

    return make
