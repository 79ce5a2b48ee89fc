"""The parts of training: assignment, loss, and augmentation of pictures and boxes together."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is an optional extra: pip install flowrt[train]")

from flowrt_nodes.detect._decoding.candidates import Candidates, Ports  # noqa: E402
from flowrt_nodes.detect._decoding.layouts import layout_of  # noqa: E402
from flowrt_nodes.detect._model.metadata import Metadata  # noqa: E402
from flowrt_sim.dataset import sample  # noqa: E402
from training import data  # noqa: E402
from training.assign import Targets, assign  # noqa: E402
from training.augment import Example, augmented  # noqa: E402
from training.footprints import _middle, cell_features, footprint_loss, wanted  # noqa: E402
from training.loss import detection_loss, paired_giou  # noqa: E402
from training.model import Deployed, FootprintHead, Grid, RawOutput, TrafficDetector  # noqa: E402
from training.shipped import detector_of  # noqa: E402

torch.set_num_threads(1)  # small tensors: more threads only wait for each other

WIDTH_PX, HEIGHT_PX, CLASSES = 128, 64, 7


def targets_of(*boxes: tuple[float, float, float, float, int], ignored: tuple[int, ...] = ()) -> Targets:
    """One picture's objects as (x1, y1, x2, y2, class)."""
    hidden = torch.tensor([[i in ignored for i in range(len(boxes))]])
    return Targets(
        torch.tensor([[b[:4] for b in boxes]], dtype=torch.float32),
        torch.tensor([[b[4] for b in boxes]]),
        ~hidden,
        hidden,
    )


def silent(grid: Grid) -> RawOutput:
    """A network that sees nothing: unit boxes everywhere, low objectness, no opinion on the class."""
    cells = len(grid.strides_px)
    return RawOutput(torch.zeros(1, cells, 4), torch.full((1, cells), -4.0), torch.zeros(1, cells, CLASSES))


def test_every_object_gets_a_cell_near_its_centre_even_a_tiny_one() -> None:
    grid = Grid.of(WIDTH_PX, HEIGHT_PX)
    targets = targets_of((40, 20, 43, 26, 6), (60, 10, 120, 60, 3))
    raw = silent(grid)
    found = assign(grid.boxes_px(raw.offsets), raw.objectness, raw.classes, targets, grid)
    centres_px = (grid.columns_rows + 0.5) * grid.strides_px
    for number, box in enumerate(targets.boxes_px[0]):
        mine = found.positive[0] & (found.object_index[0] == number)
        assert mine.any()
        away = (centres_px[mine] - (box[:2] + box[2:]) / 2).abs() / grid.strides_px[mine]
        assert float(away.max()) < 2.0


def test_nobody_answers_for_an_ignored_object_and_nobody_is_punished_for_it() -> None:
    grid = Grid.of(WIDTH_PX, HEIGHT_PX)
    targets = targets_of((30, 10, 90, 50, 0), ignored=(0,))
    raw = silent(grid)
    found = assign(grid.boxes_px(raw.offsets), raw.objectness, raw.classes, targets, grid)
    assert not found.positive.any()
    assert found.neutral.any()
    loud = raw._replace(objectness=torch.where(found.neutral, torch.tensor(8.0), raw.objectness))
    quiet_loss = detection_loss(raw, targets, grid, torch.ones(CLASSES)).total
    loud_loss = detection_loss(loud, targets, grid, torch.ones(CLASSES)).total
    assert float(loud_loss) == pytest.approx(float(quiet_loss))


def test_giou_is_one_for_equal_boxes_and_negative_for_distant_ones() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [30, 0, 40, 10]])
    # hull of the second pair 40 x 10, union 200: 0 - (400 - 200) / 400
    assert paired_giou(a, b).tolist() == pytest.approx([1.0, -0.5])


