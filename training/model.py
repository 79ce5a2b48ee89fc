"""The network of the bundled detector: a small anchor-free one-stage detector of plain 3x3 convolutions and ReLU.

Why so plain: on the CPUs that flowrt runs on, dense 3x3 convolutions with channel counts in multiples of 16 reach several
times the arithmetic rate of depthwise ones, ReLU costs nothing after fusion, and both keep their accuracy in INT8.

The idea of the head is YOLOX's (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021"): one prediction per grid cell at
strides 8, 16 and 32, places and classes by convolutions of their own. Raw values of a cell at column gx, row gy of stride s are read as

    centre x = (gx + v0) * s      centre y = (gy + v1) * s      width = exp(v2) * s      height = exp(v3) * s

followed by the objectness and one score per class. The score of a detection is objectness times class score.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
INPUT_WIDTH_PX = 960
INPUT_HEIGHT_PX = 544
MAX_LOG_SIZE = 5.0
"""exp(5) * 32 px is wider than any picture: the clamp only keeps a bad step of training finite."""


class RawOutput(NamedTuple):
    """What the head says before any activation, all levels one after the other, finest first, rows before columns."""

    offsets: Tensor
    """[batch, cells, 4]: centre offsets in cells, then the logarithm of width and height in cells."""
    objectness: Tensor
    """[batch, cells] logits."""
    classes: Tensor
    """[batch, cells, classes] logits."""


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class PartialStage(nn.Module):
    """Half of the channels pass `depth` residual 3x3 convolutions, the other half goes by; both are mixed at the end."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        half = channels // 2
        self.through = ConvBlock(channels, half, 1)
        self.around = ConvBlock(channels, half, 1)
        self.steps = nn.ModuleList(ConvBlock(half, half) for _ in range(depth))
        self.mix = ConvBlock(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, h, w] to the same shape."""
        y = self.through(x)
        for step in self.steps:
            y = y + step(y)
        mixed: Tensor = self.mix(torch.cat((y, self.around(x)), 1))
        return mixed


class WideView(nn.Module):
    """Pooling over 5, 9 and 13 cells beside the features themselves: a bus close to the camera fills the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvBlock(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.mix = ConvBlock(channels * 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, h, w] to the same shape."""
        x = self.reduce(x)
        once = self.pool(x)
        twice = self.pool(once)
        mixed: Tensor = self.mix(torch.cat((x, once, twice, self.pool(twice)), 1))
        return mixed


class TrafficDetector(nn.Module):
    """Pictures [batch, 3, h, w], BGR, 0..255, h and w multiples of 32, to raw predictions per grid cell."""

    def __init__(
        self,
        classes: int,
        widths: tuple[int, int, int, int, int] = (16, 32, 48, 96, 128),
        depths: tuple[int, int, int] = (2, 2, 2),
        neck_widths: tuple[int, int, int] = (48, 64, 96),
        head_width: int = 48,
    ) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        n8, n16, n32 = neck_widths
        self.stem = nn.Sequential(ConvBlock(3, w2, stride=2), ConvBlock(w2, w4, stride=2))
        self.stage8 = nn.Sequential(ConvBlock(w4, w8, stride=2), PartialStage(w8, depths[0]))
        self.stage16 = nn.Sequential(ConvBlock(w8, w16, stride=2), PartialStage(w16, depths[1]))
        self.stage32 = nn.Sequential(ConvBlock(w16, w32, stride=2), WideView(w32), PartialStage(w32, depths[2]))
        self.from32 = ConvBlock(w32, n16, 1)
        self.merge16 = nn.Sequential(ConvBlock(w16 + n16, n16, 1), ConvBlock(n16, n16))
        self.from16 = ConvBlock(n16, n8, 1)
        self.merge8 = ConvBlock(w8 + n8, n8, 1)
        self.down8 = ConvBlock(n8, n16, stride=2)
        self.down16 = ConvBlock(n16, n32, stride=2)
        self.merge32 = ConvBlock(n32 + w32, n32, 1)
        self.place_heads = nn.ModuleList(ConvBlock(n, head_width) for n in neck_widths)
        self.class_heads = nn.ModuleList(ConvBlock(n, head_width) for n in neck_widths)
        self.places = nn.ModuleList(nn.Conv2d(head_width, 5, 1) for _ in STRIDES)
        self.classes = nn.ModuleList(nn.Conv2d(head_width, classes, 1) for _ in STRIDES)
        self._initialise()

    def _initialise(self) -> None:
        """Objectness starts at one cell in a hundred, so the first steps are not spent on saying "nothing here"."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for number, layer in enumerate((*self.places, *self.classes)):
            assert isinstance(layer, nn.Conv2d)  # ModuleList's items are Modules to the type checker
            assert layer.bias is not None  # the heads' layers have one by default
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            if number < len(self.places):
                nn.init.constant_(layer.bias[4:5], -math.log(99.0))
                nn.init.constant_(layer.bias[2:4], 0.7)

    def levels(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, 3, h, w] in 0..255 to what the heads read: [batch, neck width, h/s, w/s], one for each stride."""
        x = self.stem(pictures * (1 / 255))
        c8 = self.stage8(x)
        c16 = self.stage16(c8)
        c32 = self.stage32(c16)
        up16 = functional.interpolate(self.from32(c32), scale_factor=2.0, mode="nearest")
        p16 = self.merge16(torch.cat((c16, up16), 1))
        up8 = functional.interpolate(self.from16(p16), scale_factor=2.0, mode="nearest")
        p8 = self.merge8(torch.cat((c8, up8), 1))
        p16 = p16 + self.down8(p8)
        return p8, p16, self.merge32(torch.cat((self.down16(p16), c32), 1))

    def features(self, levels: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """What `levels` gives to the raw maps [batch, 5 + classes, h/s, w/s], one for each stride."""
        heads = zip(self.place_heads, self.places, self.class_heads, self.classes, levels, strict=True)
        return [torch.cat((place(where(p)), kind(what(p))), 1) for where, place, what, kind, p in heads]

    def forward(self, pictures: Tensor) -> RawOutput:
        """[batch, 3, h, w], BGR, 0..255, to raw predictions in float32."""
        rows = cell_rows(self.features(self.levels(pictures))).float()
        offsets = torch.cat((rows[..., :2], rows[..., 2:4].clamp(max=MAX_LOG_SIZE)), -1)
        return RawOutput(offsets, rows[..., 4], rows[..., 5:])


class FootprintHead(nn.Module):
    """A head beside the detector's own: how each object stands on the ground, six values per cell.

    With the box that the cell predicts (centre, width, height) and size = sqrt(width * height), all in pixels:

        middle of the footprint = centre + (v0 * width, v1 * height)
        (v2, v3) = axis after doubling its angle, over the size: (ax² - ay², 2 ax ay) / (|a| size)
        exp(v4), exp(v5) = scale of the error (half of what is expected) of the middle, and of the doubled axis, over the size

    The axis a leads from the middle of the footprint to the middle of its front or rear edge. Which of the two is hard to
    see, and the mean of both is nothing; doubling the angle makes them one and the same value.
    """

    VALUES = 6
    REACH = 2
    """Cells around its own, on each side, that a prediction depends on."""

    def __init__(self, neck_widths: tuple[int, int, int] = (48, 64, 96), width: int = 48) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(n, width, 3, padding=1), nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True),
                nn.Conv2d(width, self.VALUES, 1),
            )
            for n in neck_widths
        )  # fmt: skip

    def forward(self, levels: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """What `TrafficDetector.levels` gives to maps [batch, 6, h/s, w/s], one for each stride."""
        return [head(level) for head, level in zip(self.heads, levels, strict=True)]


class Deployed(nn.Module):
    """The network as exported: [batch, cells, 5 + classes] in YOLOX's layout, and with a `FootprintHead` its [batch, cells, 6].

    Columns 0 to 3 raw, 4 objectness after the sigmoid, 5 onwards the class scores after a softmax (the classes exclude each
    other; a reader that multiplies objectness and class score needs to know no more).
    """

    def __init__(self, detector: TrafficDetector, footprints: FootprintHead | None = None) -> None:
        super().__init__()
        self.detector, self.footprints = detector, footprints

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[batch, 3, h, w], BGR, 0..255."""
        levels = self.detector.levels(pictures)
        rows = cell_rows(self.detector.features(levels))
        detections = torch.cat((rows[..., :4], rows[..., 4:5].sigmoid(), rows[..., 5:].softmax(-1)), -1)
        return detections if self.footprints is None else (detections, cell_rows(self.footprints(levels)))


def cell_rows(maps: list[Tensor]) -> Tensor:
    """[batch, values, h/s, w/s] of each stride to [batch, cells, values]."""
    return torch.cat([each.flatten(2) for each in maps], 2).transpose(1, 2)


class Level(NamedTuple):
    """One resolution of the output."""

    stride_px: int
    columns: int
    rows: int
    first_cell: int


class Grid(NamedTuple):
    """The cells of all levels, in the order of the output rows."""

    columns_rows: Tensor
    """[cells, 2]: gx, gy."""
    strides_px: Tensor
    """[cells, 1]."""
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, width_px: int, height_px: int) -> Grid:
        """The grid of an input of that size; both must be multiples of 32."""
        cells, strides, levels, first = [], [], [], 0
        for stride in STRIDES:
            columns, rows = width_px // stride, height_px // stride
            gy, gx = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            cells.append(torch.stack((gx, gy), -1).reshape(-1, 2).float())
            strides.append(torch.full((columns * rows, 1), float(stride)))
            levels.append(Level(stride, columns, rows, first))
            first += columns * rows
        return cls(torch.cat(cells), torch.cat(strides), tuple(levels))

    def boxes_px(self, offsets: Tensor) -> Tensor:
        """Raw [..., cells, 4] to corners x1, y1, x2, y2 in pixels of the input."""
        centre = (offsets[..., :2] + self.columns_rows) * self.strides_px
        half = offsets[..., 2:].exp() * self.strides_px / 2
        return torch.cat((centre - half, centre + half), -1)
