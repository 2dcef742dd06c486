"""A stored run with three trials that tie, of prompts that would do harm."""

from unittest import mock

import pytest

from tests.helpers import stored

TIED = {0.25: 0.95, 0.5: 1.0, 0.75: 1.05}  # contrasts within what is no defect
PROMPTS = ("</script><script>alert(1)</script> <lora:a:1>", "a cat", "a dog", "a star", "a tree")


@pytest.fixture(scope="session")
def tied_run(tmp_path_factory):
    with mock.patch.dict(stored.CONTRAST, TIED):
        return stored.stored_run(tmp_path_factory.mktemp("judge") / "run", PROMPTS)
