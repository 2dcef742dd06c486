"""The worth of a taste that is learned from simulated persons, and its effect on a search."""
