"""All that a user installs has wheels on Linux, Windows and macOS for each Python: nothing is compiled."""

import re
import subprocess
import sys
import tomllib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from itertools import product

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.docs.pages import REPOSITORY

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    "Linux": [*(f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)), "manylinux2014_x86_64"],
    "Windows": ["win_amd64"],
    "macOS": ["macosx_14_0_arm64"],
}
AT_ONCE = 4


@pytest.fixture(scope="module")
def pins():
    """The pins of what the project needs and its extras for users offer, by their requirements."""
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    known = {canonicalize_name(Requirement(one).name): one for one in lines if one[:1] not in ("", "#")}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    queue = deque(map(Requirement, [*project["dependencies"], *extras["postgres"], *extras["s3"]]))
    found = {}
    while queue:
        needed = queue.popleft()
        name = canonicalize_name(needed.name)
        if (name, *needed.extras) in found or name not in known:  # what only one platform needs has no pin
            continue
        found[name, *needed.extras] = known[name]
        try:
            after = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:
            continue
        for extra in needed.extras or {""}:
            queue += [one for one in after if one.marker is None or one.marker.evaluate({"extra": extra})]
    return sorted(set(found.values()))


def offered(pin, *options):
    """The versions of a pin's package that pip finds as wheels; None where it finds none, or no index."""
    command = [sys.executable, "-m", "pip", "index", "versions", Requirement(pin).name]
    more = ["--disable-pip-version-check", "--only-binary=:all:", *options]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    found = re.search("Available versions: (.*)", done.stdout)
    return found and found[1].split(", ")


def is_pure(pin):
    """Whether the installed wheel of this version is pure Python, as its tags say: it is for every system."""
    wanted = Requirement(pin)
    try:
        found = distribution(wanted.name)
    except PackageNotFoundError:
        return False
    tags = [line for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    return bool(tags) and all(tag.endswith("-none-any") for tag in tags) and found.version in wanted.specifier


def test_pure_wheels_are_for_every_python(pins):
    pure = [pin for pin in pins if is_pure(pin)]
    assert len(pure) > 20
    assert {"torch", "diffusers", "scipy", "boto3"} <= {Requirement(pin).name for pin in pins}
    for pin in pure:
        needed = SpecifierSet(distribution(Requirement(pin).name).metadata["Requires-Python"] or "")
        assert all(f"{python}.9" in needed for python in PYTHONS), pin


@pytest.mark.night
def test_every_other_pin_has_a_wheel_on_each_system_and_python(pins):
    if offered(next(filter(is_pure, pins)), "--retries=0", "--timeout=10") is None:
        pytest.skip("no package index is reached from this machine")

    def missing(pin, system, python):
        places = [f"--platform={one}" for one in PLATFORMS[system]]
        versions = offered(pin, *places, "--implementation=cp", f"--python-version={python}")
        return None if next(iter(Requirement(pin).specifier)).version in (versions or ()) else pin

    binary = [pin for pin in pins if not is_pure(pin)]
    places = list(product(binary, PLATFORMS, PYTHONS))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda place: missing(*place), places)
        assert [place for place, gone in zip(places, found, strict=True) if gone] == []
