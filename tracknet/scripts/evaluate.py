"""`python -m tracknet.scripts.evaluate MODEL --shards shards --split val`; also scores predictions that are files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.datasets.topology import Topology
from tracknet.scripts._evaluate_options import parse
from tracknet.utils.errors import EXIT_DONE, cli_main

if TYPE_CHECKING:
    from tracknet.datasets.shard_set import ShardSet
    from tracknet.training.distributed import Ranks
    from tracknet.training.metrics.report import Scored
    from tracknet.training.model_evaluation import ModelRun


def run(argv: Sequence[str]) -> int:
    """Does what was asked, writes its files and prints the figures."""
    if Topology.of_torchrun().world_size == 1:
        args = parse(argv)
        return (_of_files if args.source or args.compare else _of_model)(args)
    from tracknet.training.distributed import Ranks

    with Ranks.join() as ranks:
        args = ranks.agreed(lambda: parse(argv))
        if args.source or args.compare:
            # No model runs: there is nothing to share out.
            ranks.agreed(lambda: _of_files(args) if ranks.is_main else EXIT_DONE)
            return EXIT_DONE
        return _of_model(args, ranks)


def _of_files(args: argparse.Namespace) -> int:
    return _compare(args) if args.compare else _score_files(args)


def _of_model(args: argparse.Namespace, ranks: Ranks | None = None) -> int:
    from tracknet.training.distributed import Ranks

    return (_calibrate if args.calibrate else _evaluate)(args, ranks or Ranks())


def _evaluate(args: argparse.Namespace, ranks: Ranks) -> int:
    from tracknet.datasets.fetch_ahead import RemoteShards, room_wanted
    from tracknet.datasets.index import open_split
    from tracknet.models.model_folder import resolve_model_folder
    from tracknet.training.model_evaluation import run_model
    from tracknet.training.prediction_sources import DEFAULT_SHARDS, DEFAULT_SPLIT

    def prepare() -> tuple[Path, ShardSet, Path]:
        folder = resolve_model_folder(args.model)
        shards = open_split(args.shards or DEFAULT_SHARDS, args.split or DEFAULT_SPLIT)
        if not ranks.is_main:
            return folder, shards, Path()
        if costs := room_wanted(None, RemoteShards.of(shards)):
            print(f"note: {costs}", file=sys.stderr)
        out = _model_place(args, folder, shards)
        # Before minutes of evaluation, not after.
        out.mkdir(parents=True, exist_ok=True)
        return folder, shards, out

    folder, shards, out = ranks.agreed(prepare)
    made = run_model(folder, shards, **_how(args), pictures=args.pictures, ranks=ranks)
    ranks.agreed(lambda: _score(args, made, shards, folder, out) if ranks.is_main else None)
    return EXIT_DONE


def _model_place(args: argparse.Namespace, folder: Path, shards: ShardSet) -> Path:
    """Where the evaluation of a model folder on a split goes."""
    from tracknet.training.evaluation_folder import check_kind, place_for

    is_run = (args.model / "config.yaml").is_file()
    usual = (args.model if is_run else Path()) / "evaluation" / shards.split
    out: Path = args.out or place_for(usual, shards.manifest.build_id, None if is_run else str(folder))
    check_kind(out, is_comparison=False)
    return out


def _score(args: argparse.Namespace, made: ModelRun, shards: ShardSet, folder: Path, out: Path) -> None:
    """Writes what came of a model's run."""
    from tracknet.training.metrics import summarise
    from tracknet.training.metrics.report import Scored
    from tracknet.training.prediction_sources import with_threshold
    from tracknet.utils.settings import MetricsConfig

    scored = Scored(
        made.predictions,
        made.origin,
        shards.folder,
        shards.manifest.build_id,
        shards.split,
    )
    scored = with_threshold(scored, args.threshold)
    metrics = MetricsConfig(pck_px=tuple(args.pck), distance_px=args.distance)
    decoders = {
        name: summarise(predictions, metrics, threshold=scored.origin.threshold)
        for name, predictions in made.by_decoder.items()
    }
    place = partial(_model_place, args, folder, shards)
    _write(args, scored, out, place, made, decoders=decoders, environment=made.environment)


def _score_files(args: argparse.Namespace) -> int:
    from tracknet.training.evaluation_folder import check_kind, place_for
    from tracknet.training.prediction_sources import read_source, with_threshold
    from tracknet.utils.environment import describe_environment

    scored = read_source(args.source, shards=args.shards, split=args.split)
    usual = Path("evaluation") / f"{args.source.stem}-{scored.split}"

    def place() -> Path:
        out: Path = args.out or place_for(usual, scored.build_id, scored.origin.model)
        check_kind(out, is_comparison=False)
        return out

    out = place()
    out.mkdir(parents=True, exist_ok=True)
    _write(args, with_threshold(scored, args.threshold), out, place, None, environment=describe_environment())
    return EXIT_DONE


