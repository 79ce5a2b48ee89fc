#!/usr/bin/env bash
# Makes the bundled detector again from nothing: render, train, export, examine. Run from the project's root; takes under two
# hours on two cores. PYTHON names the interpreter that has the extra `train` (default: python).
set -euo pipefail
PYTHON="${PYTHON:-python}"
export PYTHONPATH="sim${PYTHONPATH:+:$PYTHONPATH}"
# Threads that wait asleep instead of spinning: kinder to whatever else runs on the machine, and faster when it is shared.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

"$PYTHON" -m training.data --learn 8000 --choose 280
# Two stretches of one run: quick small parts first, then larger ones, in which a bus near the camera fits whole, with more weight on the classes.
train() { "$PYTHON" -m training.train --learn 8000 --choose 280 --epochs 20 --seed 7 --run training/runs/main "$@"; }
train --until 15
train --until 20 --view 640 352 --batch 16 --change 0.5 --class-weight 2
"$PYTHON" -m training.export --learn 8000 --choose 280 --run training/runs/main --out models/flowrt-traffic
"$PYTHON" -m training.examine models/flowrt-traffic/*.xml
