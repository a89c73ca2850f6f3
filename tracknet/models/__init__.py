"""Backbone, fusion, decoder, head, and their assembly."""
