"""Checkpoints in, merged weights out."""
