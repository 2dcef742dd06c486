"""One trial: merge, render, score, record."""
