"""The errors and notes that the documentation quotes, provoked."""

PROVOKED = {}
