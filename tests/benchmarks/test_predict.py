"""The benchmark of prediction: what it refuses before any work, and that footage goes through all its ways."""

from __future__ import annotations

import pytest
import torch

from benchmarks import predict


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["footage", "--size", "1080p"], "argument --size: invalid"),
        (["footage", "vit_tiny", "some.mp4"], "takes no VIDEO"),
        (["footage", "--rounds", "0"], "argument --rounds: must be at least 1, got 0"),
        (["footage", "--seconds", "0"], "argument --seconds: must be above 0, got 0"),
        (["footage", "--seconds", "0.001"], "less than one frame"),
        (["ratio", "vit_tiny"], "ratio needs MODEL and VIDEO"),
    ],
)
def test_wrong_requests_end_before_the_work(
    args: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        predict.main(args)
    assert refused.value.code == 2
    assert told in capsys.readouterr().err


def test_footage_of_two_frames(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    args = ["--size", "128x72", "--fps", "2", "--seconds", "1", "--rounds", "1", "--device", "cpu"]
    assert predict.main(["footage", "vit_tiny", *args, "--threads", str(threads)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 frames of 128x72 at 2 frames/s")
    assert [line[:26].rstrip() for line in said.splitlines()[2:6]] == [
        "decode",
        "decode, resize",
        "model",
        "predict, with its files",
    ]
