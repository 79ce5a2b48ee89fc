"""The format of recordings: what is read equals what was written, also after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from flowrt import CameraStatus, Detections, FlowError, Message, Objects, SignalState, Tracks
from flowrt.testing import recording
from flowrt.testing.recording import Header, Recording, Writer

HEADER = Header(flow="f", site="s", nodes={"tracks": "track", "signals": "signal.sim"})


def pictures(count: int, stands: Callable[[int], NDArray[np.float32]] | None = None) -> list[Tracks]:
    """stands: the footprints of n tracks, where the model told them."""
    rng = np.random.default_rng(3)
    made = []
    for number in range(count):
        n = number % 4
        seen = Detections(
            time_s=1_700_000_000.0 + number / 10,
            camera_id="north",
            boxes_px=rng.uniform(0, 700, (n, 4)).astype(np.float32),
            confidence=rng.uniform(0, 1, n).astype(np.float32),
            class_id=rng.integers(0, 2, n),
            labels=("car", "pedestrian"),
            picture_px=(1280, 720),
            footprints_px=None if stands is None else stands(n),
            frame_number=number,
            processing_time_ms=12.5,
        )
        tracks = Tracks.of(
            seen,
            np.arange(n),
            track_id=np.arange(1, n + 1),
            age_s=rng.uniform(0, 9, n).astype(np.float32),
            velocity_px_s=rng.normal(0, 30, (n, 2)).astype(np.float32),
        )
        made.append(tracks)
    return made


def written(path: Path, messages: list[tuple[str, Message]]) -> None:
    writer = Writer(path, HEADER)
    for node, message in messages:
        writer.write(node, message)
    writer.close()


def assert_same(one: Message, other: Message) -> None:
    assert type(one) is type(other)
    for name in one.__struct_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            assert a == b, name


def test_what_is_read_equals_what_was_written(tmp_path: Path) -> None:
    sent: list[tuple[str, Message]] = [("tracks", each) for each in pictures(9)]
    zoned = pictures(4)[3].replace(
        zones=("in_1", "box"), in_zone=np.array([[True, False]] * 3), zone_since_s=np.array([[4.5, np.nan]] * 3),
        speed_kmh=np.array([50, np.nan, 3], np.float32),
    )  # fmt: skip
    sent.insert(4, ("tracks", zoned))
    sent.insert(2, ("signals", SignalState(time_s=1.5, states={"phase_2": "dark"}, since_s={"phase_2": 0.25})))
    sent.append(
        ("north", CameraStatus(time_s=3.0, camera_id="north", status="online", fps=10.0, resolution="1280x720"))
    )
    written(tmp_path / "r", sent)
    recording = Recording(tmp_path / "r")
    read = list(recording)
    assert recording.header == HEADER
    assert [node for node, _ in read] == [node for node, _ in sent]
    for (_, one), (_, other) in zip(sent, read, strict=True):
        assert_same(one, other)
    assert not recording.torn


@pytest.mark.parametrize("kind", [Tracks, Detections])
def test_footprints_are_kept(kind: type[Objects], tmp_path: Path) -> None:
    """Those of a model that tells them; of another there are none before and after."""
    rng = np.random.default_rng(6)
    told = pictures(5, lambda n: rng.normal(0, 30, (n, 6)).astype(np.float32))
    sent: list[Objects] = [*told, *pictures(5)]
    if kind is Detections:
        names = Detections.__struct_fields__
        sent = [Detections(**{name: getattr(each, name) for name in names}) for each in sent]
    written(tmp_path / "r", [("tracks", each) for each in sent])
    for one, (_, other) in zip(sent, Recording(tmp_path / "r"), strict=True):
        assert_same(one, other)


def test_a_recording_of_before_lengths_were_known_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = pictures(4, lambda n: np.ones((n, 6), np.float32))
    lengths = [np.full(len(each), 4.2, np.float32) for each in told]
    long = [each.replace(length_m=x, length_sigma_m=x / 20) for each, x in zip(told, lengths, strict=True)]
    with monkeypatch.context() as before:
        before.setattr(Tracks, "columns", tuple(each for each in Tracks.columns if "length" not in each.name))
        written(tmp_path / "r", [("tracks", each) for each in long])
    for one, (_, other) in zip(told, Recording(tmp_path / "r"), strict=True):
        assert_same(one, other)
    written(tmp_path / "new", [("tracks", each) for each in long])
    for one, (_, other) in zip(long, Recording(tmp_path / "new"), strict=True):
        assert_same(one, other)


def test_rows_are_chosen_with_their_footprints() -> None:
    told = pictures(4, lambda n: np.arange(6 * n, dtype=np.float32).reshape(n, 6))[3]
    assert told[np.array([2, 0])].footprints_px.tolist() == [[12, 13, 14, 15, 16, 17], [0, 1, 2, 3, 4, 5]]
    assert pictures(4)[3][np.array([1])].footprints_px is None


def test_it_is_compact(tmp_path: Path) -> None:
    written(tmp_path / "r", [("tracks", each) for each in pictures(400)])
    assert (
        tmp_path / "r"
    ).stat().st_size / 600 < 90  # bytes for each of 600 objects, 36 of them columns that are needed


def test_a_file_is_added_to(tmp_path: Path) -> None:
    written(tmp_path / "r", [("tracks", each) for each in pictures(5)])
    written(tmp_path / "r", [("tracks", each) for each in pictures(3)])
    assert [message.frame_number for _, message in Recording(tmp_path / "r") if isinstance(message, Tracks)] == [
        0, 1, 2, 3, 4, 0, 1, 2,
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100])
def test_a_torn_end_is_left_out_and_mended(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r"
    written(path, [("tracks", each) for each in pictures(5)])
    path.write_bytes(path.read_bytes()[:-cut])
    recording = Recording(path)
    numbers = [message.frame_number for _, message in recording if isinstance(message, Tracks)]
    assert recording.torn
    assert numbers == list(range(len(numbers)))
    assert len(numbers) in (3, 4)
    written(path, [("tracks", pictures(8)[7])])
    mended = Recording(path)
    assert [m.frame_number for _, m in mended if isinstance(m, Tracks)] == [*numbers, 7]
    assert not mended.torn


def test_a_flipped_bit_ends_the_reading_there(tmp_path: Path) -> None:
    path = tmp_path / "r"
    written(path, [("tracks", each) for each in pictures(9)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    recording = Recording(path)
    assert 0 < len(list(recording)) < 9
    assert recording.torn


def test_another_flows_recording_is_not_added_to(tmp_path: Path) -> None:
    written(tmp_path / "r", [])
    with pytest.raises(FlowError, match="is of 'f'"):
        Writer(tmp_path / "r", msgspec.structs.replace(HEADER, flow="g"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 40, b"flow: x\nnodes: {}\n"])
def test_other_files_are_no_recordings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(FlowError, match="no recording"):
        Recording(tmp_path / "r")


def test_a_recording_of_another_version_says_so(tmp_path: Path) -> None:
    Writer(tmp_path / "r", msgspec.structs.replace(HEADER, version=99)).close()
    with pytest.raises(FlowError, match="version 99"):
        Recording(tmp_path / "r")


def test_a_type_that_lost_and_got_fields_since_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lost is left out; what it got has its default."""
    layout = recording._layout(Tracks)
    new = "view_fault"  # as if it had come later; these pictures have its default
    older = recording._Layout(
        (*layout.changing, "since_gone"), (*(name for name in layout.steady if name != new), "gone_too")
    )

    def at_that_time(kind: type[Message]) -> recording._Layout:
        return older

    path = tmp_path / "old.rec"
    with monkeypatch.context() as then:
        then.setattr(recording, "_layout", at_that_time)
        then.setattr(Tracks, "since_gone", 1.5, raising=False)
        then.setattr(Tracks, "gone_too", "text", raising=False)
        written(path, [("tracks", message) for message in pictures(4)])
    for (_, read), message in zip(Recording(path), pictures(4), strict=True):
        assert_same(read, message)


def test_a_recording_that_does_not_name_its_fields_is_read_or_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.rec"
    whole = recording._Common
    monkeypatch.setattr(recording, "_Common", lambda *facts: whole(*facts[:5]))
    written(path, [("tracks", message) for message in pictures(2)])
    monkeypatch.undo()
    assert [message.time_s for _, message in Recording(path)] == [message.time_s for message in pictures(2)]
    layout = recording._layout(Tracks)
    monkeypatch.setattr(recording, "_layout", lambda kind: recording._Layout(layout.changing, (*layout.steady, "new")))
    with pytest.raises(FlowError, match=r"other fields than those of this flowrt.*record it again"):
        list(Recording(path))
