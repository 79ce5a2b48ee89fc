"""What is done to every picture of a camera before anything sees it: a lens that bends lines is straightened, and the picture is turned."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from flowrt import Image, setting

FOLDS_AT = 1e-3
"""Where a step outwards on the straight picture goes less than this far on the bent one, a lens of these numbers would fold the picture."""


class Lens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Radial distortion, as camera calibrations give it (OpenCV's k1 and k2): a point at the distance r from the middle of the straight
    picture, in focal lengths, is seen at r (1 + k1 r² + k2 r⁴)."""

    k1: Annotated[float, setting("Below 0 straight lines bulge outwards (barrel), above 0 inwards.", ge=-2, le=2)]
    k2: Annotated[float, setting("The same for the fourth power of the distance.", ge=-2, le=2)] = 0.0
    focal_px: (
        Annotated[float, setting("The focal length that k1 and k2 are for; without it the picture's width.", gt=0)]
        | None
    ) = None


class Optics:
    """For the pictures of one camera. lens: None where it needs no straightening; rotate: degrees, clockwise."""

    def __init__(self, lens: Lens | None, rotate: int) -> None:
        self._lens, self._rotate = lens, rotate
        self._size_px = (0, 0)
        self._maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None = None

    def applied(self, image: Image) -> Image:
        """The picture as it shall be. Raises ValueError where the lens would fold it."""
        from flowrt_nodes._lib.cv import cv2  # heavy, and not needed to check a flow

        if self._lens is not None:
            if self._size_px != (image.shape[1], image.shape[0]):
                self._size_px = (image.shape[1], image.shape[0])
                self._maps = _maps(self._lens, self._size_px)
            assert self._maps is not None  # made with the size
            image = np.asarray(cv2.remap(image, *self._maps, cv2.INTER_LINEAR), np.uint8)
        if self._rotate:
            turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
            image = np.asarray(cv2.rotate(image, turns[self._rotate]), np.uint8)
        return image


def _maps(lens: Lens, size_px: tuple[int, int]) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Where each pixel of the straight picture lies in the bent one, in OpenCV's quick form."""
    from flowrt_nodes._lib.cv import cv2  # heavy, and not needed to check a flow

    width, height = size_px
    focal_px = lens.focal_px or float(width)
    r = np.linspace(0.0, np.hypot(width, height) / 2 / focal_px, 200)
    if (1 + 3 * lens.k1 * r**2 + 5 * lens.k2 * r**4).min() < FOLDS_AT:
        raise ValueError(f"lens: k1 {lens.k1:g} and k2 {lens.k2:g} would fold a picture of {width} x {height} pixels")
    camera = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])
    bend = np.array([lens.k1, lens.k2, 0.0, 0.0])
    one, other = cv2.initUndistortRectifyMap(camera, bend, None, camera, size_px, cv2.CV_16SC2)
    return np.asarray(one, np.int16), np.asarray(other, np.uint16)
