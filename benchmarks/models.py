"""Weights and work of any model: a line of a table for each config, without data, weights or a network.

    python -m benchmarks.models                                                  all of configs/model
    python -m benchmarks.models detail_small wasb data.resize=[256,144] model.heatmap.size=[256,144]
    python -m benchmarks.models detail_small vit_tiny --speed                    and the time of a window, here

GFLOP are of one window's forward pass by torch's counter: products and convolutions, an addition counted too. A
backbone of the hub is counted by its published shape where that is known here; for another one
model.backbone.name=FOLDER says where it lies.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision, resolve_device
from tracknet.utils.config import config_folders, load_config
from tracknet.utils.errors import UserError, cli_main
from tracknet.utils.geometry import Size
from tracknet.utils.naming import natural_key
from tracknet.utils.settings import BackboneConfig, Config

# As their model cards say.
_PUBLISHED = {
    "facebook/dinov3-vitb16-pretrain-lvd1689m": BackboneConfig(
        name="dinov3_vit",
        config={
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "num_register_tokens": 4,
        },
    ),
    "facebook/dinov2-small": BackboneConfig(
        name="dinov2",
        config={
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "image_size": 518,
            "patch_size": 14,
        },
    ),
}


@dataclass(frozen=True)
class Cost:
    """What a model weighs and asks for.

    Attributes:
        model: its config's name.
        input_size: of a frame.
        parameters: all weights.
        trained: those that are not frozen.
        gflops: of one window.
        maps: their size, and how many of a window.
    """

    model: str
    input_size: Size
    parameters: int
    trained: int
    gflops: float
    maps: str

    @property
    def cells(self) -> list[str]:
        """Of the table."""
        weights = [f"{count / 1e6:.2f}" for count in (self.parameters, self.trained)]
        return [f"`{self.model}`", str(self.input_size), *weights, f"{self.gflops:.1f}", self.maps]


_HEAD = ("model", "input", "M weights", "trained", "GFLOP a window", "maps")


def window_gflops(model: TrackNet) -> float:
    """Of one window's forward pass.

    Counted without arithmetic: some devices' attention is an operation that the counter does not know.
    """
    bare = copy.deepcopy(model).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        bare(_frames(model, "meta"))
    return float(counter.get_total_flops() / 1e9)


def window_seconds(model: TrackNet, precision: Precision, *, repeats: int = 7) -> float:
    """The median time of one window alone, once warm; the model is on the device."""
    frames = _frames(model, precision.device)
    with torch.no_grad(), precision.autocast():
        float(model(frames).sum())
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            float(model(frames).sum())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def built(config: Config, *, device: str) -> TrackNet:
    """A model of a config with random weights, on a device (`meta`: with none).

    The input is `data.resize`, cut to whole patches where a backbone of a published shape asks for that.
    """
    size, backbone = config.data.resize, config.model.backbone
    if size is None:
        raise UserError("data.resize is null", remedy="say which size the model sees: data.resize=[512,288]")
    if (known := _PUBLISHED.get(backbone.name)) is not None:
        patch = int(known.config.get("patch_size", 16))
        size = Size(size.width // patch * patch, size.height // patch * patch)
        backbone = replace(backbone, name=known.name, config={**known.config, **backbone.config})
    model = replace(config.model, backbone=replace(backbone, pretrained=False))
    sequence = config.data.sequence
    with torch.device(device):
        return TrackNet(model, input_size=size, num_frames=sequence.length, anchor=sequence.anchor).eval()


def cost_of(name: str, config: Config) -> Cost:
    """A model's line of the table."""
    model = built(config, device="meta")
    return Cost(
        model=name,
        input_size=model.input_size,
        parameters=sum(p.numel() for p in model.parameters()),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        gflops=window_gflops(model),
        maps=f"{model.config.heatmap.size}, {model.num_maps} of {model.num_frames} frames",
    )


def run(argv: Sequence[str]) -> int:
    """Prints the table; 1 where a config makes no model with these overrides."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="MODEL or key=value", help="of configs/model; overrides")
    parser.add_argument("--data", default="tracknet", help="of configs/data, for input size and frames")
    parser.add_argument("--speed", action="store_true", help="time a window, too")
    parser.add_argument("--device", default="auto", help="of the timing")
    parser.add_argument("--amp", default="auto", help="of the timing: auto, bf16, fp16 or off")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_intermixed_args(list(argv))
    overrides = [word for word in args.words if "=" in word]
    names = [word for word in args.words if "=" not in word] or _all_models()
    head, failed = [*_HEAD, *(["ms a window"] if args.speed else [])], []
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    precision = Precision.resolve(args.amp, resolve_device(args.device))
    for name in names:
        try:
            config = load_config(data=args.data, model=name, overrides=overrides)
            cells = cost_of(name, config).cells
            if args.speed:
                model = built(config, device="cpu").to(precision.device)
                cells.append(f"{1000 * window_seconds(model, precision):.1f}")
            print("| " + " | ".join(cells) + " |", flush=True)
        except UserError as error:
            failed.append(f"{name}: {error}")
    if args.speed:
        print(f"\none window at a time on {precision.device} in {precision.name}, median of 7")
    if failed:
        raise UserError("not every config makes a model", problems=failed)
    return 0


def _all_models() -> list[str]:
    found = {path.stem for folder in config_folders() for path in (folder / "model").glob("*.yaml")}
    return sorted(found, key=natural_key)


def _frames(model: TrackNet, device: str | torch.device) -> torch.Tensor:
    shape = (1, model.num_frames, 3, model.input_size.height, model.input_size.width)
    if str(device) == "meta":
        return torch.empty(shape, dtype=torch.uint8, device="meta")
    return torch.randint(0, 256, shape, dtype=torch.uint8).to(device)


if __name__ == "__main__":
    sys.exit(cli_main(run))
