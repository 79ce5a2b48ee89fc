"""Podman with a store of its own, and base images made from Debian's packages.

The images that `docker/` names are not pulled: `debootstrap` makes a Debian system, and it is tagged with their names. The machine's own
package sources and certificates are used, so that this works behind a mirror as well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import PROJECT

TOOLS = ("podman", "runc", "debootstrap")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


def what_is_missing() -> str | None:
    """Why no container can be started here; None where one can."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}; run `sh tools/system-packages test`"
    return None if os.geteuid() == 0 else "debootstrap and the store of images need root"


class Engine:
    """Runs `podman` and `podman-compose` with images and containers in `folder` alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def try_podman(self, *args: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return self._run(["podman", *args], self.folder, self.environment, timeout_s)

    def podman(self, *args: str, timeout_s: float = 120) -> str:
        """What the command wrote to stdout; an AssertionError with all of its output where it failed."""
        return _succeeded(self.try_podman(*args, timeout_s=timeout_s))

    def compose(self, project: Path, *args: str, environment: Mapping[str, str]) -> str:
        command = [str(Path(sys.executable).with_name("podman-compose")), "-f", "compose.yaml", "--env-file", ".env"]
        return _succeeded(
            self._run([*command, *args], project / "docker", {**self.environment, **environment}, timeout_s=180)
        )

    def build(self, file: Path, tag: str, *args: str, timeout_s: float = 900) -> None:
        """An image of the project, with the machine's certificates in place while it is built."""
        self.podman(
            "build", "--network", "host", "--format", "docker", "--pull=never", "--file", str(file), "--tag", tag,
            *args, str(PROJECT), timeout_s=timeout_s,
        )  # fmt: skip

    def make_base_images(self, python: str, mosquitto: str) -> None:
        root = self.folder / "root"
        _succeeded(
            self._run(
                [
                    "debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv",
                    "bookworm", str(root), _mirror(),
                ],
                self.folder, self.environment, timeout_s=600,
            )
        )  # fmt: skip
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        shutil.copy(CERTIFICATES, root / "etc/ssl/certs")
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
        shutil.rmtree(root / "var/cache/apt/archives")
        archive = self.folder / "root.tar"
        _succeeded(self._run(["tar", "--create", "--file", str(archive), "."], root, self.environment, timeout_s=120))
        self.podman("import", str(archive), f"localhost/{python}")
        archive.unlink()
        shutil.rmtree(root)

        file = self.folder / "mosquitto.Dockerfile"
        file.write_text(
            f"FROM localhost/{python}\n"
            "RUN apt-get update && apt-get install --yes --no-install-recommends mosquitto mosquitto-clients\n"
        )
        self.build(file, f"localhost/{mosquitto}")

    def remove(self) -> None:
        """End what runs, and take away images and containers."""
        self.try_podman("rm", "--all", "--force", "--time", "0")
        for mounted in ("store/overlay", "store"):  # what `podman system reset` does, in a second instead of a minute
            subprocess.run(["umount", "--lazy", str(self.folder / mounted)], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _run(
        command: list[str], folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=False
        )


def _succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _mirror() -> str:
    """Where this machine gets Debian's packages from."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    assert found, "no source of Debian packages in /etc/apt"
    return found[1]


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> float:
    """Seconds until a condition held."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - start
