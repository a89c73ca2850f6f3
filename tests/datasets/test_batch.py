"""Batches put together and moved."""

from __future__ import annotations

import numpy as np
import torch

from tests.datasets.conftest import table_of
from tests.datasets.test_batch_assembler import Painted, assemble, assert_equal
from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.windows import make_windows


def test_cat_of_single_windows_is_the_batch(spec: SampleSpec) -> None:
    table = table_of([0, 1, 2, 3, 4])
    singles = [assemble(table, spec, [window], epoch=1) for window in (2, 0, 4)]
    assert_equal(Batch.cat(singles), assemble(table, spec, [2, 0, 4], epoch=1))


def test_to_keeps_everything_that_is_no_tensor(spec: SampleSpec) -> None:
    table = table_of([0, 1])
    assembler = BatchAssembler(table, make_windows(table, spec.sequence), spec)
    valid = np.array([True, False])
    batch = assembler.assemble(Painted(), np.array([0, 1]), step=7, valid=valid)
    moved = batch.to(torch.device("cpu"))
    assert moved.step == 7
    assert moved.valid.tolist() == [True, False]
    assert_equal(moved, batch)
