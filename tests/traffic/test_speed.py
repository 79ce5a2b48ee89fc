"""Places, speeds, headings and lengths on the ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import context, feed, opened
from traffic.street import PICTURE_PX, START_S, Actor, Array, Way, along, play, street, tracks_of

from flowrt import Homography, Scene, Tracks
from flowrt.traffic.geometry.footprint import SIZES_M
from flowrt_nodes.speed import Speed


def errors_kmh(
    way: Way, label: str, folder: Path, *, until_s: float, **play_settings: float
) -> tuple[np.ndarray, np.ndarray]:
    """Speed errors and the uncertainties that were claimed, once the track is a second old."""
    errors, sigmas = [], []
    with opened(Speed(scene="north"), context(folder, scene=street())) as node:
        for tracks in feed(node, play([Actor(1, label, way)], until_s, **play_settings)):  # type: ignore[arg-type]
            assert isinstance(tracks, Tracks)
            t = tracks.time_s - START_S
            if not len(tracks) or t < 1.0:
                continue
            (ax, ay), (bx, by) = way(t - 0.05), way(t + 0.05)
            errors.append(float(tracks.speed_kmh[0]) - np.hypot(bx - ax, by - ay) / 0.1 * 3.6)
            sigmas.append(float(tracks.speed_sigma_kmh[0]))
    return np.array(errors), np.array(sigmas)


STRAIGHT = along((0, -1.75, 55), (5, -1.75, -8))
AWAY = along((0, 1.75, -5), (5, 1.75, 50))


def arc(t: float) -> tuple[float, float]:
    """A turn to the driver's right at 6 m/s."""
    if t < 2:
        return -1.75, 22 - 6 * t
    angle = min((t - 2) * 6 / 10, np.pi / 2)
    on = 6 * max(t - 2 - np.pi / 2 * 10 / 6, 0.0)
    return -1.75 - 10 * (1 - np.cos(angle)) - on, 10 - 10 * np.sin(angle)


@pytest.mark.parametrize("way", [STRAIGHT, AWAY, arc])
@pytest.mark.parametrize("label", ["car", "truck"])
def test_speed_is_right(way: Way, label: str, tmp_path: Path) -> None:
    errors, _ = errors_kmh(way, label, tmp_path, until_s=4.5, noise_px=1.0)
    assert np.abs(errors).mean() < 2.0


def test_speed_with_lost_and_late_pictures(tmp_path: Path) -> None:
    errors, sigmas = errors_kmh(STRAIGHT, "car", tmp_path, until_s=4.5, noise_px=1.0, drops=0.3, jitter_s=0.06)
    assert np.abs(errors).mean() < 2.5
    assert np.mean(np.abs(errors) < 2 * sigmas) > 0.9


def test_speed_fills_every_column(tmp_path: Path) -> None:
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        pictures = [node.process(tracks) for tracks in play([Actor(1, "car", STRAIGHT)], 4)]
    assert np.isnan(pictures[0].speed_kmh[0])  # one picture tells no speed
    last = pictures[-1]
    assert last.heading_deg[0] == pytest.approx(-90, abs=2)
    assert last.velocity_m_s[0] == pytest.approx([0, -12.6], abs=0.5)
    assert last.ground_m[0] == pytest.approx(STRAIGHT(4.0), abs=0.3)
    assert last.speed_sigma_kmh[0] < 6


def test_a_standing_vehicle_keeps_its_heading(tmp_path: Path) -> None:
    way = along((0, -1.75, 40), (3, -1.75, 10), (8, -1.75, 10))
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        last = [node.process(tracks) for tracks in play([Actor(1, "car", way)], 8, noise_px=0.5)][-1]
    assert last.speed_kmh[0] < 3
    assert last.heading_deg[0] == pytest.approx(-90, abs=15)


