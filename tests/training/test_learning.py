"""The parts of training: who answers for what, what is punished, and that pictures and boxes change together."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is an optional extra: pip install flowrt[train]")

from training import data  # noqa: E402
from training.assign import Targets, assign  # noqa: E402
from training.augment import Example, augmented  # noqa: E402
from training.loss import detection_loss, paired_giou  # noqa: E402
from training.model import Deployed, Grid, RawOutput, TrafficDetector  # noqa: E402

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
    example = Example(picture, np.array([[150, 80, 190, 110]], np.float32), np.array([0]), np.array([False]))
    checked = 0
    for number in range(60):
        changed = augmented(example, np.random.default_rng(number), (160, 96), EQUAL)
        assert changed.picture.shape == (96, 160, 3)
        if not len(changed.classes) or changed.ignored[0]:
            continue
        x1, y1, x2, y2 = changed.boxes_px[0]
        inner = changed.picture[int(y1) + 3 : int(y2) - 3, int(x1) + 3 : int(x2) - 3]
        assert np.median(inner) > np.median(changed.picture[:, :, :]) + 40
        checked += 1
    assert checked > 30


def test_parts_are_taken_more_often_around_the_wanted_class() -> None:
    picture = np.full((96, 640, 3), 40, np.uint8)
    boxes = np.array([[20, 40, 40, 60], [600, 40, 620, 60]], np.float32)
    example = Example(picture, boxes, np.array([0, 1]), np.array([False, False]))
    wanted = np.array([1, 9, 1, 1, 1, 1, 1], np.float32)
    parts = [augmented(example, np.random.default_rng(n), (96, 64), wanted) for n in range(200)]
    seen = [sum(int((p.classes[~p.ignored] == kind).any()) for p in parts) for kind in (0, 1)]
    assert seen[1] > 3 * seen[0] > 0


def test_augmentation_follows_its_generator_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    example = Example(picture, np.array([[10, 10, 40, 40]], np.float32), np.array([1]), np.array([False]))
    first, second = (augmented(example, np.random.default_rng(9), (64, 32), EQUAL) for _ in range(2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.boxes_px, second.boxes_px)


def test_batches_are_the_same_whatever_the_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also rendering: two processes write into one file."""
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setattr(data, "CHUNK", 4)
    pictures = data.cached(data.LEARN, 8, size_px=(640, 360), processes=2)
    sixth = data.rendered(data.LEARN, data.LEARN.first_seed + 5, size_px=(640, 360))
    assert np.array_equal(pictures[5].picture, sixth.picture)
    assert np.array_equal(pictures[5].boxes_px, sixth.boxes_px)
    change = data.Change((256, 128), np.ones(CLASSES, np.float32), 1.0, (0.5, 1.05))
    one, two = (list(data.batches(pictures, 3, 7, 0, change, processes)) for processes in (1, 2))
    assert [tuple(shown.shape) for shown, _ in one] == [(3, 3, 128, 256)] * 2  # of eight pictures two are left out
    for (shown, targets), (again, same) in zip(one, two, strict=True):
        assert torch.equal(shown, again)
        assert torch.equal(targets.boxes_px, same.boxes_px)
