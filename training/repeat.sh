#!/usr/bin/env bash
# Makes the bundled detector again from nothing: render, train, export, examine. Run from the project's root; takes under two
# hours on two cores. PYTHON names the interpreter that has the extra `train` (default: python).
set -euo pipefail
PYTHON="${PYTHON:-python}"
export PYTHONPATH="sim${PYTHONPATH:+:$PYTHONPATH}"
# Threads that wait asleep instead of spinning: kinder to whatever else runs on the machine, and faster when it is shared.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

"$PYTHON" -m training.data --learn 6400 --choose 280
"$PYTHON" -m training.train --learn 6400 --choose 280 --epochs 10 --batch 16 --seed 7 --run training/runs/main
"$PYTHON" -m training.export --learn 6400 --choose 280 --run training/runs/main --out models/flowrt-traffic
"$PYTHON" -m training.examine models/flowrt-traffic/*.xml
