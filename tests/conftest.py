"""What all tests share: no hub, no luck, and the toy."""

import os

# Before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, each of which has a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gc
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import hypothesis
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from gridsearch.app.live_report import LiveReport
from gridsearch.app.processes import modules_loading
from tests.helpers.browser import chromium, visit  # noqa: F401  fixtures
from tests.helpers.checkpoints import save  # noqa: F401
from tests.helpers.copies import Copies
from tests.helpers.made_up import modes, sweep  # noqa: F401
from tests.helpers.plain import plain  # noqa: F401
from tests.helpers.postgres import database, postgres  # noqa: F401
from tests.helpers.s3 import s3  # noqa: F401
from tests.helpers.tied import tied_run  # noqa: F401

if TYPE_CHECKING:
    import torch

    from gridsearch.checkpoint.header import Checkpoint

# The same examples on every run, however long they take: a test that fails on one machine fails on all.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.load_profile("fixed")

# What the tests and the programs they start keep is not the user's; the hub's cache stays where it is.
_users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("HF_HOME", str(_users / "huggingface"))
# Results are flushed to the disk commit by commit and file by file, which is much of the time of a short run:
# where there is memory enough, temporary folders lie in it.
MEMORY, ENOUGH = Path("/dev/shm"), 4 * 2**30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
_cache = tempfile.TemporaryDirectory(prefix="gridsearch-tests-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
os.environ["XDG_CACHE_HOME"] = _cache.name
os.environ["XDG_DATA_HOME"] = str(Path(_cache.name) / "data")

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while tests are, nor ever look for it in the modules that they import.

    Nor look for it often afterwards: at Python's own pace that took a sixteenth of their time.
    """
    gc.set_threshold(10_000, 10, 30)
    with modules_loading():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests were skipped, a line for each reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def begin_build() -> Iterator[Callable[[LiveReport], None]]:
    """What begins the build of a live report, which is done where a test asks for it only.

    Each run of seconds would begin a process that imports for as long, and end it.
    """
    begin = LiveReport._begin
    with patch.object(LiveReport, "_begin", lambda live: None):
        yield begin


@pytest.fixture(scope="session", autouse=True)
def _read_migrations_once() -> Iterator[None]:
    """Keep Optuna's migrations once they are read: each opening of a study would run their modules again."""
    read: dict[str, ScriptDirectory] = {}
    from_config = ScriptDirectory.from_config

    def once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in read:
            read[place] = from_config(config)
        return read[place]

    with patch.object(ScriptDirectory, "from_config", once):
        yield


@pytest.fixture(scope="session", autouse=True)
def _load_the_toy_once() -> Iterator[None]:
    """Copy the toy's models once they are loaded: most runs begin with one. Diffusers takes 0.3 s.

    Only where a test has imported what loads them: to import it takes seconds.
    """
    pipeline = sys.modules.get("gridsearch.render.pipeline")
    if pipeline is None:
        yield
        return
    loaded: dict[tuple[Path, Path, torch.dtype], tuple[type, dict[str, Copies]]] = {}
    load = pipeline._from_single_file

    def once(checkpoint: "Checkpoint", folder: Path, dtype: "torch.dtype", given: Mapping[str, Any]) -> Any:
        key = (checkpoint.path.resolve(), folder.resolve(), dtype)
        if "vae" in given or not all(path.is_relative_to(EXPERIMENTS) for path in key[:2]):
            return load(checkpoint, folder, dtype, given)
        if key not in loaded:
            pipe = load(checkpoint, folder, dtype, given)
            loaded[key] = type(pipe), {name: Copies(part) for name, part in pipe.components.items()}
        kind, parts = loaded[key]
        return kind(**{name: copies.make() for name, copies in parts.items() if name not in given}, **given)

    with patch.object(pipeline, "_from_single_file", once):
        yield


@pytest.fixture(scope="session")
def toy() -> Path:
    """The folder of the trained toy checkpoints and their component configs."""
    return EXPERIMENTS / "toy"
