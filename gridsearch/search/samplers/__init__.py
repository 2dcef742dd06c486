"""The samplers: which parameters the next trial gets."""
