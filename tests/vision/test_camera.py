"""The camera on files, folders and bad input. Live cameras have a file of their own."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from harness import data_file, opened

from flowrt import CameraStatus, Frame
from flowrt.addresses import without_passwords
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera import Camera


def run(camera: Camera, where) -> tuple[list[Frame], list[CameraStatus]]:
    with opened(camera, where):
        made = list(camera.produce())
    return [m for m in made if isinstance(m, Frame)], [m for m in made if isinstance(m, CameraStatus)]


class View(NamedTuple):
    folder: Path
    services: dict = {}


def test_a_file_gives_every_frame_in_order_at_its_own_times(virtual, clip):
    frames, status = run(Camera(uri=str(clip), start="2026-05-04T12:30:00Z", position="north"), virtual)
    assert [frame.number for frame in frames] == list(range(20))
    assert [round(frame.time_s - 1777897800, 6) for frame in frames] == [round(n / 10, 6) for n in range(20)]
    greys = [float(frame.image.mean()) for frame in frames]
    assert np.allclose(greys, [10 * n for n in range(20)], atol=4.9)
    assert {frame.size_px for frame in frames} == {(160, 120)}
    assert {(frame.camera_id, frame.position) for frame in frames} == {("north", "north")}
    assert [(s.status, s.resolution) for s in status] == [("online", "160x120"), ("offline", "160x120")]
    assert status[0].fps == 10.0
    assert status[-1].detail == "ended after 20 pictures"


def test_a_frame_can_not_be_written_to(virtual, clip):
    frames, _ = run(Camera(uri=str(clip)), virtual)
    with pytest.raises(ValueError, match="read-only"):
        frames[0].image[0, 0] = 1


def test_under_virtual_time_a_clip_begins_at_the_clocks_time(virtual, clip):
    frames, _ = run(Camera(uri=str(clip)), virtual)
    assert frames[0].time_s == 1000.0


def test_asap_takes_the_files_own_time(real, clip):
    frames, _ = run(Camera(uri=str(clip), pace="asap"), real)
    assert frames[0].time_s == clip.stat().st_mtime


def test_realtime_keeps_the_files_pace(real, clip):
    began_s = time.monotonic()
    frames, _ = run(Camera(uri=str(clip)), real)
    assert time.monotonic() - began_s >= 1.9  # twenty frames at ten a second, whatever the machine does
    assert abs(frames[0].time_s - time.time()) < 60


def test_fps_thins_evenly(virtual, clip):
    frames, _ = run(Camera(uri=str(clip), fps=5), virtual)
    assert [frame.number for frame in frames] == list(range(0, 20, 2))
    frames, _ = run(Camera(uri=str(clip), fps=4), virtual)
    assert len(frames) == 8


def test_loop_goes_on_in_time_and_number(virtual, clip):
    with opened(Camera(uri=str(clip), loop=True), virtual) as camera:
        frames = []
        for message in camera.produce():
            if isinstance(message, Frame):
                frames.append(message)
            if len(frames) == 45:
                break
    assert [frame.number for frame in frames] == list(range(45))
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 0.1)
    assert abs(float(frames[20].image.mean()) - float(frames[0].image.mean())) < 3


def test_stopping_ends_a_paced_clip_at_once(real, clip):
    with opened(Camera(uri=str(clip), fps=0.5), real) as camera:
        made = camera.produce()
        next(made)
        real.stopping.set()
        began_s = time.monotonic()
        assert not [m for m in made if isinstance(m, Frame)][1:]
        assert time.monotonic() - began_s < 1.0


def test_a_renamed_camera_goes_on_where_it_was(virtual, clip):
    with opened(Camera(uri=str(clip)), virtual) as camera:
        made = (m for m in camera.produce() if isinstance(m, Frame))
        seen = [next(made).number for _ in range(5)]
        state = camera.export_state()
    virtual.stopping.clear()
    with opened(Camera(uri=str(clip)), virtual) as successor:
        successor.import_state(state)
        seen += [m.number for m in successor.produce() if isinstance(m, Frame)]
    assert seen[:5] == list(range(5))
    assert seen[-1] == 19
    assert sorted(set(seen)) == list(range(20))


def test_a_folder_is_read_in_natural_order(virtual, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (10, 9, 1):
        cv2.imwrite(str(folder / f"frame_{number}.png"), np.full((20, 30, 3), number, np.uint8))
    (folder / "notes.txt").write_text("no picture")
    frames, _ = run(Camera(uri="pictures", fps=2), virtual)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 9, 10]
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 0.5)


def test_an_unreadable_picture_is_named_in_the_status(virtual, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((20, 30, 3), np.uint8))
    (folder / "b.png").write_bytes(b"\x89PNG and then nothing")
    frames, status = run(Camera(uri="pictures"), virtual)
    assert len(frames) == 1
    assert (status[-1].status, status[-1].detail) == ("error", "1 pictures could not be read, the first is b.png")


def test_real_clips_are_read_whole(virtual):
    frames, status = run(Camera(uri=str(data_file("parking-lot-cars.mp4"))), virtual)
    assert len(frames) == 377
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 0.08, atol=1e-6)
    assert status[-1].status == "offline"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.mp4", None, "there is no such file"),
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"hello\n" * 1000, "no video that can be read"),
        ("noise.avi", bytes(np.random.default_rng(1).integers(0, 256, 100_000, np.uint8)), "no video that can be read"),
        ("broken.png", b"\x89PNG", "no picture that can be read"),
    ],
)
def test_bad_files_are_refused_with_one_line(virtual, tmp_path, capfd, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught, opened(Camera(uri=name), virtual):
        pass
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{name}: ")
    assert capfd.readouterr().err == ""  # nothing of FFmpeg's or OpenCV's own


def test_a_video_without_frames_is_refused(virtual, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "zero.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (160, 120))
    writer.release()
    with (
        pytest.raises(ValueError, match=r"zero\.mp4: the video can't be read.*no frames"),
        opened(Camera(uri="zero.mp4"), virtual),
    ):
        pass


def test_a_video_cut_before_its_index_is_refused(virtual, tmp_path, clip):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with (
        pytest.raises(ValueError, match=r"cut\.mp4: the video can't be read.*truncated"),
        opened(Camera(uri="cut.mp4"), virtual),
    ):
        pass


def test_a_video_cut_behind_its_index_ends_with_an_error(virtual, tmp_path, caplog):
    whole = data_file("parking-lot-cars.mp4").read_bytes()  # its index stands first
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.ERROR):
        frames, status = run(Camera(uri="cut.mp4"), virtual)
    assert 100 < len(frames) < 300
    assert status[-1].status == "error"
    assert status[-1].detail == f"ended after {len(frames)} of 377 frames: the file is truncated or damaged"
    assert status[-1].detail in caplog.text


def test_an_empty_folder_is_refused(virtual, tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match="the folder has no pictures"), opened(Camera(uri="pictures"), virtual):
        pass


@pytest.mark.parametrize(
    ("settings", "path", "says"),
    [
        ({"uri": "shrot.mp4"}, ("uri",), "did you mean 'short.mp4'?"),
        ({"uri": ""}, ("uri",), "expected a file"),
        ({"uri": "empty.mp4"}, ("uri",), "expected a video"),
        ({"uri": "short.mp4", "start": "yesterday"}, ("start",), "2026-05-04T12:30:00Z"),
        ({"uri": "rtsp://x/y", "reconnect_s": 60.0}, ("reconnect_max_s",), ""),
    ],
)
def test_check_finds_what_is_wrong_before_a_run(tmp_path, clip, settings, path, says):
    (tmp_path / "short.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "empty.mp4").touch()
    diagnostics = list(Camera(**settings).check(View(tmp_path)))
    assert [diagnostic.keys for diagnostic in diagnostics] == [path]
    assert says in diagnostics[0].hint


def test_check_finds_nothing_wrong_with_good_settings(tmp_path, clip):
    for settings in (
        {"uri": str(clip)},
        {"uri": str(clip), "start": "now"},
        {"uri": 0},
        {"uri": "0"},
        {"uri": "rtsp://192.168.1.20/stream1"},
        {"uri": "sim://four-way?camera=north"},
    ):
        assert list(Camera(**settings).check(View(tmp_path))) == []


def test_which_sources_are_live():
    live = {
        uri: Camera(uri=uri).live for uri in ("a.mp4", "sim://north", "rtsp://a/b", "http://a/b", "/dev/video0", "1", 2)
    }
    assert live == {
        "a.mp4": False, "sim://north": False, "rtsp://a/b": True, "http://a/b": True, "/dev/video0": True, "1": True, 2: True,
    }  # fmt: skip


def test_a_uri_may_be_a_number():
    assert msgspec.convert({"uri": 1}, Camera).uri == 1
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"uri": [1]}, Camera)


def test_credentials_are_without_passwords():
    assert without_passwords("rtsp://admin:hunter2@10.0.0.5/s1?token=abc&x=1") == "rtsp://***@10.0.0.5/s1?token=***&x=1"
    assert without_passwords("clips/north.mp4") == "clips/north.mp4"


SIM = "sim://four-way?seed=7&camera=north&fps=10&size=320x180&duration_s=1"


def test_the_simulation_gives_the_same_pictures_every_time(virtual):
    frames, status = run(Camera(uri=SIM, position="north"), virtual)
    again, _ = run(Camera(uri=SIM, position="north"), virtual)
    assert [round(frame.time_s - 1000, 6) for frame in frames] == [n / 10 for n in range(10)]
    assert {frame.size_px for frame in frames} == {(320, 180)}
    assert all((a.image == b.image).all() for a, b in zip(frames, again, strict=True))
    assert (frames[0].image != frames[-1].image).any()
    assert [s.status for s in status] == ["online", "offline"]


def test_a_wrong_parameter_of_the_simulation_is_named(virtual):
    with (
        pytest.raises(ValueError, match="did you mean 'camera'"),
        opened(Camera(uri="sim://four-way?camra=north"), virtual),
    ):
        pass
