"""Weights in, images out."""
