"""Saves of the page: all or nothing, never over another's edit, and undone byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt_web.editing.files import MAX_BACKUPS, Changed, EditedFiles, content_hash


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "scenes.yaml"
    file.write_bytes(b"\xef\xbb\xbfscene: {}\r\n")
    file.chmod(0o640)
    return file


def test_a_save_keeps_the_mode_and_leaves_nothing_else_behind(file: Path, tmp_path: Path) -> None:
    files = EditedFiles(tmp_path / "data")
    new = files.save(file, content_hash(file.read_bytes()), b"scene: {a: 1}\n")
    assert file.read_bytes() == b"scene: {a: 1}\n"
    assert new == content_hash(file.read_bytes())
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "scenes.yaml"]
    (backup,) = (tmp_path / "data" / "page-edits").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600, "it may hold what only the user may read"


def test_a_file_that_another_changed_is_left_alone(file: Path, tmp_path: Path) -> None:
    files = EditedFiles(tmp_path / "data")
    before = content_hash(file.read_bytes())
    file.write_bytes(b"theirs\n")
    with pytest.raises(Changed, match="changed meanwhile"):
        files.save(file, before, b"mine\n")
    assert file.read_bytes() == b"theirs\n"
    files.save(file, content_hash(b"theirs\n"), b"mine\n")
    file.write_bytes(b"theirs again\n")
    assert files.undoable() is None
    with pytest.raises(Changed):
        files.undo()
    assert file.read_bytes() == b"theirs again\n"
    file.unlink()
    with pytest.raises(Changed, match="gone"):
        files.save(file, before, b"mine\n")


def test_a_link_is_followed_to_its_file(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    EditedFiles(tmp_path / "data").save(link, content_hash(file.read_bytes()), b"new\n")
    assert link.is_symlink()
    assert file.read_bytes() == b"new\n"


def test_a_full_disk_leaves_the_file_as_it_was(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        EditedFiles(tmp_path / "data").save(file, content_hash(before), b"new\n")
    assert file.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "scenes.yaml"]


def test_only_the_last_saves_are_kept(file: Path, tmp_path: Path) -> None:
    files = EditedFiles(tmp_path / "data")
    known = content_hash(file.read_bytes())
    for number in range(MAX_BACKUPS + 5):
        known = files.save(file, known, f"{number}\n".encode())
    assert len(list((tmp_path / "data" / "page-edits").iterdir())) == MAX_BACKUPS


def test_only_saves_of_the_flows_own_files_are_undone(file: Path, tmp_path: Path) -> None:
    """Flows may share a data folder."""
    mine, theirs = file, tmp_path / "theirs.yaml"
    theirs.write_bytes(b"theirs\n")
    files = EditedFiles(tmp_path / "data", lambda each: each == mine.resolve())
    other = EditedFiles(tmp_path / "data", lambda each: each == theirs.resolve())
    before = mine.read_bytes()
    files.save(mine, content_hash(before), b"new\n")
    other.save(theirs, content_hash(b"theirs\n"), b"new\n")
    assert Path(files.undo().file) == mine.resolve()
    assert mine.read_bytes() == before
    assert theirs.read_bytes() == b"new\n"
    assert files.undoable() is None
    with pytest.raises(Changed, match="nothing to undo"):
        files.undo()
    assert other.undoable() is not None


def test_a_cut_backup_is_passed_over(file: Path, tmp_path: Path) -> None:
    files = EditedFiles(tmp_path / "data")
    before = file.read_bytes()
    files.save(file, content_hash(before), b"new\n")
    (tmp_path / "data" / "page-edits" / "000002.json").write_bytes(b"")
    assert files.undoable() is not None
    files.undo()
    assert file.read_bytes() == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.binary(max_size=60), min_size=2, max_size=6))
def test_undo_gives_back_every_byte_also_after_a_new_start(tmp_path: Path, contents: list[bytes]) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(contents[0])
    for content in contents[1:]:
        EditedFiles(tmp_path / "d").save(file, content_hash(file.read_bytes()), content)
    for content in reversed(contents[:-1]):
        EditedFiles(tmp_path / "d").undo()
        assert file.read_bytes() == content
    with pytest.raises(Changed, match="nothing to undo"):
        EditedFiles(tmp_path / "d").undo()
