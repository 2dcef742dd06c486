"""Prompts: from a text to its embedding."""
