"""Knows nothing of the rest: errors, settings, geometry, heatmaps."""
