"""Results in, answers out. Never imports torch."""
