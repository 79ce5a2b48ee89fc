"""What a camera's settings say in words: addresses of cameras and clips, and times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from flowrt import Diagnostic
from flowrt.addresses import problem
from flowrt.diagnostics import did_you_mean
from flowrt_nodes._lib.sim import check_address

Kind = Literal["network", "device", "sim", "file"]

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes of network cameras, each with its usual port."""
OTHER_STREAMS = frozenset({"rtmp", "rtmps", "srt", "udp", "rtp", "rist", "mms", "whep"})
DEVICES = 100
"""A number below this is a USB camera; a longer one is the name of a folder, such as a year."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def kind_of(uri: str) -> Kind:
    """What stands behind the address."""
    scheme = scheme_of(uri)
    if scheme in PORTS:
        return "network"
    if scheme == "sim":
        return "sim"
    numbered = uri.isascii() and uri.isdigit() and int(uri) < DEVICES
    return "device" if numbered or uri.startswith("/dev/video") else "file"


def uri_diagnostics(uri: str, folder: Path) -> Iterable[Diagnostic]:
    """What is wrong with the address, as far as can be seen from here."""
    if not uri:
        return [
            Diagnostic(("uri",), "the uri is empty", "expected a file, folder, rtsp://, http://, USB index or sim://")
        ]
    match kind_of(uri):
        case "network":
            return network_diagnostics(uri)
        case "file":
            return file_diagnostics(uri, folder)
        case "device":
            return device_diagnostics(uri, folder)
        case "sim":
            return check_address(uri)


def time_of(text: str) -> float | None:
    """UTC seconds of an RFC 3339 time, which is UTC where it names no zone; None where it is no time."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def scheme_of(uri: str) -> str:
    """In lower case; empty without one."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def file_path(uri: str) -> str:
    """The path of a file address, `file://my%20clip.mp4`, or of a plain one, which is taken as it is."""
    if scheme_of(uri) != "file":
        return uri
    return unquote(uri[len("file://") :].removeprefix("localhost/"))


def network_diagnostics(uri: str) -> Iterable[Diagnostic]:
    """What is wrong with the address of a network camera; it shows no part of user and password."""
    found = problem(uri, PORTS)
    if found is not None:
        yield Diagnostic(("uri",), found.message, found.hint)


def file_diagnostics(uri: str, folder: Path) -> Iterable[Diagnostic]:
    """What is wrong with a file, or with an address of no known kind."""
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        known = ", ".join(PORTS)
        hint = did_you_mean(scheme, [*PORTS, "file", "sim"])
        if scheme in OTHER_STREAMS:
            hint = "a media server, MediaMTX for one, turns it into RTSP"
        yield Diagnostic(("uri",), f"{scheme}:// is no camera address of a kind that is read: {known}", hint)
        return
    path = folder / file_path(uri)
    if not path.exists():
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside) if beside else f"there is no folder {path.parent}"
        if re.match(r"(rtsps?|https?):|\d+\.\d+\.\d+\.\d+", uri):
            hint = "the address of a network camera begins with rtsp:// or http://"
        if uri.isdigit():
            hint += f"; USB cameras have numbers below {DEVICES}"
        yield Diagnostic(("uri",), f"there is no file or folder '{file_path(uri)}'", hint)
    elif path.is_file() and path.stat().st_size == 0:
        yield Diagnostic(("uri",), f"'{uri}' is an empty file", "expected a video, a picture or a folder of pictures")


def device_diagnostics(uri: str, folder: Path) -> Iterable[Diagnostic]:
    """A warning where a file or folder is called like the USB camera."""
    if uri.isdigit() and (folder / uri).exists():
        yield Diagnostic(
            ("uri",), f"'{uri}' is USB camera {uri}, not the file or folder of that name", f"write './{uri}' for that",
            severity="warning",
        )  # fmt: skip
