"""What a taste learns from simulated persons, and what it changes."""
