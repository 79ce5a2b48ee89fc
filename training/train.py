"""Train the detector on rendered pictures, on the CPU or a GPU.

    python -m training.train --train 8000 --epochs 20 --run training/runs/main

Repeatable: the pictures follow from their seeds, their order and augmentation from `--seed` and the epoch. The saved
state is an exponential moving average of the weights; the best one by mAP50 on the validation pictures ends up in
`RUN/best.pt`. An interrupted run goes on from `RUN/last.pt`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flowrt_sim import CLASSES
from training.assign import Targets
from training.data import INPUT_PX, RENDERED_PX, Augmentation, batches, cached
from training.evaluate import network_map50
from training.loss import detection_loss
from training.model import Grid, TrafficDetector
from training.splits import TRAIN, VALIDATION

WARM_UP_STEPS = 200
MAX_GRADIENT = 10.0
REPORT_EVERY = 50


def learning_rate_share(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to one hundredth."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def optimiser_for(model: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW, without decay for biases and normalisation."""
    flat = [p for p in model.parameters() if p.ndim <= 1]
    weights = [p for p in model.parameters() if p.ndim > 1]
    return torch.optim.AdamW(
        [{"params": weights, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}], lr=rate
    )


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, longest: float) -> None:
    """Move the averaged weights towards the model's; faster in the beginning, when the average is of little worth."""
    decay = min(longest, (1 + step) / (20 + step))
    for averaged, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if averaged.dtype.is_floating_point:
            averaged.lerp_(new, 1 - decay)
        else:
            averaged.copy_(new)


def class_weights(counts: Any) -> Tensor:
    """Weights [classes] by the inverse square root of how often a class occurs, mean 1, at most 2."""
    rare = 1 / torch.as_tensor(counts, dtype=torch.float32).clamp(min=1).sqrt()
    return (rare / rare.mean()).clamp(max=2.0)


def train(options: argparse.Namespace) -> None:
    """The whole run: pictures, epochs, states on disk, one line of JSON an epoch in `RUN/log.ndjson`."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    run = Path(options.run)
    run.mkdir(parents=True, exist_ok=True)
    train_pictures = cached(TRAIN, options.train, RENDERED_PX if options.whole else INPUT_PX)
    validation_pictures = cached(VALIDATION, options.validation)
    rarity = class_weights(train_pictures.class_counts(len(CLASSES)))
    weights = rarity.to(device)

    model = TrafficDetector(len(CLASSES)).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack memory_format alone
    average = copy.deepcopy(model).eval()
    optimiser = optimiser_for(model, options.rate, options.decay)
    view_px = (options.view[0], options.view[1])
    with device:
        grid = Grid.of(*view_px)
    augmentation = Augmentation(view_px, rarity.numpy() ** 2, options.augment, (options.zoom[0], options.zoom[1]))
    steps_an_epoch = len(train_pictures) // options.batch
    steps = steps_an_epoch * options.epochs
    first_epoch, best = _resumed(run / "last.pt", model, average, optimiser)

    for epoch in range(first_epoch, min(options.until, options.epochs)):
        started, sums = time.monotonic(), torch.zeros(3, device=device)
        model.train()
        fed = batches(train_pictures, options.batch, options.seed, epoch, augmentation, options.processes)
        for number, (pictures, targets) in enumerate(fed):
            step = epoch * steps_an_epoch + number
            for group in optimiser.param_groups:
                group["lr"] = options.rate * learning_rate_share(step, steps)
            shown = pictures.to(device).float().contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
                raw = model(shown)
            with device:
                asked = Targets(*(t.to(device) for t in targets))
                loss = detection_loss(raw, asked, grid, weights, options.class_weight)
            optimiser.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]  # torch's stubs do not type backward
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
            optimiser.step()
            follow(average, model, step, options.average)
            sums += torch.stack([loss.box.detach(), loss.objectness.detach(), loss.classes.detach()])
            if number % REPORT_EVERY == REPORT_EVERY - 1:
                rate_s = (number + 1) * options.batch / (time.monotonic() - started)
                means = (sums / (number + 1)).tolist()
                parts = " ".join(f"{name} {v:.3f}" for name, v in zip(("box", "obj", "class"), means, strict=True))
                print(f"epoch {epoch} step {number + 1}/{steps_an_epoch} {parts} {rate_s:.1f} pictures/s", flush=True)
        if (epoch + 1) % options.measure_every and epoch + 1 != options.epochs:
            best = _saved(run, model, average, optimiser, epoch, -1.0, best)
            continue
        map50, per_class = network_map50(average, validation_pictures)
        best = _saved(run, model, average, optimiser, epoch, map50, best)
        entry = {
            "epoch": epoch,
            "map50": round(map50, 4),
            "per_class": per_class,
            "seconds": round(time.monotonic() - started),
        }
        with (run / "log.ndjson").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)


def _resumed(path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    """The next epoch and the best mAP50 so far."""
    if not path.exists():
        return 0, -1.0
    state = torch.load(path, weights_only=True, map_location=next(model.parameters()).device)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["epoch"]) + 1, float(state["best"])


def _saved(
    run: Path,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    map50: float,
    best: float,
) -> float:
    """Write the states of this epoch; returns the best mAP50 so far."""
    best_now = max(best, map50)
    if map50 >= best:
        torch.save({"average": average.state_dict(), "epoch": epoch, "map50": map50}, run / "best.pt")
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "epoch": epoch, "best": best_now}, run / "last.pt")
    return best_now


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", type=int, default=8000, help="training pictures")
    parser.add_argument(
        "--validation", type=int, default=280, help="validation pictures, by which the best state is chosen"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--until", type=int, default=1000, help="stop before this epoch, to go on later with other settings"
    )
    parser.add_argument("--augment", type=float, default=1.0, help="share of augmentation, 0 to 1")
    parser.add_argument("--class-weight", type=float, default=1.0, help="weight of the class part of the loss")
    parser.add_argument("--view", type=int, nargs=2, default=(448, 256), help="width and height of the crops")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights, a step")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay")
    parser.add_argument(
        "--measure-every", type=int, default=1, help="epochs from one mAP50 on the validation pictures to the next"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--processes", type=int, default=1, help="processes that read and augment pictures")
    parser.add_argument("--whole", action="store_true", help="train on pictures stored as rendered, 1280x720")
    parser.add_argument(
        "--zoom", type=float, nargs=2, default=(0.65, 1.35), help="least and largest zoom of the stored pictures"
    )
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--run", default="training/runs/main", help="folder for states and log")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
