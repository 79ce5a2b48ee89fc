"""An RTSP server that plays an H.264 file, for the camera's test; run with Debian's Python, which has GStreamer.

    /usr/bin/python3 rtsp_server.py PORT FILE

Needs python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main(port: str, file: str) -> None:
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f'( filesrc location="{file}" ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=-1 )')
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/north", factory)
    if not server.attach(None):
        sys.exit(f"port {port} can't be used")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
