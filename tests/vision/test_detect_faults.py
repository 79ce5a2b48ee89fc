"""Faults of `detect` found in the field, named by their number: models as people export them, class names, folders of models."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import pytest
import tiny_models as models
from harness import case_folder, data_file, opened
from openvino import opset13 as ops
from vision.test_detect import View, detect, frame

from flowrt import Detections, Diagnostic, Frame
from flowrt.traffic import VEHICLES
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera import Camera
from flowrt_nodes.detect import Detect

GREY = (114, 114, 114)
BOX = [22, 17, 42, 47]


def in_case(where, case: str, **settings: Any) -> Detections:
    """What the node finds in the case's picture; the case's folder is that of the flow."""
    folder = case_folder(case)
    where = msgspec.structs.replace(where, folder=folder)
    image = cv2.imread(str(folder / "grey.png"))
    [found] = detect(where, [Frame(time_s=1.0, camera_id="north", image=np.asarray(image, np.uint8))], **settings)
    return found


def errors(node: Detect, folder: Path) -> list[Diagnostic]:
    """What the node's check finds wrong, without warnings."""
    return [diagnostic for diagnostic in node.check(View(folder)) if diagnostic.severity == "error"]


def only(found: Detections) -> tuple[str, float, list[float]]:
    """The label, confidence and box of the only object."""
    [label], [confidence], [box] = found.label, found.confidence.tolist(), found.boxes_px.tolist()
    return label, round(confidence, 3), [round(side) for side in box]


@pytest.mark.parametrize(
    ("case", "model", "label", "confidence", "classes"),
    [
        ("05", "pose.xml", "person", 0.9, 1),
        ("06", "seg.xml", "car", 0.8, 2),
        ("06", "segnms.xml", "car", 0.8, 2),
        ("08", "v5p6.xml", "car", 0.72, 80),
        ("10", "yolox_decoded.xml", "car", 0.72, 80),
    ],
)
def test_fault_19_exports_with_more_than_boxes_are_read_as_what_they_are(
    virtual, case, model, label, confidence, classes
):
    found = in_case(virtual, case, model=model)
    assert only(found) == (label, confidence, BOX)
    assert len(found.labels) == classes


@pytest.mark.parametrize("labels", ["person car", ""])
def test_fault_19_masks_of_yolov5_are_no_classes(virtual, tmp_path, labels):
    classes = len(labels.split()) or 80
    rows = np.zeros((1, 252, 5 + classes + 32), np.float32)
    rows[0, 9, :6] = (32, 32, 20, 30, 0.9, 0.8)
    rows[0, 9, -3:] = 7.0
    outputs = {"output0": rows, "output1": np.zeros((1, 32, 16, 16), np.float32)}
    models.constant(tmp_path / "m.xml", outputs, **({"labels": labels} if labels else {}))
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("person", 0.72, BOX)


def test_fault_19_a_decoded_yolox_may_be_named_by_the_setting(virtual):
    for decoder in ("yolo", "yolox"):
        found = in_case(virtual, "10", model="yolox_decoded.xml", decoder=decoder)
        assert only(found) == ("car", 0.72, BOX)


@pytest.mark.parametrize("labels", ["metadata.yaml", ""])
def test_fault_19_names_of_a_metadata_yaml_are_read(virtual, labels):
    found = in_case(virtual, "09", model="bare.xml", labels=labels)
    assert found.label == ["car"]
    assert found.labels == ("person", "car")


def test_fault_19_class_names_in_capitals_are_the_same_classes(virtual):
    for settings in ({}, {"keep": ["CAR"]}, {"rename": {"Person": "pedestrian"}}, {"min_confidence": {"Car": 0.1}}):
        found = in_case(virtual, "17", model="detect.xml", **settings)
        assert found.label == ["car"]
        assert found.of_class(VEHICLES).all()
    assert in_case(virtual, "17", model="detect.xml", rename={"Car": "van"}).label == ["van"]


