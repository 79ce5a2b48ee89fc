"""Overlay, snapshots and videos: what is drawn, what is written, what is kept."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import context, opened

from flowrt import Detections, Frame, Line, Location, RoadUser, Scene, SignalState, Tracks, Violation, Zone, ZoneEvent
from flowrt.traffic.rules.evidence import save_snapshot
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes._lib.labels import FONT, Lettering
from flowrt_nodes._lib.overlay import CLASS_COLOURS, Overlay
from flowrt_nodes.snapshot import Snapshot
from flowrt_nodes.video_out import VideoOut

GREY = 90


def scene() -> Scene:
    return Scene(
        name="north",
        picture_px=(640, 360),
        zones={"lane": Zone(name="lane", points=((100, 100), (300, 100), (300, 300), (100, 300)), kind="lane")},
        lines={"stop": Line(name="stop", points=((400, 200), (600, 200)), kind="stop_line")},
    )


def frame(time_s: float, camera: str = "north", size: tuple[int, int] = (640, 360), value: int = GREY) -> Frame:
    image = np.full((size[1], size[0], 3), value, np.uint8)
    image.flags.writeable = False
    return Frame(time_s=time_s, camera_id=camera, image=image)


def detections(of: Frame) -> Detections:
    return Detections(
        time_s=of.time_s,
        camera_id=of.camera_id,
        boxes_px=np.array([[400, 100, 480, 160]], np.float32),
        confidence=np.array([0.8], np.float32),
        class_id=np.array([0]),
        labels=("car",),
        picture_px=of.size_px,
        frame=of,
    )


def tracks(of: Frame, speed_kmh: float = np.nan) -> Tracks:
    one = np.array([speed_kmh], np.float32)
    return Tracks.of(
        detections(of),
        np.array([0]),
        track_id=np.array([7]),
        age_s=np.array([1.0], np.float32),
        velocity_px_s=np.zeros((1, 2), np.float32),
    ).replace(speed_kmh=one)


def violation(time_s: float, phase: str = "new", camera: str = "north") -> Violation:
    return Violation(
        time_s=time_s,
        camera_id=camera,
        id="abc123",
        violation_type="red_light",
        severity="high",
        phase=phase,
        location=Location(x_px=440, y_px=160),
        object=RoadUser(track_id=7, label="car", confidence=0.8, box_px=(400, 100, 480, 160)),
        evidence={},
        started_s=time_s,
    )


def zone_event(time_s: float) -> ZoneEvent:
    return ZoneEvent(
        time_s=time_s,
        camera_id="north",
        id="e1",
        roi_id="lane",
        roi_type="lane",
        event_type="entry",
        object=RoadUser(track_id=7, label="car", confidence=0.8, box_px=(400, 100, 480, 160)),
        location=Location(x_px=440, y_px=160),
    )


def near(picture: np.ndarray, x: int, y: int, colour: tuple[int, int, int], reach: int = 2) -> bool:
    """Whether a colour is found around a pixel."""
    part = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(int)
    return bool((np.abs(part - colour).max(axis=1) < 12).any())


# Overlay


def test_boxes_zones_and_lines_lie_where_they_should():
    picture = Overlay(scene()).draw(tracks(frame(0.0)))
    assert near(picture, 400, 130, CLASS_COLOURS["car"])
    assert near(picture, 480, 130, CLASS_COLOURS["car"])
    assert not near(picture, 440, 130, CLASS_COLOURS["car"])  # the vehicle stays visible
    inside, outside = picture[250, 150].astype(int), picture[330, 150].astype(int)
    assert outside.tolist() == [GREY] * 3
    assert inside.tolist() != outside.tolist()
    assert np.abs(inside - outside).max() < 60  # translucent
    assert not near(picture, 420, 200, (GREY, GREY, GREY), reach=0)  # the line
    arrow = picture[205:215, 480:520].reshape(-1, 3)  # forward is to the right of left-to-right: downwards
    assert (arrow != GREY).any()


def test_the_original_picture_is_not_touched():
    of = frame(0.0)
    Overlay(scene()).draw(tracks(of))
    assert (of.image == GREY).all()


def test_a_scene_drawn_for_another_size_fits():
    picture = Overlay(scene()).draw(frame(0.0, size=(1280, 720)))
    assert picture[500, 300].tolist() != [GREY] * 3
    assert picture[660, 300].tolist() == [GREY] * 3


def test_a_violation_is_marked_for_a_while():
    overlay = Overlay(None)
    before = overlay.draw(tracks(frame(10.0)))
    overlay.note(violation(10.0))
    marked = overlay.draw(tracks(frame(10.5)))
    later = overlay.draw(tracks(frame(20.0)))
    red = [60, 20, 235]
    assert not near(before, 400, 130, red)
    assert near(marked, 400, 130, red)
    assert not near(later, 400, 130, red)


def test_signal_states_are_shown():
    overlay = Overlay(None)
    plain = overlay.draw(frame(0.0))
    overlay.note(
        SignalState(time_s=0.0, states={"phase_2": "stop-And-Remain", "phase_4": "protected-movement-allowed"})
    )
    shown = overlay.draw(frame(0.0))
    corner = shown[:80, -60:].reshape(-1, 3).tolist()
    assert [60, 40, 230] in corner
    assert [80, 200, 60] in corner
    assert (plain[:80, -60:] == GREY).all()


def test_speed_and_number_make_the_tag_longer():
    overlay, width, of = Overlay(None), {}, frame(0.0, size=(1280, 720))
    for seen in (detections(of), tracks(of, speed_kmh=43.0)):
        picture = overlay.draw(seen)
        [(text, place)] = overlay.placed
        width[text] = place.x1 - place.x0
        assert (picture[place.y0 + 1, place.x0 : place.x1] == CLASS_COLOURS["car"]).all(), "its plate"
    assert list(width) == ["car 0.80", "7 car 43 km/h"]
    assert width["7 car 43 km/h"] > width["car 0.80"] > 0


def crowd(size: tuple[int, int], n: int, seed: int) -> Tracks:
    """Road users all over a picture, and over each other."""
    rng = np.random.default_rng(seed)
    width, height = size
    x, y = rng.uniform(0, width * 0.92, n), rng.uniform(0, height * 0.85, n)
    w, h = rng.uniform(0.02, 0.08, n) * width, rng.uniform(0.04, 0.15, n) * height
    of = frame(0.0, size=size)
    seen = Detections(
        time_s=0.0, camera_id="north", boxes_px=np.stack((x, y, x + w, y + h), axis=1).astype(np.float32),
        confidence=np.full(n, 0.8, np.float32), class_id=np.zeros(n, np.int64), labels=("car",), picture_px=size, frame=of,
    )  # fmt: skip
    still = np.zeros((n, 2), np.float32)
    made = Tracks.of(
        seen, np.arange(n), track_id=np.arange(1, n + 1), age_s=np.ones(n, np.float32), velocity_px_s=still
    )
    return made.replace(speed_kmh=rng.uniform(0, 70, n).astype(np.float32))


@pytest.mark.parametrize("labels", ["legend", "zones", "objects"])
@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720), (3840, 2160)])
def test_labels_stand_apart_and_hide_nothing_that_they_name(size, labels):
    for seed in range(5):
        overlay = Overlay(scene(), labels)
        overlay.note(SignalState(time_s=0.0, states={"phase_2": "dark", "phase_4": "dark"}))
        seen = crowd(size, 12, seed)
        overlay.draw(seen)
        places = [place for _, place in overlay.placed]
        for i, a in enumerate(places):
            assert a.x0 >= 0, a
            assert a.x1 <= size[0]
            assert all(a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0 for b in places[i + 1 :])
        own = {text.split()[0]: place for text, place in overlay.placed if text.split()[0].isdigit()}
        assert len(own) >= (9 if size[0] > 400 else 6), "room is found for nearly all"
        for number, box in zip(seen.track_id.tolist(), seen.boxes_px.tolist(), strict=True):
            if (place := own.get(str(number))) is not None:
                outside = place.x1 <= box[0] or box[2] <= place.x0 or place.y1 <= box[1] or box[3] <= place.y0
                assert outside, f"{number} is hidden by its own label"
        names = [text for text, _ in overlay.placed if not text.split()[0].isdigit()]
        assert set(names) <= {"legend": {"legend"}, "zones": {"stop", "lane"}, "objects": set()}[labels]


@pytest.mark.parametrize(("height", "least", "most"), [(180, 8, 14), (720, 10, 16), (2160, 26, 48)])
def test_letters_can_be_read_at_any_size(height, least, most):
    letters = Lettering.of(height)
    (_, high), _ = cv2.getTextSize("43", FONT, letters.scale, letters.thickness)
    assert least <= high <= most


def test_zones_are_named_once_in_the_legend_or_where_they_are_or_not_at_all():
    of = frame(0.0, size=(1280, 720))
    drawn = {}
    for labels in ("legend", "zones", "objects", "none"):
        overlay = Overlay(scene(), labels)
        overlay.draw(tracks(of))
        drawn[labels] = [text for text, _ in overlay.placed]
    assert drawn == {
        "legend": ["7 car", "legend"],
        "zones": ["7 car", "stop", "lane"],
        "objects": ["7 car"],
        "none": [],
    }


def test_who_offends_gets_a_place_first():
    seen = crowd((640, 360), 200, 3)
    overlay = Overlay(None)
    offender = int(np.argmin(seen.boxes_px[:, 3]))
    overlay.note(msgspec.structs.replace(violation(0.0), object=RoadUser.of(seen, offender)))
    overlay.draw(seen)
    text, _ = overlay.placed[0]
    assert text.startswith(f"{offender + 1} ")
    assert text.endswith("red light")
    assert len(overlay.placed) < 200, "what has no room is left out"


@pytest.mark.parametrize("size", [(64, 36), (320, 180), (1280, 720), (3840, 2160)])
def test_any_picture_size_can_be_drawn_on(size):
    overlay = Overlay(scene())
    overlay.note(SignalState(time_s=0.0, states={"a_long_signal_name": "dark"}))
    assert overlay.draw(tracks(frame(0.0, size=size))).shape == (size[1], size[0], 3)


def test_without_a_picture_there_is_nothing_to_draw_on():
    with pytest.raises(ValueError, match="no picture"):
        Overlay(None).draw(tracks(frame(0.0)).replace(frame=None))


# Snapshots


def pictures(where) -> list[str]:
    return sorted(file.name for file in (where.data / "snapshots").iterdir())


def test_a_picture_for_each_event(virtual):
    with opened(Snapshot(), virtual) as node:
        node.process(tracks(frame(1_000_000_000.0)))
        node.process(violation(1_000_000_000.0))
        node.process(violation(1_000_000_000.5, phase="update"))
        node.process(violation(1_000_000_000.9, phase="end"))
    assert pictures(virtual) == ["north_20010909T014640.000Z_red_light_abc123.jpg"]
    picture = cv2.imread(str(virtual.data / "snapshots" / pictures(virtual)[0]))
    assert picture.shape == (360, 640, 3)
    assert (picture[:, :, 2].astype(int) - picture[:, :, 0] > 100).any()  # the red box


def test_an_event_that_comes_before_its_picture_waits_for_it(virtual):
    with opened(Snapshot(), virtual) as node:
        node.process(tracks(frame(10.0)))
        node.process(zone_event(10.1))
        assert pictures(virtual) == []
        node.process(tracks(frame(10.1)))
    assert pictures(virtual) == ["north_19700101T000010.100Z_lane_entry_e1.jpg"]


def test_pictures_at_intervals_of_each_camera(virtual):
    with opened(Snapshot(every_s=1.0), virtual) as node:
        for step in range(25):
            for camera in ("north", "south"):
                node.process(frame(step / 10, camera))
    assert len(pictures(virtual)) == 6
    assert pictures(virtual)[0] == "north_19700101T000000.000Z_view.jpg"


def test_the_oldest_pictures_go(virtual):
    with opened(Snapshot(every_s=1.0, keep_files=3), virtual) as node:
        for second in range(6):
            node.process(frame(float(second)))
    assert [name[19:21] for name in pictures(virtual)] == ["03", "04", "05"]
    with opened(Snapshot(every_s=1.0, keep_files=2), virtual) as node:  # those of an earlier run count
        node.process(frame(60.0))
        assert node.status()["files"] == 2
    assert [name[17:21] for name in pictures(virtual)] == ["0005", "0100"]


def test_the_folder_stays_within_its_size(virtual):
    noise = np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8)
    with opened(Snapshot(every_s=1.0, keep_mb=0.5), virtual) as node:
        for second in range(6):
            node.process(Frame(time_s=float(second), camera_id="north", image=noise))
    total = sum(file.stat().st_size for file in (virtual.data / "snapshots").iterdir())
    assert 0 < total <= 500_000


def test_a_disk_that_takes_nothing_is_said(virtual):
    with opened(Snapshot(every_s=1.0), virtual) as node:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
        try:
            with pytest.raises(OSError, match=r"view\.jpg can't be written: File too large"):
                node.process(frame(0.0))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, most)
        assert pictures(virtual) == []
        node.process(frame(5.0))  # and it goes on when there is room again
    assert len(pictures(virtual)) == 1


# Private files


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_fault_16_what_the_cameras_saw_is_for_the_owner_alone(virtual, open_umask):
    with (
        opened(Snapshot(every_s=1.0), virtual) as snapshots,
        opened(VideoOut(path="videos/v.mp4", fps=10), virtual) as video,
    ):
        for step in range(3):
            snapshots.process(frame(float(step)))
            video.process(frame(step / 10))
        assert mode(virtual.data / "videos" / "v.partial.mp4") == 0o600
    for folder in ("snapshots", "videos"):
        assert mode(virtual.data / folder) == 0o700
        files = list((virtual.data / folder).iterdir())
        assert files
        assert {mode(file) for file in files} == {0o600}


def test_fault_16_planted_links_are_not_followed(virtual, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    name = "north_19700101T000000.000Z_view"
    with (
        opened(Snapshot(every_s=1.0), virtual) as snapshots,
        opened(VideoOut(path="v.mp4", fps=10), virtual) as video,
    ):
        for suffix in ("partial", "jpg"):
            (virtual.data / "snapshots" / f"{name}.{suffix}").symlink_to(outside)
        (virtual.data / "v.partial.mp4").symlink_to(outside)
        snapshots.process(frame(0.0))
        with pytest.raises(OSError, match=r"v\.partial\.mp4 is a link, which is not followed"):
            video.process(frame(0.0))
    assert outside.read_text() == "precious"
    assert not (virtual.data / "snapshots" / f"{name}.jpg").is_symlink()


def test_fault_16_evidence_is_for_the_owner_alone_and_follows_no_link(tmp_path, open_umask):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    folder = tmp_path / "data" / "snapshots"
    seen = tracks(frame(0.0))
    assert save_snapshot(folder, "first", seen, 0) == "snapshots/first.jpg"
    assert (mode(folder), mode(folder / "first.jpg")) == (0o700, 0o600)
    for suffix in ("partial", "jpg"):
        (folder / f"second.{suffix}").symlink_to(outside)
    save_snapshot(folder, "second", seen, 0)
    assert outside.read_text() == "precious"
    assert not (folder / "second.jpg").is_symlink()
    assert {file.name for file in folder.iterdir()} == {"first.jpg", "second.jpg"}


# Videos


def frames_of(file: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(file))
    found = []
    while True:
        ok, image = capture.read()
        if not ok:
            return found
        found.append(image)


def test_a_video_keeps_the_flows_time(virtual):
    with opened(VideoOut(path="out/north.mp4"), virtual) as node:
        for step in (0, 1, 2, 3, 6, 7, 8):  # two pictures are missing
            node.process(frame(step / 10, value=20 * step + 20))
        assert (virtual.data / "out" / "north.partial.mp4").exists()
        list(node.finish())
    made = frames_of(virtual.data / "out" / "north.mp4")
    assert [round(float(each[300:, 300:].mean()) / 20) - 1 for each in made] == [0, 1, 2, 3, 3, 3, 6, 7, 8]
    assert cv2.VideoCapture(str(virtual.data / "out" / "north.mp4")).get(cv2.CAP_PROP_FPS) == 10.0
    assert not (virtual.data / "out" / "north.partial.mp4").exists()


@pytest.mark.parametrize("first_s", [1.0, 0.004])
def test_fault_21_one_odd_interval_does_not_set_the_rate(virtual, first_s):
    """Without `fps`, of a camera of 10 pictures a second whose first interval was another."""
    with opened(VideoOut(), virtual) as node:
        for step in range(30):
            node.process(frame((first_s if step else 0.0) + max(step - 1, 0) / 10))
    made = cv2.VideoCapture(str(virtual.data / "video.mp4"))
    assert made.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert made.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(29 + first_s * 10, abs=1)


def test_close_finishes_the_file_too(virtual):
    with opened(VideoOut(fps=10), virtual) as node:
        for step in range(5):
            node.process(tracks(frame(step / 10)))
    assert len(frames_of(virtual.data / "video.mp4")) == 5


def test_pictures_faster_than_the_file_are_left_out(virtual):
    with opened(VideoOut(fps=10), virtual) as node:
        for step in range(40):
            node.process(frame(step / 40))
    assert 10 <= len(frames_of(virtual.data / "video.mp4")) <= 11


def test_a_long_pause_is_not_filled(virtual):
    with opened(VideoOut(fps=10), virtual) as node:
        for time_s in (0.0, 0.1, 3600.0, 3600.1):
            node.process(frame(time_s))
    assert len(frames_of(virtual.data / "video.mp4")) == 4


def test_segments_and_cameras_get_files_of_their_own(virtual):
    with opened(VideoOut(path="v.mp4", fps=10, segment_s=1.0), virtual) as node:
        for step in range(25):
            node.process(frame(step / 10, "north"))
            node.process(frame(step / 10, "south/2"))
    files = sorted(file.name for file in virtual.data.glob("*.mp4"))
    assert files == [
        "v-000.mp4", "v-001.mp4", "v-002.mp4", "v-south_2-000.mp4", "v-south_2-001.mp4", "v-south_2-002.mp4",
    ]  # fmt: skip
    assert [len(frames_of(virtual.data / name)) for name in files] == [10, 10, 5] * 2


def test_width_and_odd_sizes(virtual):
    with opened(VideoOut(fps=10, width_px=321), virtual) as node:
        for step in range(3):
            node.process(frame(step / 10, size=(641, 361)))
    assert frames_of(virtual.data / "video.mp4")[0].shape == (180, 320, 3)


def test_a_single_picture_is_a_video_too(virtual):
    with opened(VideoOut(), virtual) as node:
        node.process(frame(0.0))
    assert len(frames_of(virtual.data / "video.mp4")) == 1


def test_a_folder_that_can_not_be_made_refuses_the_start(tmp_path):
    where = context(tmp_path)
    (where.data / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken"), opened(VideoOut(path="taken/v.mp4"), where):
        pass


def test_a_violation_shows_in_the_video(virtual):
    with opened(VideoOut(fps=10), virtual) as node:
        node.process(tracks(frame(0.0)))
        node.process(violation(0.0))
        for step in (1, 2):
            node.process(tracks(frame(step / 10)))
    made = frames_of(virtual.data / "video.mp4")
    reddish = [int((each[:, :, 2].astype(int) - each[:, :, 0] > 100).sum()) for each in made]
    assert reddish[0] == 0
    assert min(reddish[1:]) > 100


def test_vp9_for_browsers(virtual):
    with opened(VideoOut(fps=10, codec="vp9", width_px=160), virtual) as node:
        for step in range(5):
            node.process(frame(step / 10))
    assert len(frames_of(virtual.data / "video.mp4")) == 5
