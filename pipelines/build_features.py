"""`python -m pipelines.build_features SHARDS --model dinov2_small`: a frozen backbone's tokens, once.

The one module of the pipelines that knows the networks and the readers of shards: it brings them together with
`feature_build`, which knows neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.naming import program
from tracknet.utils.signals import Interrupts
from tracknet.utils.urls import is_url, shown

if TYPE_CHECKING:
    from pipelines.feature_build import FeatureReport, FeatureRequest
    from tracknet.models.frame_encoder import FrameEncoder
    from tracknet.utils.geometry import Size

# Of every command's --data.
_DEFAULT_DATA = "tracknet"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("build-features"),
        description="Compute the patch tokens of every frame of built shards with a frozen backbone, into feature "
        "shards beside them, so that trainings of what comes behind it (data.features=FOLDER) skip the ViT. Running "
        "it again does only what is missing or changed.",
    )
    parser.add_argument("shards", help="folder or URL of a build of frames")
    parser.add_argument(
        "--model",
        default="vit_heatmap",
        help="whose backbone: a name in configs/model, a .yaml file, a run or a model folder (default: vit_heatmap)",
    )
    parser.add_argument(
        "--out",
        help="folder for the features, or an fsspec URL (default: the shards' folder with -MODEL behind it)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float16", "int8"),
        default="float16",
        help="how tokens are stored; int8 takes half the room (see shards/FEATURES.md)",
    )
    parser.add_argument("--device", default="auto", help="torch's name, or auto")
    parser.add_argument(
        "--amp",
        choices=("auto", "off", "bf16", "fp16"),
        default="auto",
        help="arithmetic of the backbone, as training.amp",
    )
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="frames at once (default: 32)")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="threads that read frames ahead (default: 2)"
    )
    parser.add_argument(
        "--data", default=_DEFAULT_DATA, help="data config: a name in configs/data, or a file"
    )
    parser.add_argument("--overwrite", action="store_true", help="rebuild a folder of another configuration")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error arose")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="such as model.backbone.name=FOLDER"
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Computes, as the arguments ask; returns the exit code."""
    args = _parser().parse_intermixed_args(list(argv))
    problems = [f"--{name} must be at least 1" for name in ("batch", "workers") if getattr(args, name) < 1]
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    # Parsed first and imported then, so that --help answers at once.
    from pathlib import Path

    from pipelines.feature_build import FeatureRequest, build_features, bytes_needed, digests
    from pipelines.store import open_store, output_place
    from pipelines.wording import megabytes
    from tracknet.datasets import shard_names
    from tracknet.datasets.feature_format import FeatureInfo
    from tracknet.datasets.frames_ahead import FramesAhead
    from tracknet.datasets.index_file import as_rows, read_index
    from tracknet.models.precision import Precision, resolve_device
    from tracknet.utils.naming import counted

    if args.out is None and is_url(args.shards):
        raise UserError(
            "--out is missing", remedy="say where the features of shards behind a URL go: --out FOLDER"
        )
    source = shard_names.input_place(args.shards)
    model = Path(args.model.rstrip("/")).name.removesuffix(".yaml")
    out = output_place(args.out or f"{args.shards.rstrip('/')}-{model}")
    open_store(out)  # an unknown kind of URL is told before a model is loaded
    if out == source or (
        isinstance(out, Path) and isinstance(source, Path) and out.resolve() == source.resolve()
    ):
        raise UserError(f"--out {out} is the folder of the frames", remedy="choose another --out")
    frames = shard_names.read_manifest(source)
    if frames.features:
        raise UserError(f"{source} holds features, not frames", remedy="name the build that they are of")
    columns, _ = read_index(source, sha256=frames.index_sha256)
    rows = as_rows(columns)
    precision = Precision.resolve(args.amp, resolve_device(args.device))
    encoder = _encoder(args, frames.image_size, precision)
    request = FeatureRequest(
        source=shown(args.shards) if is_url(args.shards) else str(Path(args.shards).resolve()),
        frames=frames,
        rows=rows,
        info=FeatureInfo(
            backbone=encoder.identity,
            dtype=args.dtype,
            computed_in=precision.name,
            frames_build=frames.build_id,
            frames=digests(rows),
        ),
        out=out,
        model=args.model,
        overwrite=args.overwrite,
    )
    info = request.info
    print(
        f"{source}: {counted(len(rows), 'frame')} of {frames.image_size}, {info.backbone.tokens} in {info.dtype}: "
        f"{info.stored_bytes / 1e3:,.0f} kB a frame, about {megabytes(bytes_needed(info, len(rows)))} in all",
        flush=True,
    )
    with Interrupts(), FramesAhead(source, batch=args.batch, workers=args.workers) as reader:
        report = build_features(
            request,
            lambda task, check_stop: reader.batches(
                task.split, [row["key"] for row in task.frames], check_stop
            ),
            encoder,
        )
    print(f"{_result(request, report)}\nnext: {_next(args, request)}")
    return EXIT_DONE


