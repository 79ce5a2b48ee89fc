#!/usr/bin/env bash
# Makes the bundled detector again from nothing: render, train, export, examine. Run from the project's root; takes under two
# hours on two cores. PYTHON names the interpreter that has the extra `train` (default: python).
set -euo pipefail
PYTHON="${PYTHON:-python}"
export PYTHONPATH="sim${PYTHONPATH:+:$PYTHONPATH}"
# Threads that wait asleep instead of spinning: kinder to whatever else runs on the machine, and faster when it is shared.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

"$PYTHON" -m training.data --learn 6400 --choose 280
# Three stretches of one run, each going on where the one before stopped: with all augmentation, with less, and a short
# last one with more weight on the classes. This is what the shipped model was made by.
train() { "$PYTHON" -m training.train --learn 6400 --choose 280 --batch 16 --seed 7 --run training/runs/main "$@"; }
train --epochs 10 --until 3
train --epochs 8 --change 0.4 --until 6
train --epochs 7 --change 0.4 --class-weight 2 --epoch-pictures 2400 --average 0.99
"$PYTHON" -m training.export --learn 6400 --choose 280 --run training/runs/main --out models/flowrt-traffic
"$PYTHON" -m training.examine models/flowrt-traffic/*.xml
