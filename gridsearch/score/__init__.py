"""Scoring: an image in, numbers and a verdict out."""
