"""The detect node: every decoder through real OpenVINO inference with known answers, and the real YOLOX model."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny_models as models
from harness import TINY_MODEL, context, data_file, feed, opened

from flowrt import Detections, Frame
from flowrt.node import Shared
from flowrt.system.downloads import CACHE
from flowrt.traffic import VEHICLES
from flowrt_nodes.camera import Camera
from flowrt_nodes.detect import Detect
from flowrt_nodes.detect._model import facts
from flowrt_nodes.detect._model.facts import Facts
from flowrt_nodes.track._boxes import iou
from flowrt_sim.camera.scene import pole_camera
from flowrt_sim.source import open_camera

STRIDES = (8, 16, 32)


def frame(width: int = 64, height: int = 64, value: tuple[int, int, int] = (10, 20, 30), number: int = 0) -> Frame:
    image = np.full((height, width, 3), value, np.uint8)
    image.flags.writeable = False
    return Frame(time_s=100.0 + number / 10, camera_id="north", image=image, number=number)


def detect(where, frames: list[Frame], **settings) -> list[Detections]:
    with opened(Detect(**settings), where) as node:
        return list(feed(node, frames))


class View(NamedTuple):
    folder: Path
    services: dict = {}


# Decoders


def test_yolox_raw_offsets(virtual, tmp_path):
    rows = np.zeros((1, 84, 5 + 3), np.float32)
    boxes = np.array([[20, 24, 8, 12], [40, 40, 30, 20]], np.float32)
    cells = [(8, 2, 3), (32, 1, 1)]
    rows[0, :, :4] = models.inverse_yolox(boxes, cells, STRIDES)
    rows[0, models.row_of(8, 2, 3), 4:] = (0.9, 0.1, 0.8, 0.2)
    rows[0, models.row_of(32, 1, 1), 4:] = (0.8, 0.05, 0.1, 0.9)
    models.constant(tmp_path / "m.xml", {"output": rows}, labels="person car bus", decoder="yolox", strides=[8, 16, 32])
    (found,) = detect(virtual, [frame()], model="m.xml", min_confidence=0.3)
    assert sorted(found.label) == ["bus", "car"]
    by_name = dict(zip(found.label, zip(found.boxes_px.tolist(), found.confidence.tolist(), strict=True), strict=True))
    assert by_name["car"][0] == pytest.approx([16, 18, 24, 30], abs=0.01)
    assert by_name["car"][1] == pytest.approx(0.72, abs=1e-3)
    assert by_name["bus"][0] == pytest.approx([25, 30, 55, 50], abs=0.01)
    assert by_name["bus"][1] == pytest.approx(0.72, abs=1e-3)


def test_footprints_beside_the_boxes(virtual, tmp_path):
    """In a picture twice as wide and thrice as high as the input: middle, axis and spreads follow it."""
    rows, stands = np.zeros((1, 84, 5 + 3), np.float32), np.zeros((1, 84, 6), np.float32)
    rows[0, :, :4] = models.inverse_yolox(np.array([[20, 24, 8, 18]], np.float32), [(8, 2, 3)], STRIDES)
    row = models.row_of(8, 2, 3)
    rows[0, row, 4:] = (0.9, 0.1, 0.8, 0.2)
    # Size 12 px: an axis of (3, 4) has the length 5 and twice its angle is that of (-7, 24) / 25.
    stands[0, row] = (0.25, 0.5, -7 / 25 * 5 / 12, 24 / 25 * 5 / 12, np.log(0.1), np.log(0.2))
    outputs = {"detections": rows, "footprints": stands}
    models.constant(tmp_path / "m.xml", outputs, labels="person car bus", decoder="yolox", strides=STRIDES)
    (found,) = detect(virtual, [frame(128, 192)], model="m.xml", min_confidence=0.3, resize="stretch")
    assert found.boxes_px.tolist() == [pytest.approx([32, 45, 48, 99], abs=0.01)]
    spread = 12 * 3**0.5 * 6**0.5
    expected = [2 * 22, 3 * 33, 2 * 3, 3 * 4, 0.1 * spread, 0.2 * spread]
    assert found.footprints_px is not None
    assert found.footprints_px.tolist() == [pytest.approx(expected, abs=0.01)]


def test_a_model_that_tells_no_footprints_has_none(virtual, tmp_path):
    rows = np.zeros((1, 84, 5 + 3), np.float32)
    rows[0, models.row_of(8, 2, 3), 4:] = (0.9, 0.1, 0.8, 0.2)
    models.constant(tmp_path / "m.xml", {"output": rows}, labels="person car bus", decoder="yolox", strides=STRIDES)
    (found,) = detect(virtual, [frame()], model="m.xml", min_confidence=0.3)
    assert len(found) == 1
    assert found.footprints_px is None


@pytest.mark.parametrize("model", ["flowrt-traffic-fp16.xml", "flowrt-traffic-int8.xml"])
def test_the_bundled_model_tells_how_vehicles_stand(virtual, model):
    """Of vehicles plain to see: where the middle of the footprint is, along which axis, and how sure that is."""
    camera = open_camera("sim://four-way?seed=12&camera=east&fps=1&rate=1.5")
    seen = [camera.frame(number) for number in range(5, 60, 5)]
    for each in seen:
        each.image.flags.writeable = False
    pictures = [Frame(time_s=f.time_s, camera_id="east", image=f.image, number=f.number) for f in seen]
    settings = {"nms": "across", "min_confidence": 0.3, "input_px": (1280, 736)}
    ground = pole_camera("east", camera.world.layout, camera.size_px)
    middles, turns, shares = [], [], []
    for truth, found in zip([f.truth for f in seen], detect(virtual, pictures, model=model, **settings), strict=True):
        assert found.footprints_px is not None
        boxes = truth.boxes_px
        whole = (boxes > 2).all(axis=1) & (boxes[:, 2] < 1278) & (boxes[:, 3] < 718) & (boxes[:, 3] - boxes[:, 1] > 30)
        overlap = iou(boxes, found.boxes_px.astype(float))
        for row in np.flatnonzero(whole & (truth.visible > 0.95) & (truth.class_ids < 4) & (overlap.max(axis=1) > 0.6)):
            x, y, dx, dy, spread, _ = found.footprints_px[overlap[row].argmax()]
            middle, front = ground.ground_px([truth.ground_m[row], truth.front_m[row]])
            off, axis = np.hypot(x - middle[0], y - middle[1]), front - middle
            middles.append(off / np.sqrt(np.prod(boxes[row, 2:] - boxes[row, :2])))
            shares.append(off / spread)
            sine = (axis[0] * dy - axis[1] * dx) / np.hypot(*axis) / np.hypot(dx, dy)
            turns.append(np.degrees(np.arcsin(abs(sine))))
    assert len(turns) > 40
    assert np.median(middles) < 0.05
    assert np.median(turns) < 4
    assert 0.3 < np.median(shares) < 3, "the spread is about the error"


def test_yolo_v8_without_objectness(virtual, tmp_path):
    columns = np.zeros((1, 4 + 2, 84), np.float32)
    columns[0, :, 5] = (32, 16, 20, 10, 0.2, 0.75)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="person, car")
    (found,) = detect(virtual, [frame()], model="m.xml")
    assert found.label == ["car"]
    assert found.boxes_px.tolist() == [pytest.approx([22, 11, 42, 21], abs=0.01)]
    assert found.confidence.tolist() == pytest.approx([0.75], abs=1e-3)


def test_yolo_v5_with_objectness(virtual, tmp_path):
    rows = np.zeros((1, 252, 5 + 2), np.float32)
    rows[0, 7] = (32, 16, 20, 10, 0.5, 0.9, 0.2)
    models.constant(tmp_path / "m.xml", {"output0": rows}, labels=["person", "car"])
    (found,) = detect(virtual, [frame()], model="m.xml")
    assert found.label == ["person"]
    assert found.boxes_px.tolist() == [pytest.approx([22, 11, 42, 21], abs=0.01)]
    assert found.confidence.tolist() == pytest.approx([0.45], abs=1e-3)


def test_yolo_with_suppression_inside(virtual, tmp_path):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = (10, 12, 30, 40, 0.8, 2)
    models.constant(tmp_path / "m.xml", {"output0": rows})
    (found,) = detect(virtual, [frame()], model="m.xml")
    assert (found.label, found.boxes_px.tolist()) == (["car"], [pytest.approx([10, 12, 30, 40], abs=0.01)])


def test_ssd(virtual, tmp_path):
    rows = np.full((1, 1, 5, 7), -1, np.float32)
    rows[0, 0, 0] = (0, 1, 0.9, 0.25, 0.25, 0.75, 0.5)
    rows[0, 0, 1] = (0, 0, 0.1, 0, 0, 1, 1)
    models.constant(tmp_path / "m.xml", {"detection_out": rows}, labels="background car")
    (found,) = detect(virtual, [frame(128, 96)], model="m.xml")
    assert found.label == ["car"]
    assert found.boxes_px.tolist() == [pytest.approx([32, 24, 96, 48], abs=0.01)]  # stretched, not letterboxed


def test_detr_with_a_no_object_class(virtual, tmp_path):
    logits = np.full((1, 10, 3), -10, np.float32)
    logits[0, :, 2] = 10
    logits[0, 4] = (1.0, 3.0, -10.0)
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    boxes[0, 4] = (0.5, 0.5, 0.25, 0.5)
    models.constant(tmp_path / "m.xml", {"logits": logits, "pred_boxes": boxes}, labels="person car")
    (found,) = detect(virtual, [frame(128, 64)], model="m.xml")
    assert found.label == ["car"]
    assert found.confidence.tolist() == pytest.approx([np.exp(3) / (np.exp(1) + np.exp(3))], abs=0.01)
    assert found.boxes_px.tolist() == [pytest.approx([48, 16, 80, 48], abs=0.01)]


def test_detr_with_a_sigmoid_per_class(virtual, tmp_path):
    logits = np.full((1, 10, 2), -6, np.float32)
    logits[0, 3] = (-6, 1.0)
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    models.constant(tmp_path / "m.xml", {"labels": logits, "dets_boxes": boxes}, labels="person car")
    (found,) = detect(virtual, [frame()], model="m.xml")
    assert (found.label, found.confidence.tolist()) == (["car"], pytest.approx([1 / (1 + np.exp(-1))], abs=0.01))


def test_unknown_outputs_are_named(virtual, tmp_path):
    models.constant(tmp_path / "m.xml", {"heatmap": np.zeros((1, 16, 16), np.float32), "mask": np.zeros((1, 8))})
    with pytest.raises(ValueError, match=r"heatmap \[1, 16, 16\], mask \[1, 8\].*setting 'decoder'") as caught:
        detect(virtual, [], model="m.xml")
    assert "\n" not in str(caught.value)


def test_a_decoder_that_does_not_fit_is_refused(virtual, tmp_path):
    models.constant(tmp_path / "m.xml", {"output0": np.zeros((1, 6, 84), np.float32)})
    with pytest.raises(ValueError, match="are not those of a 'ssd' model"):
        detect(virtual, [], model="m.xml", decoder="ssd")


# Preparation


@pytest.mark.parametrize(("colours", "expected"), [("rgb", [30, 20, 10]), ("bgr", [10, 20, 30])])
def test_colour_order_and_scale_are_the_models_affair(virtual, tmp_path, colours, expected):
    models.averaging(tmp_path / "m.xml", labels="first second third", decoder="yolo", colours=colours)
    settings = {"model": "m.xml", "min_confidence": 0.01}
    (found,) = detect(virtual, [frame()], **settings)
    assert found.label == [("first", "second", "third")[int(np.argmax(expected))]]
    assert found.confidence.tolist() == pytest.approx([30 / 255], abs=1e-3)


def test_a_letterboxed_picture_lies_in_the_middle_on_grey(virtual, tmp_path):
    models.averaging(tmp_path / "m.xml", labels="first second third", decoder="yolo")
    wide, square = frame(128, 64, (0, 0, 0)), frame(64, 64, (51, 51, 51), number=1)
    first, second, third = detect(virtual, [wide, square, wide], model="m.xml", min_confidence=0.01, requests=1)
    # half of the wide picture's input is grey (114), the square one fills it; the order of sizes leaves no traces
    assert first.confidence.max() == pytest.approx(114 / 255 / 2, abs=1e-3)
    assert second.confidence.max() == pytest.approx(51 / 255, abs=1e-3)
    assert third.confidence.max() == pytest.approx(114 / 255 / 2, abs=1e-3)
    best = int(first.confidence.argmax())
    assert first.boxes_px[best].tolist() == pytest.approx([48, 16, 80, 48], abs=0.01)


@pytest.mark.parametrize("settings", [{"decoder": "yolo"}, {"decoder": "yolo", "resize": "stretch"}])
def test_the_resize_may_be_part_of_the_model(virtual, tmp_path, settings):
    models.averaging(tmp_path / "m.xml", labels="first second third")
    frames = [frame(128, 64, (0, 40, 80)), frame(64, 64, (200, 40, 80), number=1), frame(128, 64, (9, 9, 9), number=2)]
    settings = {**settings, "model": "m.xml", "min_confidence": 0.01}
    outside = detect(virtual, frames, **settings)
    inside = detect(virtual, frames, **settings, resize_in="model")
    for a, b in zip(outside, inside, strict=True):
        assert a.class_id.tolist() == b.class_id.tolist()
        assert a.confidence.tolist() == pytest.approx(b.confidence.tolist(), abs=5e-3)
        assert np.allclose(a.boxes_px, b.boxes_px, atol=0.01)


def test_a_larger_input_finds_what_is_far_away(virtual):
    """Of what is less than 24 pixels high and plain to see."""
    camera = open_camera("sim://four-way?seed=12&camera=north&fps=1&rate=2")
    seen = [camera.frame(number) for number in range(10, 60, 8)]
    for each in seen:
        each.image.flags.writeable = False
    pictures = [Frame(time_s=f.time_s, camera_id="north", image=f.image, number=f.number) for f in seen]
    usual, larger = ({"nms": "across", "min_confidence": 0.3}, {"input_px": (1280, 736)})
    shares = []
    for settings in (usual, usual | larger):
        found, there = 0, 0
        results = detect(virtual, pictures, model="flowrt-traffic-int8.xml", **settings)
        for truth, result in zip([f.truth for f in seen], results, strict=True):
            far = truth.boxes_px[(truth.boxes_px[:, 3] - truth.boxes_px[:, 1] < 24) & (truth.visible > 0.8)]
            there += len(far)
            found += int((iou(far, result.boxes_px.astype(float)).max(axis=1, initial=0.0) > 0.5).sum())
        shares.append(found / there)
        assert there > 20
    assert shares[1] > max(shares[0], 0.85)


def test_an_input_that_the_model_cannot_take_is_refused(virtual, crowd, tmp_path):
    fixed = tmp_path / "fixed.xml"
    models.constant(fixed, {"output": np.zeros((1, 84, 8), np.float32)}, labels="person car bus", decoder="yolox")
    with (
        pytest.raises(ValueError, match="not those of a 'yolox' model"),
        opened(Detect(model="fixed.xml", input_px=(96, 96)), virtual),
    ):
        pass


def test_boxes_end_at_the_pictures_border(virtual, tmp_path):
    columns = np.zeros((1, 5, 84), np.float32)
    columns[0, :, 0] = (0, 0, 200, 200, 0.9)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="car", decoder="yolo")
    (found,) = detect(virtual, [frame(100, 50)], model="m.xml")
    assert found.boxes_px.tolist() == [[0, 0, 100, 50]]


# Settings


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """car 0.9 and truck 0.8 on the same spot, person 0.3 elsewhere, another car box overlapping the first."""
    columns = np.zeros((1, 4 + 3, 84), np.float32)
    columns[0, :, 0] = (20, 20, 20, 20, 0.0, 0.9, 0.0)
    columns[0, :, 1] = (20, 20, 20, 20, 0.0, 0.0, 0.8)
    columns[0, :, 2] = (50, 50, 10, 20, 0.3, 0.0, 0.0)
    columns[0, :, 3] = (22, 20, 20, 20, 0.0, 0.7, 0.0)
    return models.constant(tmp_path / "crowd.xml", {"output0": columns}, labels="person car truck", decoder="yolo")


def test_suppression_within_and_across_classes(virtual, crowd):
    (found,) = detect(virtual, [frame()], model="crowd.xml")
    assert sorted(found.label) == ["car", "person", "truck"]
    (found,) = detect(virtual, [frame()], model="crowd.xml", nms="across")
    assert sorted(found.label) == ["car", "person"]
    (found,) = detect(virtual, [frame()], model="crowd.xml", iou=0.9)
    assert sorted(found.label) == ["car", "car", "person", "truck"]


def test_keep_and_least_confidence_per_class(virtual, crowd):
    (found,) = detect(virtual, [frame()], model="crowd.xml", keep=["truck", "person"])
    assert sorted(found.label) == ["person", "truck"]
    (found,) = detect(virtual, [frame()], model="crowd.xml", min_confidence={"*": 0.85, "person": 0.2})
    assert sorted(found.label) == ["car", "person"]
    (found,) = detect(virtual, [frame()], model="crowd.xml", rename={"truck": "car"}, keep=["car"], nms="across")
    assert found.label == ["car"]


def test_settings_change_in_place(virtual, crowd):
    with opened(Detect(model="crowd.xml"), virtual) as node:
        assert len(next(feed(node, [frame()]))) == 3  # type: ignore[arg-type]
        node.keep = ["person"]
        node.reconfigured(frozenset({"keep"}))
        assert [f.label for f in feed(node, [frame()])] == [["person"]]  # type: ignore[attr-defined]


def test_a_class_that_the_labels_lack_is_refused(virtual, crowd):
    with pytest.raises(ValueError, match=r"keep: crowd.xml has no class 'tuck' \(did you mean 'truck'\?\)"):
        detect(virtual, [], model="crowd.xml", keep=["tuck"])
    with pytest.raises(ValueError, match=r"min_confidence: crowd\.xml has no class 'bus'"):
        detect(virtual, [], model="crowd.xml", min_confidence={"bus": 0.3})


def test_labels_from_a_file(virtual, tmp_path):
    columns = np.zeros((1, 6, 84), np.float32)
    columns[0, :, 0] = (20, 20, 20, 20, 0.1, 0.9)
    models.constant(tmp_path / "m.xml", {"output0": columns})
    (tmp_path / "names.txt").write_text("pedestrian\nvan\n")
    (tmp_path / "names.json").write_text('{"0": "pedestrian", "1": "van"}')
    for labels in ("names.txt", "names.json"):
        (found,) = detect(virtual, [frame()], model="m.xml", labels=labels)
        assert found.label == ["van"]
    (found,) = detect(virtual, [frame()], model="m.xml")
    assert found.label == ["class_1"]


def test_every_nth_picture(virtual, crowd):
    found = detect(virtual, [frame(number=n) for n in range(7)], model="crowd.xml", every=3)
    assert [each.frame_number for each in found] == [0, 3, 6]


def test_results_carry_the_frame_and_its_time_in_order(virtual, crowd):
    frames = [frame(number=n) for n in range(20)]
    found = detect(virtual, frames, model="crowd.xml")
    assert [each.time_s for each in found] == [each.time_s for each in frames]
    assert all(each.frame is sent for each, sent in zip(found, frames, strict=True))
    assert all(each.processing_time_ms > 0 and each.model == "crowd" and each.camera_id == "north" for each in found)


# Sharing


def test_nodes_with_the_same_model_share_it(tmp_path, crowd):
    shared = Shared()
    one, two = context(tmp_path, name="a", shared=shared), context(tmp_path, name="b", shared=shared)
    with opened(Detect(model="crowd.xml"), one) as a, opened(Detect(model="crowd.xml", keep=["car"]), two) as b:
        assert a._model is b._model
        with opened(Detect(model="crowd.xml", hint="latency"), context(tmp_path, name="c", shared=shared)) as c:
            assert c._model is not a._model
        # more pictures under way than the device has streams: no node waits for another to collect
        pending = [(node, node.submit(frame(number=n))) for n in range(8) for node in (a, b)]
        found = [node.collect(each) for node, each in pending if each is not None]
        assert a.status()["requests"] == 16
    assert [len(each) for each in found] == [3, 1] * 8
    assert shared._items == {}


def test_a_model_file_with_new_content_is_another_model(tmp_path, crowd):
    shared = Shared()
    with opened(Detect(model="crowd.xml"), context(tmp_path, shared=shared)) as old:
        columns = np.zeros((1, 5, 84), np.float32)
        models.constant(crowd, {"output0": columns}, labels="boat", decoder="yolo")
        with opened(Detect(model="crowd.xml"), context(tmp_path, shared=shared)) as new:
            assert new._model.labels == ("boat",)
            assert old._model.labels == ("person", "car", "truck")


# Bad input


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.xml", None, "there is no model 'gone.xml'"),
        ("notes.txt", b"no model", "expected a model file"),
        ("alone.xml", b"<net/>", "its weights, alone.bin, are not beside it"),
        ("text.onnx", b"no model" * 100, "not a model that OpenVINO can read"),
        ("empty.onnx", b"", "not a model that OpenVINO can read"),
        ("noise.tflite", bytes(range(1, 256)) * 9, "not a model that OpenVINO can read"),
    ],
)
def test_what_is_no_model_is_refused_with_one_line(virtual, tmp_path, capfd, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        detect(virtual, [], model=name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "OpenVINO's other frontends are not asked, which would complain"


def test_a_model_that_takes_no_picture_is_refused(virtual, tmp_path):
    import openvino
    from openvino import opset13 as ops

    numbers = ops.parameter([1, 10], np.float32)
    openvino.save_model(openvino.Model([ops.relu(numbers)], [numbers], "m"), tmp_path / "m.xml")
    with pytest.raises(ValueError, match=r"expected one input of a picture .*, found \[1,10\]"):
        detect(virtual, [], model="m.xml")


def test_a_device_that_is_not_there_is_refused(virtual, crowd):
    with pytest.raises(ValueError, match=r"no device 'CPPU' here; there is .*CPU.*did you mean 'CPU'"):
        detect(virtual, [], model="crowd.xml", device="CPPU")


def test_check_before_a_run(tmp_path, crowd):
    (tmp_path / "names.txt").write_text("person\ncar\n")
    good = Detect(model="crowd.xml", labels="names.txt", keep=["car"])
    assert list(good.check(View(tmp_path))) == []
    bad = Detect(model="croud.xml", labels="names.txt", keep=["car", "cat"], min_confidence={"*": 0.5, "persom": 0.1})
    diagnostics = {diagnostic.keys: diagnostic.hint for diagnostic in bad.check(View(tmp_path))}
    assert diagnostics == {
        ("model",): "did you mean 'crowd.xml'?",
        ("keep", 1): "did you mean 'car'?",
        ("min_confidence", "persom"): "did you mean 'person'?",
    }
    nothing = Detect(model="crowd.xml", labels="gone.txt")
    assert [c.keys for c in nothing.check(View(tmp_path))] == [("labels",)]


def test_check_knows_the_classes_that_a_model_names(tmp_path, crowd):
    bad = Detect(
        model="crowd.xml", keep=["Car", "tuck"], rename={"lorry": "truck"}, min_confidence={"*": 0.5, "bus": 0.1}
    )
    diagnostics = {diagnostic.keys: diagnostic.hint for diagnostic in bad.check(View(tmp_path))}
    assert sorted(diagnostics, key=str) == [("keep", 1), ("min_confidence", "bus"), ("rename", "lorry")]
    assert diagnostics["keep", 1] == "did you mean 'truck'?"
    assert list(Detect(model="flowrt-traffic-int8.xml", keep=["car", "pedestrian"]).check(View(tmp_path))) == []
    (tmp_path / "alone").mkdir()
    models.constant(tmp_path / "alone" / "m.xml", {"output0": np.zeros((1, 6, 84))})
    (tmp_path / "alone" / "metadata.yaml").write_text("names: {0: person, 1: Car}\n")
    [diagnostic] = Detect(model="alone", keep=["car", "bus"]).check(View(tmp_path))
    assert diagnostic.keys == ("keep", 1)


def test_check_reads_a_model_that_says_nothing_of_itself(tmp_path):
    """Its classes are those of COCO by the number of its outputs; none of them may be misspelt, in any of the settings."""
    shutil.copyfile(TINY_MODEL, tmp_path / "m.onnx")
    bad = Detect(model="m.onnx", keep=["Car", "traffic_light", "moterbike", "motorcicle"], rename={"vann": "car"})
    diagnostics = {diagnostic.keys: diagnostic.hint for diagnostic in bad.check(View(tmp_path))}
    assert diagnostics.keys() == {("keep", 2), ("keep", 3), ("rename", "vann")}
    assert diagnostics["keep", 3] == "did you mean 'motorcycle'?"
    [warning] = Detect(model="m.onnx", keep=["traffic light"]).check(View(tmp_path))
    assert warning.severity == "warning"
    assert "none of its classes (traffic light) counts as a vehicle or a pedestrian" in warning.message


def test_check_refuses_a_model_that_no_decoder_reads(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    models.constant(tmp_path / "m.xml", {"heatmap": np.zeros((1, 16, 16)), "mask": np.zeros((1, 8))})
    for name, said in (("text.onnx", "not a model that OpenVINO can read"), ("m.xml", "no decoder fits the outputs")):
        [diagnostic] = Detect(model=name).check(View(tmp_path))
        assert diagnostic.keys == ("model",)
        assert said in diagnostic.message


def test_check_reads_a_model_again_only_when_it_or_its_settings_change(tmp_path, monkeypatch):
    shutil.copyfile(TINY_MODEL, tmp_path / "m.onnx")
    read = []
    monkeypatch.setattr(facts, "_read", lambda wanted: read.append(wanted.decoder) or Facts(("car",)))
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))

    def check(**settings):
        facts.facts_of.cache_clear()  # as a new process begins
        list(Detect(model="m.onnx", **settings).check(View(tmp_path)))
        return len(read)

    assert check() == check() == 1
    assert check(min_confidence=0.4) == 1
    os.utime(tmp_path / "m.onnx", (0, 0))
    assert check() == 1, "the content is the same"
    assert check(decoder="yolo") == 2
    (tmp_path / "m.onnx").write_bytes(b"another")
    assert check() == 3
    [folder] = (tmp_path / "cache").iterdir()
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


# The real thing


def test_yolox_nano_on_the_bridge(virtual):
    """A plain decode of the same model finds 7 vehicles on frame 70; at least 7 a frame on average are wanted."""
    model, clip = data_file("yolox_nano.onnx"), data_file("bridge-traffic.mp4")
    with opened(Camera(uri=str(clip)), virtual) as camera:
        frames = [message for message in camera.produce() if isinstance(message, Frame)]
    found = detect(virtual, frames, model=str(model), min_confidence=0.3)
    vehicles = [int(each.of_class(VEHICLES).sum()) for each in found]
    assert len(found) == 144
    assert np.mean(vehicles) >= 7
    assert vehicles[70] >= 7
    boxes = np.concatenate([each.boxes_px for each in found])
    assert ((boxes >= 0) & (boxes <= [1280, 720, 1280, 720])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
