"""Verdicts on pictures of many styles, sound and damaged: the set, the fit of the gate, and the figures."""
