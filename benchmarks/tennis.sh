#!/usr/bin/env bash
# Real broadcast tennis: trains on game1 (241 frames), scores on game2 (114 frames, other rallies of the same match),
# once with frozen pretrained DINOv2-S and once with the small random model. Protocol `design`, frame pixels at 1280x720.
# Needs the shared data beside the checkout, or TRACKNET_SHARED.
# Usage: benchmarks/tennis.sh [WORK_FOLDER [key=value ...]]     (such as training.threads=1)
set -euo pipefail
cd "$(dirname "$0")/.."
shared="${TRACKNET_SHARED:-../shared}"
work="${1:-runs/benchmark-tennis}"
python="${PYTHON:-python}"
results=benchmarks/results/tennis
# Every window warped, as was the default when the kept results were made.
overrides=(data.augment.warp_prob=1.0 "${@:2}")
mkdir -p "$work" "$results"

keep() { # NAME: what is worth keeping of a run
  cp "$work/$1/evaluation/val/metrics.json" "$results/$1.json"
  grep '"kind": "val"' "$work/$1/metrics.jsonl" > "$results/$1-validations.jsonl"
}

"$python" -m pipelines.build_shards --root "$shared/data/tennis" --val-games 2 --out "$work/shards-504x280" \
  "data.resize=[504,280]"
"$python" -m tracknet.scripts.train --model dinov2_small --training tennis_cpu --name dinov2_small \
  "data.shards=$work/shards-504x280" "data.resize=[504,280]" "model.backbone.name=$shared/models/dinov2_small" \
  "training.log_dir=$work" training.epochs=3 training.amp=bf16 "${overrides[@]}"
"$python" -m tracknet.scripts.evaluate "$work/dinov2_small" --shards "$work/shards-504x280"
keep dinov2_small

"$python" -m pipelines.build_shards --root "$shared/data/tennis" --val-games 2 --out "$work/shards-512x288"
"$python" -m tracknet.scripts.train --model vit_tiny --training tennis_cpu --name vit_tiny \
  "data.shards=$work/shards-512x288" "training.log_dir=$work" training.epochs=10 "${overrides[@]}"
"$python" -m tracknet.scripts.evaluate "$work/vit_tiny" --shards "$work/shards-512x288"
keep vit_tiny
