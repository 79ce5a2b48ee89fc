"""The formats of other systems, held against schemas written from what those projects publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from flowrt.traffic import Objects
from flowrt_nodes.mqtt._formats import dlstreamer, scenescape, scenescape_topic
from tests.contract.messages import CAMERA, detections, tracks

FORMATS = Path(__file__).parent / "formats"


def schema(name: str) -> dict[str, Any]:
    return json.loads((FORMATS / f"{name}.schema.json").read_text())  # type: ignore[no-any-return]


def faults(name: str, payload: Any) -> list[str]:
    as_sent = json.loads(json.dumps(payload))
    return [error.message for error in Draft202012Validator(schema(name)).iter_errors(as_sent)]


@pytest.mark.parametrize("name", ["scenescape", "dlstreamer"])
def test_the_schemas_take_examples_in_the_published_form(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    for example in schema(name)["examples"]:
        assert faults(name, example) == []
        broken = json.loads(json.dumps(example).replace('"id":', '"key":').replace('"region_id":', '"region":'))
        assert faults(name, broken) != []


@pytest.mark.parametrize("seen", [detections(), detections(0), tracks()], ids=["detections", "nothing", "tracks"])
def test_what_is_sent_keeps_to_the_formats(seen: Objects) -> None:
    assert faults("scenescape", scenescape(seen, 14.987)) == []
    assert faults("dlstreamer", dlstreamer(seen, "rtsp://camera/1")) == []


def test_scenescape() -> None:
    assert scenescape_topic(CAMERA) == "scenescape/data/camera/north_camera"
    assert scenescape(tracks(2), 14.987) == {
        "id": CAMERA,
        "timestamp": "2026-05-04T10:00:00.250Z",
        "rate": 14.99,
        "objects": {
            "car": [
                {
                    "category": "car",
                    "confidence": 0.9,
                    "id": 17,
                    "bounding_box_px": {"x": 0.0, "y": 5.0, "width": 15.0, "height": 45.0},
                }
            ],
            "person": [
                {
                    "category": "person",
                    "confidence": 0.5,
                    "id": 18,
                    "bounding_box_px": {"x": 20.0, "y": 25.0, "width": 15.0, "height": 45.0},
                }
            ],
        },
    }


def test_scenescape_without_tracks_numbers_the_objects() -> None:
    objects = scenescape(detections(3), 15)["objects"]
    assert [found["id"] for found in objects["car"]] == [1, 3]
    assert [found["id"] for found in objects["person"]] == [2]


def test_dlstreamer() -> None:
    payload = dlstreamer(tracks(1), "file:///street.mp4")
    assert payload["resolution"] == {"width": 640, "height": 480}
    assert payload["timestamp"] == 1777888800250000000
    assert payload["objects"] == [
        {
            "x": 0,
            "y": 5,
            "w": 15,
            "h": 45,
            "region_id": 1,
            "roi_type": "car",
            "detection": {
                "bounding_box": {"x_min": 0.0, "y_min": 5 / 480, "x_max": 15 / 640, "y_max": 50 / 480},
                "confidence": 0.9,
                "label_id": 0,
                "label": "car",
            },
            "id": 17,
        }
    ]
    assert "id" not in dlstreamer(detections(1), "")["objects"][0]


def test_a_box_that_leaves_the_picture_stays_a_share_of_it() -> None:
    seen = detections(1)
    outside = type(seen)(
        **{
            **{name: getattr(seen, name) for name in seen.__struct_fields__},
            "boxes_px": np.array([[-10, 400, 700, 500]], np.float32),
        }
    )
    payload = dlstreamer(outside, "")
    assert payload["objects"][0]["detection"]["bounding_box"] == {
        "x_min": 0.0,
        "y_min": 400 / 480,
        "x_max": 1.0,
        "y_max": 1.0,
    }
    assert faults("dlstreamer", payload) == []
