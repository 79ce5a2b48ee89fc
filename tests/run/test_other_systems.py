"""A run where what only POSIX has is taken away, as on Windows: it detects, records, reloads, delivers and ends well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FLOW = """\
flow: elsewhere
nodes:
  ticks: {type: timer, every_s: 0.1}
  kept: {type: file_out, from: ticks, path: ticks.jsonl}
"""
WITHOUT = """\
import os, signal, sys
for name in ("statvfs", "getuid", "geteuid", "getgid", "getegid", "chown", "fchmod", "killpg", "getpgid", "setsid", "fork", "mkfifo",
             "getloadavg", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP", "pthread_kill", "setitimer"):
    if hasattr(signal, name):
        delattr(signal, name)
from flowrt.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_needs_no_call_that_only_posix_has(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "without.py").write_text(WITHOUT)
    done = subprocess.run(
        [sys.executable, "without.py", "run", "flow.yaml", "--duration", "3", "--plain", "--http", "127.0.0.1:0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    counts = re.search(r"kept: (\d+) accepted, 0 resumed, (\d+) delivered, 0 pending, 0 dead letters", said)
    assert counts, said
    assert int(counts[1]) == int(counts[2]) > 10
    assert len((tmp_path / "ticks.jsonl").read_text().splitlines()) == int(counts[2])
