"""Searches of more than one dimension, simulated: which sampler pays from how many trials on."""
