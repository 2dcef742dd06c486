import pytest

from tests.helpers.tiny_clip import save_tiny_clip


@pytest.fixture(scope="session")
def saved(toy, tmp_path_factory):
    """A folder as transformers keeps a CLIP model, a tiny one of random weights."""
    return save_tiny_clip(tmp_path_factory.mktemp("clip"), toy)
