"""Writes down the candidates that a model finds in a split, for `trajectory.py`, which scores what becomes of them.

    python benchmarks/trajectory_candidates.py MODEL --shards shards [--split val] [--clips game1/Clip1 ...] --out FILE

Candidates are the K highest local maxima of each frame's heatmap, decoded as the model decodes its highest one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.stream import evaluation_stream
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.metrics import Predictions
from tracknet.training.model_evaluation import only_clips
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.heatmap import DECODERS
from tracknet.utils.progress import Progress
from tracknet.utils.settings import LoaderConfig

CANDIDATES = 5
# A local maximum is the highest cell of 7x7: a second one nearer than this is the same blob's.
_REACH_CELLS = 3


def peaks(
    logits: torch.Tensor, count: int, decode: str, sigma_cells: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Logits `[n, h, w]` to the cells `[n, count, 2]` and probabilities `[n, count]` of the highest local maxima."""
    side = 2 * _REACH_CELLS + 1
    highest = F.max_pool2d(logits[:, None], side, stride=1, padding=_REACH_CELLS)[:, 0]
    values, index = logits.where(logits == highest, -torch.inf).flatten(1).topk(count)
    x, y = index % logits.shape[-1], index // logits.shape[-1]
    padded = F.pad(logits, [_REACH_CELLS] * 4, value=-30.0)
    rows = (y[..., None] + torch.arange(side))[..., :, None]
    columns = (x[..., None] + torch.arange(side))[..., None, :]
    patches = padded[torch.arange(len(logits))[:, None, None, None], rows, columns]
    cells = DECODERS[decode](patches, sigma_cells) - _REACH_CELLS + torch.stack([x, y], dim=-1)
    found = values.isfinite()
    xy = torch.where(found[..., None], cells.double(), torch.nan)
    return xy.numpy(), torch.where(found, values.double().sigmoid(), 0.0).numpy()


def main() -> None:
    """Runs the model and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--shards", type=Path, default=Path("shards"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", nargs="+", help="these clips only")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TrackNet.from_pretrained(resolve_model_folder(args.model))
    shards = open_split(args.shards, args.split)
    shards = only_clips(shards, args.clips) if args.clips else shards
    heatmap, table = model.config.heatmap, shards.table
    xy_px = np.full((len(table), CANDIDATES, 2), np.nan)
    scores = np.zeros((len(table), CANDIDATES))
    loader = StreamLoader(
        evaluation_stream(shards, evaluation_spec(model), batch_size=8), LoaderConfig(workers=0)
    )
    with Progress("candidates", len(table), "frames") as progress:

        def keep(rows: npt.NDArray[np.int64], logits: torch.Tensor) -> None:
            cells, scores[rows] = peaks(logits, CANDIDATES, heatmap.decode, heatmap.sigma)
            for row, own in zip(rows.tolist(), cells, strict=True):
                source = Size(*table.source_size[row].tolist())
                xy_px[row] = transform_points(scaling(heatmap.size, source), own)
            progress.advance(len(rows))

        precision = Precision.resolve("off", resolve_device("cpu"))
        plain: Predictions = predict_split(model, loader, precision, decoders=[heatmap.decode], on_maps=keep)[
            heatmap.decode
        ]
    loader.close()
    np.savez_compressed(
        args.out,
        candidates_xy=xy_px,
        scores=scores,
        plain_xy=plain.xy_px,
        plain_score=plain.score,
        keys=np.array(table.keys),
        clips=np.array(table.clips),
        clip_id=table.clip_id,
        frame=table.frame,
        xy_px=table.xy_px,
        visibility=table.visibility,
        source_size=table.source_size,
        threshold=model.score_threshold,
        model=f"{args.model}, {model.provenance.get('run', '')} step {model.provenance.get('step', '?')}",
        split=args.split,
    )


if __name__ == "__main__":
    main()