def test_a_box_that_jumps_does_not_turn_round_who_stands(tmp_path: Path) -> None:
    way = along((0, -1.75, 40), (3, -1.75, 10), (5, -1.75, 10), (5.4, -1.75, 11.5), (6, -1.75, 10.5), (8, -1.75, 10.5))
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        seen = [node.process(tracks) for tracks in play([Actor(1, "car", way, heading_deg=-90)], 8, fps=5)]
    assert max(t.speed_kmh[0] for t in seen if t.time_s > START_S + 5) > 5
    assert seen[-1].heading_deg[0] == pytest.approx(-90, abs=20)


def test_who_comes_back_is_turned_round(tmp_path: Path) -> None:
    way = along((0, -1.75, 40), (3, -1.75, 10), (6, -1.75, 10), (9, -1.75, 35))
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        last = [node.process(tracks) for tracks in play([Actor(1, "car", way)], 9, fps=5)][-1]
    assert last.heading_deg[0] == pytest.approx(90, abs=5)


def test_cut_off_boxes_tell_no_place(tmp_path: Path) -> None:
    """Beyond the picture's border the filter goes on as before, less and less sure."""
    way = along((0, -1.75, 30), (6, -1.75, -30))
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        seen = [node.process(tracks) for tracks in play([Actor(1, "car", way)], 4.7)]
    cut = [t for t in seen if t.boxes_px[0, 3] >= PICTURE_PX[1] - 1.5]
    assert len(cut) >= 3
    assert cut[-1].speed_kmh[0] == pytest.approx(36, abs=4)
    assert cut[-1].speed_sigma_kmh[0] > cut[0].speed_sigma_kmh[0]


def displaced(begin_s: float, end_s: float, by_m: float = -7.0) -> Way:
    """Stands at y = 20, but its box is that of something `by_m` further on for a while: it was drawn around two."""
    return lambda t: (-1.75, 20.0 + (by_m if begin_s <= t < end_s else 0.0))


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0])
def test_a_box_elsewhere_moves_nobody(fps: float, tmp_path: Path) -> None:
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        made = [node.process(t) for t in play([Actor(1, "car", displaced(2, 2.6))], 4, fps=fps, noise_px=0.5)]
    known = [tracks for tracks in made if tracks.time_s - START_S > 1]
    assert max(abs(tracks.ground_m[0, 1] - 20) for tracks in known) < 1
    assert max(tracks.speed_kmh[0] for tracks in known) < 8
    doubted = [tracks for tracks in known if 2 <= round(tracks.time_s - START_S, 3) < 2.6]
    assert all(tracks.speed_sigma_kmh[0] > 15 for tracks in doubted)
    assert known[-1].speed_sigma_kmh[0] < 6


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0])
def test_who_stays_elsewhere_begins_anew_there(fps: float, tmp_path: Path) -> None:
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        made = [node.process(t) for t in play([Actor(1, "car", displaced(2, 9))], 4, fps=fps, noise_px=0.5)]
    known = [tracks for tracks in made if tracks.time_s - START_S > 1]
    assert any(np.isnan(tracks.speed_kmh[0]) for tracks in known), "what is known of it ends in between"
    assert np.nanmax([tracks.speed_kmh[0] for tracks in known]) < 10, "it did not drive there"
    assert known[-1].ground_m[0, 1] == pytest.approx(13, abs=1)
    assert known[-1].speed_kmh[0] < 5


def test_lost_pictures_make_no_new_track(tmp_path: Path) -> None:
    """For a second no picture comes; who was there before and is there after is the same, and his speed is known."""
    pictures = [
        t for t in play([Actor(1, "car", STRAIGHT)], 4, fps=5, noise_px=0.5) if not 1.5 < t.time_s - START_S < 2.5
    ]
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        made = [node.process(tracks) for tracks in pictures]
    speeds = [tracks.speed_kmh[0] for tracks in made[3:]]
    assert speeds == pytest.approx([45.4] * len(speeds), abs=6)


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0])
def test_emergency_braking_is_no_jump(fps: float, tmp_path: Path) -> None:
    """From 54 km/h at 9 m/s²: as hard as cars brake."""

    def way(t: float) -> tuple[float, float]:
        braking = min(max(t - 1.5, 0.0), 15 / 9)
        return -1.75, 45 - 15 * min(t, 1.5) - 15 * braking + 4.5 * braking**2

    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        made = [node.process(t) for t in play([Actor(1, "car", way)], 4, fps=fps, noise_px=0.5)]
    for tracks in (each for each in made if each.time_s - START_S > 1):
        assert tracks.ground_m[0, 1] == pytest.approx(way(tracks.time_s - START_S)[1], abs=1.5)
        assert tracks.speed_sigma_kmh[0] < 8
    assert made[-1].speed_kmh[0] < 6


