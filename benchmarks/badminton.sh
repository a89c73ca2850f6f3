#!/usr/bin/env bash
# Real broadcast badminton: trains two small models on matches 1-5 and 7 (6,778 frames of six venues), scores on matches 6
# and 8 (1,240 frames of two venues never seen), every protocol. About two hours on one CPU core.
# Needs the shared data beside the checkout, or TRACKNET_SHARED.
# Usage: benchmarks/badminton.sh [WORK_FOLDER [key=value ...]]     (such as training.epochs=10)
#        MODELS=detail_fine benchmarks/badminton.sh                (one of them)
set -euo pipefail
cd "$(dirname "$0")/.."
shared="${TRACKNET_SHARED:-../shared}"
work="${1:-runs/benchmark-badminton}"
python="${PYTHON:-python}"
results=benchmarks/results/badminton
mkdir -p "$work" "$results"

declare -A options=(
  # (Every window warped, as was the default when the kept results were made.)
  # Five frames, focal loss and bf16, an epoch: benchmarks/results/ablation says why.
  [detail_fine]="data.sequence.length=5 training.loss.name=focal training.optimizer.lr=1.0e-3 training.epochs=1
    training.scheduler.warmup_epochs=0.05 training.amp=bf16 training.metrics.monitor=f1"
  [vit_tiny]="model.heatmap.size=[256,144] model.heatmap.sigma=2.0 model.decoder.channels=[C,64,32,16]
    model.decoder.upsample=[2,2,2]"
)

"$python" -m pipelines.build_shards --root "$shared/data/badminton" --val-games match6,match8 --out "$work/shards"
for model in ${MODELS:-detail_fine vit_tiny}; do
  # shellcheck disable=SC2086  # a setting a word
  "$python" -m tracknet.scripts.train --model "$model" --training cpu --name "$model" "data.shards=$work/shards" \
    "training.log_dir=$work" training.threads=1 training.log_every_steps=50 training.loss.absent=negative \
    data.augment.warp_prob=1.0 \
    ${options[$model]} "${@:2}"
  "$python" -m tracknet.scripts.evaluate "$work/$model" --shards "$work/shards"
  cp "$work/$model/evaluation/val/metrics.json" "$results/$model.json"
  grep '"kind": "val"' "$work/$model/metrics.jsonl" > "$results/$model-validations.jsonl"
done
if [ -z "${MODELS:-}" ]; then
  "$python" -m tracknet.scripts.evaluate --compare "$work/vit_tiny/evaluation/val" "$work/detail_fine/evaluation/val" \
    --protocol wasb tracknetv2 design --out "$work/comparison" > "$results/comparison.txt"
fi
