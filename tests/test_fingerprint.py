"""Fingerprints: content counts, not the time of the last change; large files are read once a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowrt import fingerprint as module
from flowrt.fingerprint import SMALL_BYTES, fingerprint


@pytest.mark.parametrize("size", [10, SMALL_BYTES + 10], ids=["small", "large"])
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


def test_a_large_file_is_read_again_only_when_its_size_or_time_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(bytes(SMALL_BYTES + 1))
    first = fingerprint(file)
    monkeypatch.setattr(module.hashlib, "file_digest", None)  # who reads now fails
    assert fingerprint(file) == first


def test_beyond_what_is_read_size_and_time_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", SMALL_BYTES)
    file = tmp_path / "clip.mp4"
    file.write_bytes(bytes(SMALL_BYTES + 1))
    first = fingerprint(file)
    os.utime(file, ns=(3, 3))
    assert fingerprint(file) not in (first, "")
