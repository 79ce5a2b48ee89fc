"""A lens that bends lines is straightened, and pictures are turned, before anything sees them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import opened

from flowrt import Frame, Image
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera import Camera

SIZE = WIDTH, HEIGHT = 640, 360
DOTS = [(x, y) for x in range(60, WIDTH, 65) for y in range(45, HEIGHT, 45)]


def bent(k1: float, k2: float, focal_px: float) -> Image:
    """White dots on black, at DOTS on the straight picture, as a lens shows them: by the definition, not by OpenCV."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for dot in DOTS:
        off = (np.array(dot) - middle) / focal_px
        r2 = float(off @ off)
        x, y = middle + off * (1 + k1 * r2 + k2 * r2**2) * focal_px
        cv2.circle(image, (round(x * 16), round(y * 16)), 4 * 16, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, 4)
    return image


def dots_in(image: Image) -> np.ndarray:
    _, _, _, centres = cv2.connectedComponentsWithStats((image[..., 0] > 96).astype(np.uint8))
    return np.asarray(centres[1:])


def first(where, picture: Image, folder: Path, **settings: object) -> Frame:
    cv2.imwrite(str(folder / "one.png"), picture)
    camera = msgspec.convert({"uri": str(folder / "one.png"), **settings}, Camera)
    with opened(camera, where):
        return next(each for each in camera.produce() if isinstance(each, Frame))


@pytest.mark.parametrize(
    ("lens", "focal_px"),
    [
        ({"k1": -0.28, "k2": 0.07, "focal_px": 420.0}, 420.0),
        ({"k1": 0.12, "focal_px": 500.0}, 500.0),
        ({"k1": -0.2}, float(WIDTH)),
    ],
)
def test_a_bent_picture_becomes_straight(virtual, tmp_path: Path, lens: dict[str, float], focal_px: float) -> None:
    picture = bent(lens["k1"], lens.get("k2", 0.0), focal_px)
    off_before = [np.hypot(*(dots_in(picture) - dot).T).min() for dot in DOTS]
    assert max(off_before) > 4.0
    frame = first(virtual, picture, tmp_path, lens=lens)
    assert frame.size_px == SIZE
    seen = dots_in(frame.image)
    off = [np.hypot(*(seen - dot).T).min() for dot in DOTS]
    assert len(seen) == len(DOTS)
    assert max(off) < 0.6


def test_a_lens_that_would_fold_the_picture_is_refused(virtual, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lens: k1 -1\.5 and k2 0 would fold a picture of 640 x 360 pixels"):
        first(virtual, bent(0, 0, 640), tmp_path, lens={"k1": -1.5, "focal_px": 300})


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_pictures_are_turned(virtual, clip, degrees: int, tmp_path: Path) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:10, :10] = 255  # upper left
    cv2.imwrite(str(tmp_path / "one.png"), picture)
    with opened(Camera(uri=str(tmp_path / "one.png"), rotate=degrees), virtual) as camera:
        frame = next(each for each in camera.produce() if isinstance(each, Frame))
    assert frame.size_px == ((60, 40) if degrees == 180 else (40, 60))
    y, x = {90: (0, -1), 180: (-1, -1), 270: (-1, 0)}[degrees]
    assert frame.image[y, x].min() == 255
    assert frame.image.mean() == pytest.approx(picture.mean())


def test_a_picture_is_straightened_before_it_is_turned(virtual, tmp_path: Path) -> None:
    frame = first(virtual, bent(-0.2, 0.0, WIDTH), tmp_path, lens={"k1": -0.2}, rotate=90)
    assert frame.size_px == (HEIGHT, WIDTH)
    seen = dots_in(frame.image)
    assert max(np.hypot(*(seen - (HEIGHT - 1 - y, x)).T).min() for x, y in DOTS) < 0.6