def _encoder(args: argparse.Namespace, size: Size, precision: Any) -> FrameEncoder:
    """The backbone of a saved model, or that of a configuration."""
    from pathlib import Path

    from tracknet.models.frame_encoder import FrameEncoder
    from tracknet.models.model_folder import resolve_model_folder
    from tracknet.utils.config import load_config

    if not Path(args.model).is_dir():
        config = load_config(data=args.data, model=args.model, overrides=args.overrides)
        return FrameEncoder.of_config(config, size, precision)
    if args.overrides:
        raise UserError(
            f"--model {args.model} is a saved model, which no setting changes",
            problems=list(args.overrides),
            remedy="leave the overrides out, or name a model config",
        )
    return FrameEncoder.of_model(resolve_model_folder(Path(args.model)), size, precision)


def _result(request: FeatureRequest, report: FeatureReport) -> str:
    from pathlib import Path

    from pipelines.wording import megabytes
    from tracknet.utils.naming import counted

    manifest = report.manifest
    out = str(request.out) if isinstance(request.out, Path) else shown(request.out)
    if not report.changed:
        done = f"nothing to do: {out} is complete and up to date (build {manifest.build_id[:12]})"
    elif not report.written:
        done = f"wrote index and manifest of {out} anew (build {manifest.build_id[:12]}), and no shard"
    else:
        kept = len(manifest.shards) - report.written
        done = (
            f"built {out} (build {manifest.build_id[:12]}): {counted(report.written, 'shard')} written"
            f"{f', {kept} kept' if kept else ''}, {megabytes(manifest.totals['bytes'])} in {report.seconds:.1f} s "
            f"({report.frames_written / max(report.seconds, 1e-9):,.1f} frames/s)"
        )
    frames_bytes = sum(entry.bytes for entry in request.frames.shards)
    return (
        f"{done}\n  {manifest.totals['bytes'] / frames_bytes:.1f} times the shards of frames "
        f"({megabytes(frames_bytes)})"
    )


def _next(args: argparse.Namespace, request: FeatureRequest) -> str:
    """What trains on the features: a command that works for frames of their size; in words where none is known."""
    import shlex
    from pathlib import Path

    from pipelines.wording import heatmap_setting
    from tracknet.utils.config import load_config

    size = request.frames.image_size
    out = str(request.out) if isinstance(request.out, Path) else shown(request.out)
    asked = [
        *(f"data.features={out}", f"data.resize=[{size.width},{size.height}]"),
        *("data.augment.enabled=false", "model.backbone.freeze=true"),
    ]
    if Path(args.model).is_dir():
        saved = _options_of_saved(args.model)
        if saved is None:
            return (
                f"no file of configs/model can be made like the model in {args.model}: write its settings (its "
                "config.json has them) into a .yaml file of your own, name that with --model, and train on "
                f"{request.source} with {shlex.join([*asked, f'training.init_from={args.model}'])}"
            )
        options = saved
    else:
        config = load_config(data=args.data, model=args.model, overrides=args.overrides)
        data = [] if args.data == _DEFAULT_DATA else ["--data", args.data]
        options = [*data, "--model", args.model, *args.overrides]
        asked += heatmap_setting(config.model, size, request.info.backbone.grid)
    said = {item.partition("=")[0] for item in asked}
    options = [option for option in options if option.partition("=")[0] not in said]
    return shlex.join(["python", "-m", "tracknet.train", request.source, *options, *asked])


def _options_of_saved(model: str) -> list[str] | None:
    """What asks a training for a saved model, and for its weights; `None` where no file of configs/model does."""
    from pathlib import Path

    from tracknet.models.model_folder import resolve_model_folder
    from tracknet.models.persistence import read_config
    from tracknet.utils.config import leaves, to_plain
    from tracknet.utils.nearest_config import nearest_model
    from tracknet.utils.settings import Config, DataConfig, SequenceConfig

    _, saved = read_config(resolve_model_folder(Path(model)))
    sequence = SequenceConfig(saved.num_frames, saved.frame_stride, saved.anchor)
    config = Config(data=DataConfig(sequence=sequence), model=saved.model)

    def of_the_model(one: Config) -> dict[str, Any]:
        return {
            **leaves(to_plain(one.data.sequence), "data.sequence"),
            **leaves(to_plain(one.model), "model"),
        }

    options = nearest_model(config, of_the_model)
    return None if options is None else [*options, f"training.init_from={model}"]


if __name__ == "__main__":
    sys.exit(main())
