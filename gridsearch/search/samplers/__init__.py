"""The samplers: choice of the next trial's parameters."""
