"""Plug-in scorers beyond the built-in metrics: our own, and those of installed packages."""