def test_fault_19_a_folder_that_an_exporter_wrote_is_a_model(virtual, tmp_path):
    found = in_case(virtual, "23", model="best_openvino_model")
    assert len(found) == 1
    assert list(Detect(model="best_openvino_model").check(View(case_folder("23")))) == []
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.onnx", "b.onnx"):
        (folder / name).write_bytes(b"")
    [diagnostic] = Detect(model="two").check(View(tmp_path))
    assert (diagnostic.message, diagnostic.hint) == (
        "'two' is a folder with 2 models",
        "expected one of two/a.onnx, two/b.onnx",
    )
    (tmp_path / "zoo" / "FP16").mkdir(parents=True)
    models.constant(tmp_path / "zoo" / "FP16" / "m.xml", {"output0": np.zeros((1, 84, 84))})
    assert list(Detect(model="zoo").check(View(tmp_path))) == []
    (tmp_path / "zoo" / "FP32").mkdir()
    models.constant(tmp_path / "zoo" / "FP32" / "m.xml", {"output0": np.zeros((1, 84, 84))})
    [diagnostic] = Detect(model="zoo").check(View(tmp_path))
    assert diagnostic.hint == "expected one of zoo/FP16/m.xml, zoo/FP32/m.xml"
    (tmp_path / "none").mkdir()
    [diagnostic] = Detect(model="none").check(View(tmp_path))
    assert diagnostic.message == "'none' is a folder without a model"


def test_fault_19_a_model_without_vehicles_and_pedestrians_is_pointed_out(virtual, tmp_path, caplog):
    columns = np.zeros((1, 6, 84), np.float32)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="helmet vest")
    with caplog.at_level(logging.WARNING):
        detect(virtual, [], model="m.xml", rename={"vest": "pedestrian"})
        assert not caplog.records
        detect(virtual, [], model="m.xml")
    assert "none of its classes (helmet, vest) counts as a vehicle or a pedestrian" in caplog.text


# Refused by name


@pytest.mark.parametrize(
    ("outputs", "info", "says"),
    [
        ({"output0": np.zeros((1, 56, 84))}, {}, "pose model"),
        (
            {"output0": np.zeros((1, 20, 84))},
            {"labels": "person car"},
            "20 columns a candidate, which do not go with 2 class names",
        ),
        ({"output0": np.zeros((1, 84, 84))}, {"labels": "person"}, "do not go with 1 class name"),
        (
            {"logits": np.zeros((1, 300, 80)), "pred_boxes": np.zeros((1, 300, 4))},
            {"labels": "a b"},
            "80 classes and 2 class names",
        ),
        ({"output0": np.zeros((1, 300, 7))}, {"labels": "a b"}, "do not go with 2 class names"),
        ({"output0": np.zeros((1, 84, 9))}, {}, "4 classes with objectness or 5 without: name the classes"),
        ({"output0": np.zeros((1, 3004, 84))}, {}, "3000 classes are too many"),
    ],
)
def test_fault_19_columns_that_do_not_go_with_the_names_are_refused(virtual, tmp_path, outputs, info, says):
    models.constant(tmp_path / "m.xml", outputs, **info)
    with pytest.raises(ValueError, match=says) as caught:
        detect(virtual, [], model="m.xml")
    assert "\n" not in str(caught.value)


def test_fault_19_a_model_of_another_task_is_refused(virtual, tmp_path):
    models.constant(tmp_path / "m.xml", {"output0": np.zeros((1, 1000, 4))})
    (tmp_path / "metadata.yaml").write_text("task: classify\nnames: {0: cat}\n")
    with pytest.raises(ValueError, match=r"m\.xml: the model's task is 'classify', so it is no detector"):
        detect(virtual, [], model="m.xml")


def test_fault_19_a_confidence_above_1_is_never_published(virtual, tmp_path):
    columns = np.zeros((1, 6, 84), np.float32)
    columns[0, :, 0] = (32, 32, 20, 30, 0.1, 17.0)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="person car")
    with pytest.raises(ValueError, match="a confidence of 17: its outputs are not those of a 'yolo' model"):
        detect(virtual, [frame()], model="m.xml")


