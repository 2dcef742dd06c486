"""Plug-in scorers beyond the built-in metrics: two of our own, and those of installed packages."""
