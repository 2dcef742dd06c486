"""Stopping trials that cannot win, after as few images as possible."""