def _compare(args: argparse.Namespace) -> int:
    from tracknet.reporting.score_table import comparison_text
    from tracknet.training.evaluation_files import write_comparison
    from tracknet.training.evaluation_folder import check_kind, place_for_pair
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.comparison import compare
    from tracknet.training.metrics.report import evaluation_report, told_of_sides
    from tracknet.training.prediction_sources import read_source, with_threshold

    protocols = chosen_protocols(args.protocol, design_distance_px=args.distance)
    names = (str(args.compare[0]), str(args.compare[1]))
    if args.out:
        check_kind(args.out, is_comparison=True)
    a, b = (
        with_threshold(read_source(path, shards=args.shards, split=args.split), args.threshold)
        for path in args.compare
    )

    def place() -> Path:
        usual = Path("evaluation") / "comparison"
        out: Path = args.out or place_for_pair(usual, names, a.build_id, a.split)
        check_kind(out, is_comparison=True)
        return out

    comparison = compare(
        a.predictions,
        b.predictions,
        protocols,
        names=names,
        thresholds=(a.origin.threshold, b.origin.threshold),
        resamples=args.resamples,
    )
    comparison |= told_of_sides(a, b, protocols)
    out = place()
    out.mkdir(parents=True, exist_ok=True)
    report = evaluation_report(a, protocols, resamples=args.resamples)
    written = write_comparison(out, a, b, protocols, report, comparison, page=args.page, place=place)
    print(comparison_text(comparison))
    print("written: " + ", ".join(map(str, written)))
    return EXIT_DONE


def _calibrate(args: argparse.Namespace, ranks: Ranks) -> int:
    from tracknet.datasets.index import open_split
    from tracknet.models.model_folder import resolve_model_folder
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.bootstrap import Tally, whole
    from tracknet.training.model_evaluation import only_clips, run_model, set_threshold
    from tracknet.training.prediction_sources import DEFAULT_SHARDS

    (protocol,) = chosen_protocols(args.protocol or ["design"], design_distance_px=args.distance)
    split, *clips = args.calibrate

    def prepare() -> tuple[Path, ShardSet]:
        folder = resolve_model_folder(args.model)
        shards = open_split(args.shards or DEFAULT_SHARDS, split)
        return folder, only_clips(shards, clips) if clips else shards

    folder, shards = ranks.agreed(prepare)
    made = run_model(folder, shards, **_how(args), decoders=(), ranks=ranks)

    def store() -> None:
        predictions, before = made.predictions, made.origin.threshold
        origin = set_threshold(
            made, folder, protocol, shards, whole_split=not clips, most_false_alarms=args.most_false_alarms
        )
        threshold = float(made.model.score_threshold)
        counted = protocol.with_all_frames()
        was, now = (whole(Tally.of(predictions, counted, value)) for value in (before, threshold))
        print(
            f"score threshold {before:.4g} -> {threshold:.4g}, chosen on {len(predictions):,} frames of {split}"
            f"{' (' + ', '.join(clips) + ')' if clips else ''}: F1 {was['f1']:.3f} -> {now['f1']:.3f} there under "
            f"{protocol.name} ({protocol.distance_text}, false alarms counted), false alarms on "
            f"{was['false_alarm_rate']:.1%} -> {now['false_alarm_rate']:.1%} of the frames without a "
            f"ball\nstored in {folder}"
        )
        for note in replace(made.origin, threshold_chosen_on=origin).threshold_notes():
            print(f"warning: {note}", file=sys.stderr)

    ranks.agreed(lambda: store() if ranks.is_main else None)
    return EXIT_DONE


def _write(
    args: argparse.Namespace,
    scored: Scored,
    out: Path,
    place: Callable[[], Path],
    made: ModelRun | None,
    **more: dict[str, Any],
) -> None:
    """Scores, writes every file and prints the figures."""
    from tracknet.reporting.score_table import evaluation_text
    from tracknet.training.evaluation_files import write_evaluation
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.report import evaluation_report

    protocols = chosen_protocols(args.protocol, design_distance_px=args.distance)
    report = {**evaluation_report(scored, protocols, resamples=args.resamples), **more}
    written = write_evaluation(out, scored, protocols, report, made=made, page=args.page, place=place)
    print(evaluation_text(report))
    print("written: " + ", ".join(map(str, written)))


def _how(args: argparse.Namespace) -> dict[str, Any]:
    names = ("batch_size", "workers", "device", "amp", "overlap", "flip", "features")
    return {name: getattr(args, name) for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
