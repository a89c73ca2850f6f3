"""Offline: raw material to shards.

Imports of tracknet what a build and its labels look like (`datasets.schema`, `datasets.manifest`,
`datasets.feature_format`, `datasets.sample_json`, `datasets.label_csv`, `datasets.label_faults`) and `utils`; nothing
that reads a build for training. The exception is `build_features`, which computes with a network on the frames of a
build: it brings `datasets` and `models` together.
"""