def test_a_few_steps_on_one_picture_lower_the_loss() -> None:
    torch.manual_seed(3)
    grid = Grid.of(WIDTH_PX, HEIGHT_PX)
    network = TrafficDetector(CLASSES, widths=(8, 8, 16, 16, 16), neck_widths=(16, 16, 16), head_width=16)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    picture = torch.full((2, 3, HEIGHT_PX, WIDTH_PX), 90.0)
    picture[:, :, 12:52, 30:90] = torch.tensor([30.0, 40.0, 220.0])[None, :, None, None]
    one = targets_of((30, 12, 90, 52, 2))
    targets = Targets(*(torch.cat((t, t)) for t in one))
    losses = []
    for _ in range(40):
        loss = detection_loss(network(picture), targets, grid, torch.ones(CLASSES))
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(float(loss.total.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_the_deployed_network_says_the_same_as_the_trained_one() -> None:
    torch.manual_seed(1)
    network = TrafficDetector(CLASSES).eval()
    picture = torch.rand(1, 3, HEIGHT_PX, WIDTH_PX) * 255
    with torch.no_grad():
        raw, rows = network(picture), Deployed(network)(picture)
    assert rows.shape == (1, len(Grid.of(WIDTH_PX, HEIGHT_PX).strides_px), 5 + CLASSES)
    assert torch.allclose(rows[..., 4], raw.objectness.sigmoid(), atol=1e-5)
    assert torch.allclose(rows[..., 5:], raw.classes.softmax(-1), atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) < 1_000_000


EQUAL = np.ones(CLASSES, np.float32)


def test_boxes_follow_what_augmentation_does_to_the_picture() -> None:
    picture = np.full((192, 320, 3), 40, np.uint8)
    picture[80:110, 150:190] = 230
    stands = np.array([[160, 100, 185, 90]], np.float32)
    example = Example(picture, np.array([[150, 80, 190, 110]], np.float32), np.array([0]), np.array([False]), stands)
    checked, sides = 0, set()
    for number in range(60):
        changed = augmented(example, np.random.default_rng(number), (160, 96), EQUAL)
        assert changed.picture.shape == (96, 160, 3)
        if not len(changed.classes) or changed.ignored[0]:
            continue
        x1, y1, x2, y2 = changed.boxes_px[0]
        inner = changed.picture[int(y1) + 3 : int(y2) - 3, int(x1) + 3 : int(x2) - 3]
        assert np.median(inner) > np.median(changed.picture[:, :, :]) + 40
        checked += 1
        if x1 > 0 and y1 > 0 and x2 < 160 and y2 < 96:  # whole: its parts lie where they lay
            shares = ((changed.footprints_px[0].reshape(2, 2) - (x1, y1)) / (x2 - x1, y2 - y1)).round(3)
            sides.add(bool(shares[0, 0] > 0.5))
            assert shares[:, 1].tolist() == pytest.approx([20 / 30, 10 / 30], abs=0.01)
            across = np.where(shares[0, 0] > 0.5, 1 - shares[:, 0], shares[:, 0])
            assert across.tolist() == pytest.approx([10 / 40, 35 / 40], abs=0.01)
    assert checked > 30
    assert sides == {True, False}, "mirrored and not"


def test_parts_are_taken_more_often_around_the_wanted_class() -> None:
    picture = np.full((96, 640, 3), 40, np.uint8)
    boxes = np.array([[20, 40, 40, 60], [600, 40, 620, 60]], np.float32)
    example = Example(picture, boxes, np.array([0, 1]), np.array([False, False]), np.zeros((2, 4), np.float32))
    wanted = np.array([1, 9, 1, 1, 1, 1, 1], np.float32)
    parts = [augmented(example, np.random.default_rng(n), (96, 64), wanted) for n in range(200)]
    seen = [sum(int((p.classes[~p.ignored] == kind).any()) for p in parts) for kind in (0, 1)]
    assert seen[1] > 3 * seen[0] > 0


def test_augmentation_follows_its_generator_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    boxes, stands = np.array([[10, 10, 40, 40]], np.float32), np.zeros((1, 4), np.float32)
    example = Example(picture, boxes, np.array([1]), np.array([False]), stands)
    first, second = (augmented(example, np.random.default_rng(9), (64, 32), EQUAL) for _ in range(2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.boxes_px, second.boxes_px)


def test_batches_are_the_same_whatever_the_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also rendering: two processes write into one file."""
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setattr(data, "CHUNK", 4)
    pictures = data.cached(data.TRAIN, 8, size_px=(640, 360), processes=2)
    sixth = data.rendered(data.TRAIN, data.TRAIN.first_seed + 5, size_px=(640, 360))
    assert np.array_equal(pictures[5].picture, sixth.picture)
    assert np.array_equal(pictures[5].boxes_px, sixth.boxes_px)
    assert np.array_equal(pictures[5].footprints_px, sixth.footprints_px)
    change = data.Augmentation((256, 128), np.ones(CLASSES, np.float32), 1.0, (0.5, 1.05))
    one, two = (list(data.batches(pictures, 3, 7, 0, change, processes)) for processes in (1, 2))
    assert [tuple(shown.shape) for shown, _ in one] == [(3, 3, 128, 256)] * 2  # of eight pictures two are left out
    for (shown, targets), (again, same) in zip(one, two, strict=True):
        assert torch.equal(shown, again)
        assert torch.equal(targets.boxes_px, same.boxes_px)


def test_footprints_of_a_picture_lie_where_its_objects_stand() -> None:
    """The middle lies within the box, low in it; the axis is as long as half a vehicle seen from there."""
    found = sample(9, size=(1280, 720))
    whole = found.occlusion < 0.02
    boxes, stands = found.boxes_xyxy_px[whole], found.footprints_px[whole]
    assert len(boxes) > 5
    shares = (stands[:, :2] - boxes[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    assert ((shares[:, 0] > 0.2) & (shares[:, 0] < 0.8)).all()
    assert ((shares[:, 1] > 0.5) & (shares[:, 1] < 1.01)).all()
    longer = np.abs(stands[:, 2:] - stands[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    assert longer.max() < 0.75


def test_what_the_head_is_taught_is_what_a_detect_node_reads() -> None:
    """From boxes and footprints in pixels to the head's values and back; front and rear may be exchanged."""
    rng = np.random.default_rng(4)
    grid = Grid.of(WIDTH_PX, HEIGHT_PX)
    cells = len(grid.strides_px)
    rows = torch.zeros(cells, 5 + CLASSES)
    rows[:, :4], rows[:, 4], rows[:, 5] = torch.from_numpy(rng.normal(0, 0.6, (cells, 4))), 1.0, 1.0
    boxes = grid.boxes_px(rows[:, :4])
    extent = boxes[:, 2:] - boxes[:, :2]
    stands = torch.from_numpy(rng.uniform(-0.4, 0.4, (cells, 4)).astype(np.float32)) * extent.repeat(1, 2)
    stands[:, :2] += (boxes[:, :2] + boxes[:, 2:]) / 2
    stands[:, 2:] += stands[:, :2]
    values = torch.cat((wanted(boxes, stands), torch.full((cells, 2), -3.0)), 1)
    layout = layout_of(
        Ports(["detections", "footprints"], [(1, cells, 5 + CLASSES), (1, cells, 6)], (WIDTH_PX, HEIGHT_PX)),
        Metadata(own=True, decoder="yolox"),
        None,
    )
    found: Candidates = layout.decode([rows[None].numpy(), values[None].numpy()], 0.5)
    assert found.footprints is not None
    assert found.footprints[:, :2] == pytest.approx(stands[:, :2].numpy(), abs=0.01)
    axis = (stands[:, 2:] - stands[:, :2]).numpy()
    same = np.sign((axis * found.footprints[:, 2:4]).sum(axis=1, keepdims=True))
    assert found.footprints[:, 2:4] * same == pytest.approx(axis, abs=0.02)
    size = extent.prod(1).sqrt().numpy()
    assert found.footprints[:, 4] == pytest.approx(np.exp(-3.0) * np.sqrt(3) * size, rel=1e-3)


def test_an_axis_and_its_opposite_are_one() -> None:
    boxes = torch.tensor([[0.0, 0, 60, 30]]).repeat(2, 1)
    stands = torch.tensor([[30.0, 20, 45, 14], [30, 20, 15, 26]])
    values = wanted(boxes, stands)
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_the_footprint_loss_is_least_at_the_truth_with_the_right_spread() -> None:
    truth, extent = torch.tensor([[0.1, 0.3, 0.2, -0.1]]).repeat(500, 1), torch.full((500, 2), 40.0)
    noise = torch.from_numpy(np.random.default_rng(2).laplace(0, 0.02, (500, 4)).astype(np.float32))

    def loss(shift: float, spread: float) -> float:
        return float(footprint_loss(torch.cat((truth + noise + shift, torch.full((500, 2), spread)), 1), truth, extent))

    spreads = np.linspace(-6, 0, 25)
    best = spreads[int(np.argmin([loss(0.0, s) for s in spreads]))]
    assert np.exp(best) == pytest.approx(0.016, rel=0.25)  # half of the mean error in two dimensions
    assert loss(0.0, best) < loss(0.1, best)


def test_the_head_learns_from_patches_what_it_says_of_whole_pictures() -> None:
    torch.manual_seed(5)
    network, head = TrafficDetector(CLASSES).eval(), FootprintHead().eval()
    picture = np.random.default_rng(3).integers(0, 255, (96, 160, 3), dtype=np.uint8)
    box = np.array([[50, 20, 110, 70]], np.float32)
    stands = np.array([[80, 60, 95, 50]], np.float32)
    example = Example(picture, box, np.array([0]), np.array([False]), stands)
    with torch.no_grad():
        blob = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float()
        levels = network.levels(blob)
        for level, part, patches in zip(levels, head.heads, _patches(levels), strict=True):
            inner = part(level)[0, :, 2:-2, 2:-2].flatten(1).T
            assert torch.allclose(_middle(part, patches), inner, atol=1e-4)
        for seen in cell_features(network, [example], 0):
            assert seen.around.shape[2:] == (5, 5)
            assert len(seen.truth) == len(seen.facts) == len(seen.size)


def _patches(levels: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """[n, channels, 5, 5]: around every cell that has two more on each side."""
    return [
        level.unfold(2, 5, 1).unfold(3, 5, 1)[0].permute(1, 2, 0, 3, 4).reshape(-1, level.shape[1], 5, 5)
        if min(level.shape[2:]) >= 5
        else torch.zeros(0, level.shape[1], 5, 5)
        for level in levels
    ]


def test_learning_goes_on_from_the_shipped_model() -> None:
    """The network read back from the IR says what the IR says, up to the half precision of its weights' sums."""
    import openvino

    file = Path(data.__file__).parents[1] / "models" / "flowrt-traffic" / "flowrt-traffic-fp16.xml"
    model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    picture = np.random.default_rng(1).uniform(0, 255, list(model.input(0).shape)).astype(np.float32)
    with torch.no_grad():
        rows = Deployed(detector_of(file)).eval()(torch.from_numpy(picture))
    assert np.abs(np.asarray(model(picture)["detections"]) - rows.numpy()).max() < 1e-3


def test_another_model_is_no_start() -> None:
    other = Path(data.__file__).parents[1] / "models" / "flowrt-traffic" / "flowrt-traffic-int8.xml"
    with pytest.raises(ValueError, match="no FP16 model of this network"):
        detector_of(other)