def test_a_class_that_has_no_name_is_never_published(virtual, tmp_path):
    rows = np.full((1, 1, 5, 7), -1, np.float32)
    rows[0, 0, 0] = (0, 2, 0.9, 0.25, 0.25, 0.75, 0.5)
    models.constant(tmp_path / "m.xml", {"detection_out": rows}, labels="person car")
    with pytest.raises(ValueError, match=r"m\.xml finds classes 2 to 2, and has 2 class names"):
        detect(virtual, [frame()], model="m.xml")


@pytest.mark.parametrize(
    "content", ["author: me\n", "names: 3\n", "names: {0: a, 2: b}\n", "names: [car, '']\n", "a: [", ""]
)
def test_fault_19_a_labels_file_without_names_is_refused(tmp_path, content):
    models.constant(tmp_path / "m.xml", {"output0": np.zeros((1, 6, 84))})
    (tmp_path / "labels.yaml").write_text(content)
    [diagnostic] = Detect(model="m.xml", labels="labels.yaml").check(View(tmp_path))
    assert diagnostic.keys == ("labels",)
    assert "\n" not in diagnostic.message


# Other families


def two_inputs(file: Path) -> Path:
    """As official exports of RT-DETR and D-FINE: `images` and `orig_target_sizes`, in whose pixels the boxes are."""
    picture = ops.parameter([-1, 3, models.SIZE, models.SIZE], np.float32, name="images")
    sizes = ops.parameter([-1, 2], np.int64, name="orig_target_sizes")
    nothing = ops.multiply(ops.reduce_mean(picture, np.array([1, 2, 3]), keep_dims=True), np.float32(0))
    nothing = ops.reshape(nothing, np.array([-1, 1]), special_zero=False)
    scale = ops.unsqueeze(ops.tile(ops.convert(sizes, "f32"), np.array([1, 2])), np.array([1]))
    shares = ops.constant(np.array([[[22, 17, 42, 47], [0, 0, 0, 0]]], np.float32) / models.SIZE)
    outputs = {
        "labels": ops.constant(np.array([[2, 0]], np.int64)),
        "boxes": ops.multiply(shares, scale),
        "scores": ops.add(ops.constant(np.array([[0.8, 0.1]], np.float32)), nothing),
    }
    results = []
    for name, output in outputs.items():
        result = ops.result(output)
        result.output(0).get_tensor().set_names({name})
        results.append(result)
    return models.save(openvino.Model(results, [picture, sizes], "two"), file)


def test_a_detector_with_two_inputs(virtual, tmp_path):
    two_inputs(tmp_path / "m.xml")
    [found] = detect(virtual, [frame(128, 64)], model="m.xml")
    assert only(found) == ("car", 0.8, [44, 17, 84, 47])


def test_atss(virtual, tmp_path):
    boxes = np.zeros((3, 5), np.float32)
    boxes[0] = (*BOX, 0.7)
    models.constant(
        tmp_path / "m.xml", {"boxes": boxes, "labels": np.array([1.0, 0.0, 0.0])}, labels="vehicle person bike"
    )
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("person", 0.7, BOX)


def test_an_ssd_without_names_is_not_taken_for_coco(virtual, tmp_path):
    """Its classes go by the name of a file that is known, else they have none."""
    rows = np.full((1, 1, 5, 7), -1, np.float32)
    rows[0, 0, 0] = (0, 1, 0.9, 0.25, 0.25, 0.75, 0.5)
    for name, label in (("person-vehicle-bike-detection-crossroad-1016", "vehicle"), ("other", "class_1")):
        models.constant(tmp_path / f"{name}.xml", {"detection_out": rows})
        [found] = detect(virtual, [frame()], model=f"{name}.xml")
        assert found.label == [label]


def test_rf_detr_counts_with_cocos_numbers(virtual, tmp_path):
    logits = np.full((1, 10, 91), -9, np.float32)
    logits[0, 3, 8] = 2.0  # COCO's category 8 is the truck; the 8th of the 80 without gaps is the train
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    models.constant(tmp_path / "m.xml", {"dets": boxes, "labels": logits})
    [found] = detect(virtual, [frame()], model="m.xml")
    assert found.label == ["truck"]


