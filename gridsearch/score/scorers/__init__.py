"""Scorers beyond the built-in metrics, and how packages add theirs."""
