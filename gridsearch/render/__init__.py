"""Rendering: weights and prompts in, images out."""
