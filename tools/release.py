"""Build what a release is made of, check it, and try it where nothing else is installed.

python -m tools.release           into dist/: the source distribution, the wheel, and a bill of materials (CycloneDX)

Run by `make release`, with the tools of `.venv/.tools`. It ends with exit code 1 at the first thing that is wrong.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
TOOLS = Path(sys.executable).parent
RUN_S = 20


def main() -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        return _fail(f"CHANGELOG.md has no section [{version}]: move what is under [Unreleased] there")
    shutil.rmtree(DIST, ignore_errors=True)
    _call(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    built = sorted(map(str, DIST.iterdir()))
    _call(str(TOOLS / "twine"), "check", "--strict", *built)
    wheel = next(name for name in built if name.endswith(".whl"))
    # W002: two files of the same content; empty py.typed files are.
    _call(str(TOOLS / "check-wheel-contents"), "--ignore", "W002,W009", wheel)
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(Path(wheel), Path(folder), version)
        _call(
            str(TOOLS / "cyclonedx-py"), "environment", "--output-file", str(DIST / f"flowrt-{version}.cdx.json"),
            str(Path(folder) / "environment"),
        )  # fmt: skip
    print(
        "\n".join(f"{file.stat().st_size / 1e6:7.2f} MB  {file.relative_to(ROOT)}" for file in sorted(DIST.iterdir()))
    )
    return 0


def try_wheel(wheel: Path, folder: Path, version: str) -> None:
    """Install the wheel in an empty environment, and run the shipped flow, its page and `flowrt doctor` there."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    bin_folder = environment / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [str(bin_folder / "python"), "-m", "pip", "install", "--quiet"]
    _call(*pip, "--require-hashes", "--requirement", str(ROOT / "requirements" / "run.txt"))
    _call(*pip, "--no-deps", str(wheel))
    flowrt = str(bin_folder / "flowrt")
    _call(flowrt, "--version", cwd=folder)
    _call(flowrt, "doctor", cwd=folder)
    share = subprocess.run(
        [str(bin_folder / "python"), "-c", "from flowrt.system.resources import share; print(share('flows'))"],
        cwd=folder, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    address = "127.0.0.1:8490"
    run = subprocess.Popen(
        [flowrt, "run", str(Path(share) / "intersection.yaml"), "--http", address, "--plain", "--duration", str(RUN_S)],
        cwd=folder,
    )
    try:
        end = time.monotonic() + RUN_S
        while (status := json.loads(_fetch(f"http://{address}/api/status")))[
            "state"
        ] == "starting" and time.monotonic() < end:
            time.sleep(0.2)
        page = _fetch(f"http://{address}/")
    finally:
        code = run.wait(RUN_S + 60)
    if code or status["state"] != "running" or b"<html" not in page:
        sys.exit(_fail(f"the shipped flow: exit code {code}, state {status['state']}, a page of {len(page)} bytes"))
    print(f"flowrt {version} runs from the wheel, and serves its page")


def _fetch(url: str) -> bytes:
    end = time.monotonic() + RUN_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _call(*command: str, cwd: Path = ROOT) -> None:
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=cwd, check=False)
    if done.returncode:
        sys.exit(_fail(f"{Path(command[0]).name} ended with {done.returncode}"))


def _fail(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
