"""Passwords in addresses, and secrets in text: found in every place and form, and nothing else taken."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flowrt.addresses import passwords, without_passwords
from flowrt.config.loader import read
from flowrt.secrets import Secrets

HIDDEN = [
    "rtsp://10.0.0.5/admin:Sesame26/1",
    "rtsp://10.0.0.5:554/admin:Sesame26",
    "http://10.0.0.5/cgi/user:Sesame26?x=1",
    "http://10.0.0.5/video?user=admin&pwd=Sesame26",
    "http://10.0.0.5/video?user=admin&pw=Sesame26&x=1",
    "http://10.0.0.5/video?usr=admin&key=Sesame26",
    "http://10.0.0.5/video?access_key=Sesame26",
    "http://10.0.0.5/video?sig=Sesame26&t=1",
    "http://10.0.0.5/video?loginuse=a&loginpas=Sesame26",
    "rtsp://10.0.0.5/user=admin_password=Sesame26_channel=1.sdp",
    "rtsp://admin:Sesame26@10.0.0.5/1",
]


@pytest.mark.parametrize("address", HIDDEN)
def test_fault_14_a_password_anywhere_in_an_address_is_found_and_masked(address: str, tmp_path: Path) -> None:
    assert any(each.startswith("Sesame26") for each in passwords(address))
    assert "Sesame26" not in without_passwords(f"can't open {address}: no answer")
    flow = tmp_path / "flow.yaml"
    for written in (address, f"${{env:NOT_SET_ANYWHERE:-{address}}}"):
        flow.write_text(f'flow: a\nnodes:\n  cam: {{type: camera, uri: "{written}"}}\n')
        said = [f"{each.message} {each.hint}" for each in read(flow, environment={})[1]]
        assert any(text.startswith("a password in the flow file") for text in said), said
        assert "Sesame26" not in str(said)


def test_fault_14_a_default_with_a_password_is_told_also_where_the_variable_is_set(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text('flow: a\nnodes:\n  cam: {type: camera, uri: "${env:CAM:-rtsp://admin:Sesame26@10.0.0.5/1}"}\n')
    (said,) = [
        each.message
        for each in read(flow, environment={"CAM": "rtsp://admin:other@10.0.0.5/1"})[1]
        if "password" in each.message
    ]
    assert said == "a password in the flow file"
    flow.write_text('flow: a\nnodes:\n  cam: {type: camera, uri: "${env:CAM}"}\n')
    found = read(flow, environment={"CAM": "rtsp://admin:other@10.0.0.5/1"})[1]
    assert not [each for each in found if "password" in each.message]


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://10.0.0.5:554/Streaming/Channels/101",
        "http://proxy:8080/10.0.0.5:554/stream",
        "http://10.0.0.5/from/2026-05-04T10:00:00Z/to/2026-05-04T10:30:00",
        "http://[::1]:8080/stream",
        "https://example.org/video?codec=h264&monkey=1",
    ],
)
def test_an_address_without_a_password_stays_as_it_is(address: str) -> None:
    assert passwords(address) == set()
    assert without_passwords(address) == address


@pytest.mark.parametrize("behind", [": refused", ", and more", ".", ") is bad", ":"])
def test_fault_14_masking_takes_no_punctuation_behind(behind: str) -> None:
    for address, shown in (
        ("http://h/v?pwd=Sesame26", "http://h/v?pwd=***"),
        ("rtsp://h/admin:Sesame26", "rtsp://h/admin:***"),
    ):
        assert without_passwords(f"{address}{behind}") == f"{shown}{behind}"


def test_comparisons_are_no_parameters() -> None:
    assert passwords("a.token=='x' && b.auth == 'y'") == set()


TOKEN = "q7Zp-Sesame26-Xy_0=="


@pytest.mark.parametrize(
    "text",
    [
        f"said {TOKEN[:9]}\n{TOKEN[9:]} here",
        f"said {TOKEN[:3]}\r\n   {TOKEN[3:11]}\r\n   {TOKEN[11:]} here",
        f"said {TOKEN[:9]} {TOKEN[9:]} here",
        f"said {TOKEN[:9]}\\n{TOKEN[9:]} here",
        f"said {TOKEN[:9]}\\r\\n{TOKEN[9:]} here",
        "said " + "\n".join(TOKEN) + " here",
    ],
)
def test_fault_14_a_line_break_amid_a_token_hides_nothing_from_the_mask(text: str) -> None:
    assert Secrets([TOKEN]).text(text) == "said *** here"


@pytest.mark.parametrize("left", [6, 9, len(TOKEN) - 1])
@pytest.mark.parametrize("end", ["", "…", " …", "..."])
def test_fault_14_what_is_cut_amid_a_token_shows_none_of_it(left: int, end: str) -> None:
    text = "x" * 120 + " " + TOKEN[:left] + end
    assert Secrets([TOKEN]).text(text) == "x" * 120 + " ***" + end


def test_short_words_and_other_text_stay() -> None:
    secrets = Secrets([TOKEN, "north"])
    for text in ("the no rth camera", "a\nb", "q7Zp", "x" * 200, "nor\nth"):
        assert secrets.text(text) == text


def test_long_texts_are_masked_in_time() -> None:
    secrets = Secrets([TOKEN])
    for text in ("q7Zp ", "\n", "x://h/a:", "?key=:", "\\n", f"{TOKEN[:9]}\n"):
        long = text * (500_000 // len(text))
        began = time.perf_counter()
        secrets.text(long)
        without_passwords(long)
        without_passwords("x://h/a" + ":" * 500_000)
        assert time.perf_counter() - began < 10, text
