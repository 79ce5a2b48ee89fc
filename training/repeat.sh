#!/usr/bin/env bash
# Makes a detector again from nothing: render, train, export, examine. Run from the project's root; PYTHON names the
# interpreter that has the extra `train` (default: python).
#   bash training/repeat.sh cpu [OUT]   under two hours on two cores
#   bash training/repeat.sh gpu [OUT]   the models that are shipped: minutes with a GPU and 16 cores; 60 GB of disk, or of memory
#                                       that training/cache links to
set -euo pipefail
WHERE="${1:?cpu or gpu}"
OUT="${2:-models/flowrt-traffic}"
RUN="training/runs/$WHERE"
PYTHON="${PYTHON:-python}"
export PYTHONPATH="sim:scoring${PYTHONPATH:+:$PYTHONPATH}"
# Threads that wait asleep instead of spinning: kinder to whatever else runs on the machine, and faster when it is shared.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

# Two stretches of one run: quick small parts first, then larger ones, in which a bus near the camera fits whole, with more weight on the classes.
train() { "$PYTHON" -m training.train --choose 280 --seed 7 --run "$RUN" "$@"; }
case "$WHERE" in
cpu)
  "$PYTHON" -m training.data --learn 8000 --choose 280
  train --learn 8000 --epochs 20 --until 15
  train --learn 8000 --epochs 20 --view 640 352 --batch 16 --change 0.5 --class-weight 2
  "$PYTHON" -m training.footprints --run "$RUN" --learn 2000 --passes 2 --epochs 10
  ;;
gpu)
  "$PYTHON" -m training.data --learn 22400 --choose 280 --whole
  # Pictures kept at 1280x720 and zoomed by 0.5 to 1.05: as the network sees them at 960x544 and at 1280x736.
  gpu() { train --device cuda --processes 15 --threads 4 --learn 22400 --whole --zoom 0.5 1.05 --epochs 38 --average 0.9995 --measure-every 4 "$@"; }
  gpu --until 29 --view 640 352 --batch 64
  gpu --view 960 544 --batch 32 --change 0.5 --class-weight 2
  "$PYTHON" -m training.footprints --run "$RUN" --learn 4000 --passes 3 --epochs 16 --threads 4
  ;;
*)
  echo "expected cpu or gpu, found $WHERE" >&2
  exit 1
  ;;
esac
"$PYTHON" -m training.export --run "$RUN" --out "$OUT"
"$PYTHON" -m training.examine --pictures 320 "$OUT"/*.xml
