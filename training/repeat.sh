#!/usr/bin/env bash
# Makes the detector from scratch: render, train, export, evaluate. Run from the project's root; PYTHON names the
# interpreter in which flowrt is installed with the extra `train` (default: python).
#   bash training/repeat.sh cpu [OUT]   under two hours on two cores
#   bash training/repeat.sh gpu [OUT]   the models that are shipped: minutes with a GPU and 16 cores; 60 GB of disk, or of memory
#                                       that training/cache links to
set -euo pipefail
WHERE="${1:?cpu or gpu}"
OUT="${2:-models/flowrt-traffic}"
RUN="training/runs/$WHERE"
PYTHON="${PYTHON:-python}"
# Threads sleep while they wait instead of spinning: faster where the machine is shared.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

# Two phases of one run: small crops first, then larger ones, in which a bus near the camera fits, with more weight on the classes.
train() { "$PYTHON" -m training.train --validation 280 --seed 7 --run "$RUN" "$@"; }
case "$WHERE" in
cpu)
  "$PYTHON" -m training.data --train 8000 --validation 280
  train --train 8000 --epochs 20 --until 15
  train --train 8000 --epochs 20 --view 640 352 --batch 16 --augment 0.5 --class-weight 2
  "$PYTHON" -m training.footprints --run "$RUN" --train 2000 --passes 2 --epochs 10
  ;;
gpu)
  "$PYTHON" -m training.data --train 22400 --validation 280 --whole
  # Pictures stored at 1280x720 and zoomed by 0.5 to 1.05: as the network sees them at 960x544 and at 1280x736.
  gpu() { train --device cuda --processes 15 --threads 4 --train 22400 --whole --zoom 0.5 1.05 --epochs 38 --average 0.9995 --measure-every 4 "$@"; }
  gpu --until 29 --view 640 352 --batch 64
  gpu --view 960 544 --batch 32 --augment 0.5 --class-weight 2
  "$PYTHON" -m training.footprints --run "$RUN" --train 4000 --passes 3 --epochs 16 --threads 4
  ;;
*)
  echo "expected cpu or gpu, found $WHERE" >&2
  exit 1
  ;;
esac
"$PYTHON" -m training.export --run "$RUN" --out "$OUT"
"$PYTHON" -m flowrt score detector --count 320 --model "$OUT/flowrt-traffic-fp16.xml" --model "$OUT/flowrt-traffic-int8.xml"
