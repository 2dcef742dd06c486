"""Random numbers that belong to a study and a trial, whoever draws them and whenever."""

import numpy as np


def seed_for(seed: int, number: int) -> int:
    """A trial's seed, below 2**32. A sum would give study 0's trial 5 and study 1's trial 4 the same."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
