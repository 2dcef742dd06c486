"""A folder for the inputs, an empty one to stand in, and what was seen said at the end."""

import os
import sys

import pytest

from tests.fuzz.bounds import ALL, Bounds


@pytest.fixture(autouse=True)
def _linux_only():
    if not sys.platform.startswith("linux"):
        pytest.skip("what a process takes is read from /proc")


@pytest.fixture(scope="module")
def bounds(tmp_path_factory, request):
    root = tmp_path_factory.mktemp("fuzz")
    (root / "here").mkdir()
    before = os.getcwd()
    os.chdir(root / "here")
    found = Bounds(root / "here")
    yield found
    os.chdir(before)
    if ALL:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            sys.stderr.write(f"\n{request.module.__name__}: {found.worst}\n")
