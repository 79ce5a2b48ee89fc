"""An RTSP server that plays an H.264 file, for the camera's test; run with Debian's Python, which has GStreamer.

    /usr/bin/python3 rtsp_server.py PORT FILE [USER PASSWORD basic|digest]

It plays the file at /north, a tone at /sound, and knows no other path. Needs python3-gi, gir1.2-gst-rtsp-server-1.0 and
gstreamer1.0-plugins-good.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"


def main(port: str, file: str, *login: str) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    places = {
        "/north": f'filesrc location="{file}" ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=-1',
        "/sound": "audiotestsrc is-live=true ! audioconvert ! rtpL16pay name=pay0 pt=96",
    }
    for path, launch in places.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        if login:
            rights = GstRtspServer.RTSPPermissions()
            rights.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
            rights.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
            factory.set_permissions(rights)
        server.get_mount_points().add_factory(path, factory)
    if login:
        server.set_auth(authentication(*login))
    if not server.attach(None):
        sys.exit(f"port {port} can't be used")
    print("ready", flush=True)
    GLib.MainLoop().run()


def authentication(user: str, password: str, method: str) -> GstRtspServer.RTSPAuth:
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    if method == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    return auth


if __name__ == "__main__":
    main(*sys.argv[1:])
