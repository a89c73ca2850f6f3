# Two targets do everything, set-up included: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN ?= quickstart

.PHONY: quickstart test lint

# A second `make quickstart` goes on with what the first one left.
quickstart: $(VENV)/installed
	$(BIN)/python -m pipelines.synthesize --out data/tracknet
	$(BIN)/python -m pipelines.build_shards --root data/tracknet
	if [ -d runs/$(RUN)/checkpoints ]; then $(BIN)/python -m tracknet.scripts.train --resume runs/$(RUN); else \
	$(BIN)/python -m tracknet.scripts.train --data tracknet --model vit_tiny --training cpu --name $(RUN); fi
	$(BIN)/python -m tracknet.scripts.evaluate runs/$(RUN) --shards shards --split val

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@