def turning_errors(folder: Path, **play_settings: Any) -> tuple[Array, Array]:
    """Of a truck that turns right: how far off its place is, in metres, and its heading, in degrees, in each picture of the turn."""
    truck = Actor(1, "truck", arc)
    places, headings = [], []
    with opened(Speed(scene="north"), context(folder, scene=street())) as node:
        for tracks in feed(node, play([truck], 4.4, fps=5, **play_settings)):
            assert isinstance(tracks, Tracks)
            t = tracks.time_s - START_S
            if t < 2.2 or not len(tracks):
                continue
            dx, dy = truck.heading(t)
            off = np.radians(float(tracks.heading_deg[0])) - np.arctan2(dy, dx)
            headings.append(abs(np.degrees((off + np.pi) % (2 * np.pi) - np.pi)))
            places.append(np.hypot(*(tracks.ground_m[0] - truck.path(t))))
    return np.array(places), np.array(headings)


def test_a_detector_that_tells_footprints_keeps_up_with_turns(tmp_path: Path) -> None:
    """Boxes alone tell a heading from the movement, which is late."""
    places, headings = turning_errors(tmp_path, noise_px=1.0, tells_px=1.5)
    late_places, late_headings = turning_errors(tmp_path, noise_px=1.0)
    assert headings.mean() < 4
    assert headings.mean() < 0.4 * late_headings.mean()
    assert places.mean() < 0.25
    assert places.mean() < late_places.mean()


def test_who_stands_is_placed_by_the_told_axis(tmp_path: Path) -> None:
    """A truck found standing across the lane, front or rear told as it happens; its box alone says that it stands along."""
    truck = Actor(1, "truck", lambda t: (0.0, 12.0), heading_deg=35)
    off = []
    for tells_px in (1.0, None):
        with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
            last = [node.process(tracks) for tracks in play([truck], 2, noise_px=0.5, tells_px=tells_px)][-1]
        off.append(float(np.hypot(*(last.ground_m[0] - (0.0, 12.0)))))
    assert off[0] < 0.25
    assert off[0] < 0.5 * off[1]


def test_a_told_middle_holds_where_a_box_is_half_hidden(tmp_path: Path) -> None:
    """The lower half of the box is missing, as behind a wall; the detector knows where the feet would be, not exactly."""

    def seen(tells_px: float | None) -> float:
        last = None
        with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
            for tracks in play([Actor(1, "pedestrian", lambda t: (5.0, 15.0))], 3, tells_px=tells_px):
                boxes = tracks.boxes_px.copy()
                boxes[:, 3] -= 0.4 * (boxes[:, 3] - boxes[:, 1])
                last = node.process(tracks.replace(boxes_px=boxes))
        assert last is not None
        return float(np.hypot(*(last.ground_m[0] - (5.0, 15.0))))

    assert seen(2.0) < 1.0
    assert seen(None) > 2.5


@pytest.mark.parametrize(("label", "length_m"), [("car", 3.7), ("car", 5.1), ("truck", 9.6), ("bus", 12.4)])
def test_a_length_is_learned(label: str, length_m: float, tmp_path: Path) -> None:
    """From what a detector tells in each picture, a little off, of one that is longer or shorter than is usual."""
    actor = Actor(1, label, along((0, -1.75, 45), (6, -1.75, 3), (9, -1.75, 3)), heading_deg=-90, length_m=length_m)
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        seen = [node.process(tracks) for tracks in play([actor], 9, fps=5, noise_px=0.5, tells_px=0.7)]
    seen = [tracks for tracks in seen if len(tracks) and np.isfinite(tracks.length_m[0])]
    usual_m = SIZES_M[label][0]
    assert seen[-1].length_sigma_m[0] < 0.6 * seen[0].length_sigma_m[0]
    assert seen[-1].length_m[0] == pytest.approx(length_m, abs=0.3 * abs(length_m - usual_m))
    front_m = seen[-1].ground_m[0, 1] - seen[-1].length_m[0] / 2
    assert front_m == pytest.approx(3 - length_m / 2, abs=0.3)


