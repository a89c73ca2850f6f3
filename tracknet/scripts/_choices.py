"""What the commands let a person choose from: copies, since --help does not wait for the modules that own it.

`tests/scripts/test_choices.py` keeps them equal to the originals.
"""

from __future__ import annotations

SPORTS = ("tennis", "badminton")
RESULT_FORMATS = ("csv", "parquet", "json")
OVERLAPS = ("mean", "max", "weighted", "none")
AMPS = ("auto", "bf16", "fp16", "off")
DEFAULT_FPS = 30.0
DEFAULT_TIMEOUT_S = 30.0
EXPORT_SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
