#!/usr/bin/env bash
# Real broadcast badminton: trains the small random model on matches 1-5 and 7 (6,778 frames of six venues), scores on
# matches 6 and 8 (1,240 frames of two venues never seen), every protocol. About 50 minutes on one CPU core.
# Needs the shared data beside the checkout, or TRACKNET_SHARED.
# Usage: benchmarks/badminton.sh [WORK_FOLDER [key=value ...]]     (such as training.epochs=10)
set -euo pipefail
cd "$(dirname "$0")/.."
shared="${TRACKNET_SHARED:-../shared}"
work="${1:-runs/benchmark-badminton}"
python="${PYTHON:-python}"
results=benchmarks/results/badminton
mkdir -p "$work" "$results"

"$python" -m pipelines.build_shards --root "$shared/data/badminton" --val-games match6,match8 --out "$work/shards"
"$python" -m tracknet.scripts.train --model vit_tiny --training cpu --name vit_tiny "data.shards=$work/shards" \
  "training.log_dir=$work" training.threads=1 training.log_every_steps=100 training.loss.absent=negative \
  "model.heatmap.size=[256,144]" model.heatmap.sigma=2.0 "model.decoder.channels=[C,64,32,16]" \
  "model.decoder.upsample=[2,2,2]" "${@:2}"
"$python" -m tracknet.scripts.evaluate "$work/vit_tiny" --shards "$work/shards"
cp "$work/vit_tiny/evaluation/val/metrics.json" "$results/vit_tiny.json"
grep '"kind": "val"' "$work/vit_tiny/metrics.jsonl" > "$results/vit_tiny-validations.jsonl"