def test_no_length_is_learned_of_parts_and_people(tmp_path: Path) -> None:
    """Where a bus is half hidden, its footprint is told too short; and without footprints nothing is known."""
    way = along((0, -14, 22), (4, 14, 22))
    bus, walker = Actor(1, "bus", way, heading_deg=0), Actor(2, "pedestrian", along((0, 5, 10), (4, 5, 14)))
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        for tracks in play([bus, walker], 4, fps=5, tells_px=1.0):
            told = tracks.footprints_px.copy()
            told[0, 2:4] *= 0.45
            found = node.process(tracks.replace(footprints_px=told))
            assert np.isnan(found.length_m).all()
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        assert all(np.isnan(node.process(tracks).length_m).all() for tracks in play([bus], 4, fps=5))


@pytest.mark.parametrize("label", ["truck", "bus"])
def test_who_is_half_hidden_goes_on_as_he_drove(label: str, tmp_path: Path) -> None:
    """Of one that drives across, the rear half is hidden: the detector tells a short footprint, askew, and where the front is."""
    actor = Actor(1, label, along((0, -14, 22), (4, 14, 22)), heading_deg=0)
    off, swung = [0.0], [0.0]
    with opened(Speed(scene="north"), context(tmp_path, scene=street())) as node:
        for tracks in play([actor], 4, fps=5, noise_px=0.5, tells_px=1.5):
            t = tracks.time_s - START_S
            if 1.5 < t < 2.7:
                share = float(np.interp(t, [1.5, 2.1], [1, 0.45]))
                (x0, y0, x1, y1), (_, y, length_px, *_) = tracks.boxes_px[0], tracks.footprints_px[0]
                x0 = x1 - share * (x1 - x0)
                told = [(x0 + x1) / 2, y, abs(length_px) * max(share - 0.35, 0.1), 12 * (1 - share), 6.0, 10.0]
                tracks = tracks.replace(
                    boxes_px=np.array([[x0, y0, x1, y1]], np.float32), footprints_px=np.array([told], np.float32)
                )
            found = node.process(tracks)
            if t > 1.0:
                off.append(float(np.hypot(*(found.ground_m[0] - actor.path(t)))))
                swung.append(abs((float(found.heading_deg[0]) + 180) % 360 - 180))
    assert max(swung) < 10
    assert max(off) < 3.5, "less than the half that is hidden"


def test_speed_needs_a_homography(tmp_path: Path) -> None:
    class View:
        def entry(self, section: str, name: str) -> Scene:
            return street(homography=False)

    [diagnostic] = Speed(scene="north").check(View())  # type: ignore[arg-type]
    assert "no homography" in diagnostic.message


def test_tracks_beyond_the_horizon_stay_unknown(tmp_path: Path) -> None:
    scene = Scene(
        name="north",
        picture_px=PICTURE_PX,
        homography=Homography(
            image_px=((400, 700), (900, 700), (700, 400), (560, 400)), ground_m=((-5, 0), (5, 0), (5, 40), (-5, 40))
        ),
    )
    with opened(Speed(scene="north"), context(tmp_path, scene=scene)) as node:
        for i in range(5):
            out = node.process(
                tracks_of(START_S + i * 0.1, [1, 2], ["car", "car"], [[600, 10, 640, 30], [600, 500, 700, 560]])
            )
    assert np.isnan(out.ground_m[0]).all()
    assert np.isnan(out.speed_kmh[0])
    assert np.isfinite(out.speed_kmh[1])
    assert len(out) == 2
