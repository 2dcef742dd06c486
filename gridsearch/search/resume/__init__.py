"""Continuing a study: what may have changed since, and what has to be done again."""