def test_rt_detr_of_ultralytics_has_relative_boxes(virtual, tmp_path):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 9] = (0.5, 0.5, 20 / 64, 30 / 64, 0.1, 0.9)
    models.constant(tmp_path / "m.xml", {"output0": rows})
    (tmp_path / "metadata.yaml").write_text(
        "description: Ultralytics rtdetr-l model\ntask: detect\nnames: {0: person, 1: car}\n"
    )
    [found] = detect(virtual, [frame(128, 64)], model="m.xml")
    assert only(found) == ("car", 0.9, [44, 17, 84, 47])


def test_fault_19_a_pose_model_with_suppression_inside(virtual, tmp_path):
    rows = np.zeros((1, 300, 6 + 51), np.float32)
    rows[0, 0] = (*BOX, 0.9, 0, *[50.0] * 51)
    for labels in ({"labels": "person"}, {}):
        models.constant(tmp_path / "m.xml", {"output0": rows}, **labels)
        [found] = detect(virtual, [frame()], model="m.xml")
        assert only(found) == ("person", 0.9, BOX)


def test_nanodet_plus(virtual, tmp_path):
    rows = np.zeros((1, 64 + 16 + 4 + 1, 80 + 32), np.float32)
    rows[0, 64 + 2 * 4 + 2, 2] = 0.8  # a car at column 2, row 2 of stride 16: (32, 32)
    for edge, strides in enumerate((0.625, 0.9375, 0.625, 0.9375)):  # a mixture of the bins 0 and 1
        rows[0, 64 + 2 * 4 + 2, 80 + 8 * edge : 88 + 8 * edge] = [np.log(1 - strides), np.log(strides), *[-50.0] * 6]
    models.constant(tmp_path / "m.xml", {"output": rows})
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", 0.8, BOX)


def test_fastest_det(virtual, tmp_path):
    cells = np.zeros((1, 5 + 80, 4, 4), np.float32)
    # A car at column 2, row 1 of stride 16, its centre half a cell to the right and on the cell's upper edge.
    cells[0, :5, 1, 2] = (0.9, np.arctanh(0.5), 0, np.log(20 / 44), np.log(30 / 34))
    cells[0, 5 + 2, 1, 2] = 0.8
    models.constant(tmp_path / "m.xml", {"output": cells})
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", round(0.9**0.6 * 0.8**0.4, 3), [30, 1, 50, 31])


def test_yolo_v8_the_other_way_round_without_names(virtual, tmp_path):
    rows = np.zeros((1, 84, 84), np.float32)
    rows[0, 9, [0, 1, 2, 3, 6]] = (32, 32, 20, 30, 0.8)
    models.constant(tmp_path / "m.xml", {"output0": rows.transpose(0, 2, 1)})
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", 0.8, BOX)


def test_a_detr_without_a_description_is_told_by_its_rows(virtual, tmp_path):
    rows = np.zeros((1, 300, 7), np.float32)
    rows[0, 9] = (0.5, 0.5, 20 / 64, 30 / 64, 0.1, 0.9, 0.2)
    models.constant(tmp_path / "m.xml", {"output0": rows}, labels="person car bus")
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", 0.9, BOX)


@pytest.mark.parametrize("task", ["obb", ""])
def test_fault_19_the_angle_of_oriented_boxes_is_no_objectness(virtual, tmp_path, task):
    columns = np.zeros((1, 7, 84), np.float32)
    columns[0, :, 4] = (32, 32, 30, 20, 0.1, 0.8, np.pi / 2)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="person car")
    if task:
        (tmp_path / "metadata.yaml").write_text(f"task: {task}\n")
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", 0.8, BOX)


def test_oriented_boxes_are_taken_with_the_box_around_them(virtual, tmp_path):
    columns = np.zeros((1, 7, 84), np.float32)
    columns[0, :, 4] = (32, 32, 30, 20, 0.1, 0.8, np.pi / 2)
    models.constant(tmp_path / "m.xml", {"output0": columns})
    (tmp_path / "metadata.yaml").write_text("task: obb\nnames: {0: person, 1: car}\n")
    [found] = detect(virtual, [frame()], model="m.xml")
    assert only(found) == ("car", 0.8, BOX)


