"""Losses, metrics, optimizer, checkpoints and the loop."""
