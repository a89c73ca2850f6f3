"""Offline: raw material to shards. Imports of tracknet only its contract, label reader and utils."""
