"""`python -m tracknet.train shards/train-{000..031}.tar [key=value ...]`: the trainer, named by its shards."""

from __future__ import annotations

import sys

from tracknet.scripts.train import main

if __name__ == "__main__":
    sys.exit(main())
