"""What all tests share: no hub, no luck, and the toy."""

import os

# Before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from pathlib import Path

import hypothesis
import pytest

# The same examples on every run: a test that fails on one machine fails on all.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture(scope="session")
def toy() -> Path:
    """The folder of the trained toy checkpoints and their component configs."""
    return EXPERIMENTS / "toy"
