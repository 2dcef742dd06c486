"""Pictures that are measured once: a test of scores holds the same one against several bands."""

from hashlib import sha256
from unittest.mock import patch

import pytest

from gridsearch.score.measure import measure


@pytest.fixture(scope="module")
def measured_once(request):
    """Keep the metrics of each picture that the module of the test, or `score` for it, measures."""
    known = {}

    def once(rgb):
        key = rgb.shape, sha256(rgb.tobytes()).digest()
        if key not in known:
            known[key] = measure(rgb)
        return known[key]

    with patch("gridsearch.score.score.measure", once), patch.object(request.module, "measure", once):
        yield
