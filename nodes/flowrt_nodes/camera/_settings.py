"""The settings of a camera, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from flowrt import CheckView, Diagnostic, FilePath, Position, SceneName, Source, setting
from flowrt_nodes.camera._address import Kind, kind_of, time_of, uri_diagnostics
from flowrt_nodes.camera._optics import Lens


class CameraSettings(Source):
    """What a flow file says of a camera."""

    uri: Annotated[
        str | int,
        setting(
            "A video file, a picture or a folder of pictures (relative to the flow file), `rtsp://…`, `http://…` (MJPEG, an "
            "address that gives one picture a request, and whatever FFmpeg reads), a USB camera (its index, or /dev/video0), or `sim://…`.",
            restart=True,
            examples=["clips/north.mp4", "rtsp://192.168.1.20/stream1", "0", "sim://four-way?seed=7&camera=north"],
        ),
    ]
    fps: (
        Annotated[
            float,
            setting(
                "Pictures per second at most; without it every picture. For a folder, and an address that gives one picture "
                "a request, also its rate.",
                gt=0,
            ),
        ]
        | None
    ) = None
    pace: Annotated[
        Literal["realtime", "asap"],
        setting("Files, folders, simulation: at their own rate, or as fast as the flow takes them."),
    ] = "realtime"
    loop: Annotated[bool, setting("Files and folders: begin again at the end; capture time goes on.")] = False
    start: Annotated[
        str,
        setting(
            "Capture time of a file's first picture: RFC 3339 (2026-05-04T12:30:00Z), `now`, or `file` (when the file was "
            "last changed). Without it: `now` at pace realtime, `file` at pace asap, the clock's time under virtual time.",
            restart=True,
        ),
    ] = ""
    position: Annotated[Position, setting("The approach it watches.")] = ""
    simulated: Annotated[
        bool,
        setting(
            "The simulator made these pictures (a clip of it, say), so that its signals, its scene and the bundled detector may "
            "judge them; `sim://` needs no word of it."
        ),
    ] = False
    stall_s: Annotated[
        float, setting("Live: without a picture for this long the camera counts as lost.", gt=0, le=600)
    ] = 10.0
    reconnect_s: Annotated[
        float, setting("Live: wait before the second attempt to connect; doubles.", gt=0, le=3600)
    ] = 1.0
    reconnect_max_s: Annotated[float, setting("Live: the longest wait between two attempts.", gt=0, le=3600)] = 30.0
    transport: Annotated[Literal["tcp", "udp"], setting("RTSP: how pictures travel.", restart=True)] = "tcp"
    certificate: Annotated[
        Literal["trusted", "any"],
        setting(
            "https: whether the camera must show a certificate that `ca_file`, or the system, vouches for. `any`: of cameras that sign their own.",
            restart=True,
        ),
    ] = "trusted"
    ca_file: Annotated[
        FilePath | None,
        setting("https: the certificate that vouches for the camera's, or the camera's own.", restart=True),
    ] = None
    status_s: Annotated[float, setting("Camera status is sent on every change, and this often.", gt=0)] = 5.0
    lens: Annotated[
        Lens | None,
        setting(
            "Straighten pictures of a lens that bends lines. Scenes are drawn on the straight picture.", restart=True
        ),
    ] = None
    rotate: Annotated[
        Literal[0, 90, 180, 270], setting("Turn pictures clockwise by so many degrees.", restart=True)
    ] = 0
    scene: Annotated[
        SceneName, setting("The scene drawn on this view: where it is edited, the view is learned anew.")
    ] = ""
    view: Annotated[
        FilePath,
        setting(
            "A still of the view that the scene was drawn on, against which shifts are measured; without it the first pictures after the "
            "start."
        ),
    ] = ""
    max_shift_px: (
        Annotated[
            float,
            setting(
                "A picture that has shifted by more, on average over its corners and middle, silences rules; without it 0.3 % of its "
                "width.",
                gt=0,
            ),
        ]
        | None
    ) = None
    watch_view: Annotated[
        bool, setting("Watch whether the camera was moved, is blind, frozen or out of focus, or the picture was cut.")
    ] = True

    @property
    def _kind(self) -> Kind:
        return kind_of(str(self.uri))

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.start not in ("", "now", "file") and time_of(self.start) is None:
            yield Diagnostic(
                ("start",), f"'{self.start}' is no time", "expected e.g. 2026-05-04T12:30:00Z, now, or file"
            )
        if self.reconnect_max_s < self.reconnect_s:
            yield Diagnostic(
                ("reconnect_max_s",), f"{self.reconnect_max_s} is less than reconnect_s ({self.reconnect_s})"
            )
        yield from uri_diagnostics(str(self.uri), view.folder)