def test_mean_and_scale_are_settings(virtual, tmp_path):
    models.averaging(tmp_path / "m.xml", labels="first second third", decoder="yolo")
    [found] = detect(virtual, [frame()], model="m.xml", min_confidence=0.01, mean=[10, 0, 0], scale=[100])
    assert found.confidence.max() == pytest.approx(0.2, abs=1e-3)
    [diagnostic] = errors(Detect(model="m.xml", mean=[1.0, 2.0]), tmp_path)
    assert diagnostic.keys == ("mean",)


# Real models on a real picture


@pytest.fixture(scope="module")
def traffic() -> list[Frame]:
    """Three pictures of the bridge, with about seven vehicles each that a small detector finds."""
    capture = cv2.VideoCapture(str(data_file("bridge-traffic.mp4")))
    images = [np.asarray(capture.read()[1], np.uint8) for _ in range(121)][::60]
    return [Frame(time_s=float(i), camera_id="north", image=image) for i, image in enumerate(images)]


@pytest.mark.parametrize(
    ("model", "family", "least", "share"),
    [
        ("models/yolo11n_y.xml", "YOLO", 8, 1.0),
        ("models/yolov8n_int8.onnx", "YOLO", 8, 0.75),
        ("models/nanodet_m.onnx", "NanoDet", 4, 0.75),
        ("models/nanodet.onnx", "NanoDet", 3, 0.75),
        ("models/yolo-fastestv2.onnx", "Yolo-FastestV2", 4, 0.5),  # a megabyte: its boxes are coarse
        ("yolox_nano.onnx", "YOLOX", 6, 0.75),
    ],
)
def test_fault_19_models_as_people_publish_them_find_vehicles(virtual, traffic, model, family, least, share):
    with opened(Detect(model=str(data_file(model)), min_confidence=0.3, nms="across"), virtual) as node:
        assert node.status()["family"] == family
        found = [node.collect(node.submit(each)) for each in traffic]
    vehicles = [int(each.of_class(VEHICLES).sum()) for each in found]
    assert np.mean(vehicles) >= least
    reference = detect(virtual, traffic, model=str(data_file("models/yolo11n_y.xml")), min_confidence=0.3, nms="across")
    agreeing = 0
    for each, other in zip(found, reference, strict=True):
        boxes, known = each.boxes_px[each.of_class(VEHICLES)], other.boxes_px
        agreeing += sum(_iou(box, known).max() > 0.5 for box in boxes)
    assert agreeing >= share * sum(vehicles), "they are where another model sees something too"


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    inside = np.prod(np.maximum(sides, 0), axis=1)
    return inside / (np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - inside)


def test_a_camera_and_a_model_of_the_cases_make_a_flow(virtual):
    where = msgspec.structs.replace(virtual, folder=case_folder("06"))
    with opened(Camera(uri="grey.png"), where) as camera:
        frames = [message for message in camera.produce() if isinstance(message, Frame)]
    assert [only(found)[0] for found in detect(where, frames, model="seg.xml")] == ["car"]


def test_fault_16_the_model_cache_is_for_the_owner_alone(virtual, tmp_path):
    columns = np.zeros((1, 6, 84), np.float32)
    models.constant(tmp_path / "m.xml", {"output0": columns}, labels="person car")
    before = os.umask(0)
    try:
        detect(virtual, [], model="m.xml")
    finally:
        os.umask(before)
    cache = virtual.data / "model_cache"
    files = list(cache.iterdir())
    assert files
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_fault_16_a_model_cache_that_is_a_link_is_refused(virtual, tmp_path):
    models.constant(tmp_path / "m.xml", {"output0": np.zeros((1, 6, 84), np.float32)}, labels="person car")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    virtual.data.mkdir(exist_ok=True)
    (virtual.data / "model_cache").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="model_cache is a link, which is not followed"):
        detect(virtual, [], model="m.xml")
    assert not list(elsewhere.iterdir())
