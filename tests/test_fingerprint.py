"""Fingerprints: content counts, not the time of the last change; what was settled is not read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flowrt.system import fingerprint as module
from flowrt.system.fingerprint import Fingerprints

fingerprint = Fingerprints().of


@pytest.mark.parametrize("size", [10, 1_000_010], ids=["small", "large"])
def test_content_counts(tmp_path: Path, size: int) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"a" * size)
    first = fingerprint(file)
    os.utime(file, ns=(1, 1))
    assert fingerprint(file) == first, "touched, not changed"
    file.write_bytes(b"a" * (size - 1) + b"b")
    os.utime(file, ns=(2, 2))
    assert fingerprint(file) not in (first, ""), "the same size, another content"
    file.unlink()
    assert fingerprint(file) == ""


def test_a_file_that_changed_a_moment_ago_is_read_each_time(tmp_path: Path) -> None:
    """Its times may not show that it changed again: clocks of file systems tick in milliseconds, some in seconds."""
    file = tmp_path / "flow.yaml"
    seen = set()
    for number in range(200):
        file.write_text(f"{number:03}")
        seen.add(fingerprint(file))
    assert len(seen) == 200


def test_a_settled_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", 0)
    file = tmp_path / "model.bin"
    file.write_bytes(bytes(1000))
    time.sleep(0.02)
    first = fingerprint(file)
    with monkeypatch.context() as patched:
        patched.setattr(module.hashlib, "file_digest", None)  # who reads now fails
        assert fingerprint(file) == first
    other = tmp_path / "other.bin"
    other.write_bytes(b"a" * 1000)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    assert fingerprint(file) not in (first, ""), "another file of the same size and time was moved into its place"


def test_beyond_what_is_read_size_and_time_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 1000)
    file = tmp_path / "clip.mp4"
    file.write_bytes(bytes(1001))
    first = fingerprint(file)
    os.utime(file, ns=(3, 3))
    assert fingerprint(file) not in (first, "")
