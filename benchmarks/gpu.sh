#!/usr/bin/env bash
# What waits for a GPU, in parts of some ten minutes each, so that a machine that is lent for half an hour does them all.
#   bash benchmarks/gpu.sh speed               training: what each option is worth, data wait, share of the peak
#   bash benchmarks/gpu.sh predict             prediction beside footage of 1920x1080 at 60 frames/s
#   bash benchmarks/gpu.sh accuracy [ROW ...]  badminton at 512x288 against the baselines, STEPS (3000) of each row, SEEDS (0)
#   TOY=1 bash benchmarks/gpu.sh PART          a rehearsal of a part on any machine, in minutes; all of it in WORK
# RESULTS says where the tables go (benchmarks/results), WORK where shards and runs do (runs/gpu). `speed` and `predict`
# need neither data nor network; `accuracy` needs the shared data beside the checkout, or TRACKNET_SHARED, and goes on where
# it was cut off: rows that are done are left alone. The other two begin again.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" work="${WORK:-runs/gpu}" results="${RESULTS:-benchmarks/results}"
shared="${TRACKNET_SHARED:-../shared}"
toy="${TOY:-}"
if [ -n "$toy" ]; then results="$work/toy-results"; fi
mkdir -p "$work" "$results/train" "$results/predict"

case "${1:-}" in
  speed)
    size=(--size full --limit-s 420)
    if [ -n "$toy" ]; then size=(--size small --model detail_small --rounds 1 --steps 1); fi
    "$python" -m benchmarks.train "${size[@]}" --profile default --work "$work" --out "$results/train/gpu.md"
    ;;
  predict)
    footage=(--device cuda --batch 32)
    if [ -n "$toy" ]; then footage=(--device cpu --size 320x180 --seconds 0.2 --rounds 1); fi
    for model in vit_tiny detail_fine vit_heatmap; do
      if [ -n "$toy" ] && [ "$model" = vit_heatmap ]; then continue; fi   # minutes on a CPU
      "$python" -m benchmarks.predict footage "$model" "${footage[@]}"
    done | tee "$work/footage.txt"
    mv "$work/footage.txt" "$results/predict/gpu.txt"   # an earlier table stays until this one is whole
    ;;
  accuracy)
    rows=("${@:2}")
    if [ "${#rows[@]}" = 0 ]; then rows=(detail_fine wasb tracknet_v2 detail_small); fi
    how=(--root "$shared/data/badminton" --steps "${STEPS:-3000}" --out "$results/ablation/badminton")
    if [ -n "$toy" ]; then how=(--size toy); fi
    # shellcheck disable=SC2086  # seeds, a word each
    "$python" -m benchmarks.ablation badminton "${how[@]}" --rows "${rows[@]}" --seeds ${SEEDS:-0} \
      --weights "facebook/dinov2-small=$shared/models/dinov2_small" --work "$work/badminton"
    ;;
  *)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
