"""Scores adapters and base models on held-out records."""
