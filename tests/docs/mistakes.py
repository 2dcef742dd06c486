"""The errors and notes that the documentation quotes, provoked."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from gridsearch.app import terminal
from gridsearch.base.errors import GridsearchError
from gridsearch.results import store


def error_of(failing: Callable[[], object]) -> str:
    """What the program shows of the error that this raises."""
    said = io.StringIO()
    with pytest.raises(GridsearchError) as raised:
        failing()
    with redirect_stderr(said):
        terminal.show_error(raised.value)
    return said.getvalue()


def notes_of(notes: list[str]) -> str:
    said = io.StringIO()
    with redirect_stdout(said):
        for note in notes:
            terminal.show_note(note)
    return said.getvalue()


def two_runs_in_a_folder(folder: Path, _monkeypatch) -> str:
    def second() -> None:
        with store.locked(folder):
            pass

    with store.locked(folder):
        return error_of(second)


def too_little_memory(_folder: Path, _monkeypatch) -> str:
    from gridsearch.merge.engine.sources import Residence
    from gridsearch.search.plan import Memory, _require_memory

    gpu = Memory(7_500_000_000, 6_000_000_000, 1, 2, Residence("mapped", 1, True))
    return error_of(lambda: _require_memory(gpu))


def memory_ran_out(folder: Path, _monkeypatch) -> str:
    import torch

    from gridsearch.search.trial.failures import named_failures

    def draw() -> None:
        with named_failures(folder):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512.00 MiB.")

    return error_of(draw)


def models_do_not_fit(_folder: Path, _monkeypatch) -> str:
    from gridsearch.merge.engine.sources import Residence
    from gridsearch.search.load import residence_notes

    return notes_of(residence_notes(Residence("mapped", 13_880_000_000, False)))


def a_broken_file(folder: Path, _monkeypatch) -> str:
    import torch

    from gridsearch.merge.engine.sources import greatest_value

    weight, key = torch.tensor([1.0, torch.nan]), "model.diffusion_model.out.2.weight"
    return error_of(lambda: greatest_value(weight, folder / "evo.safetensors", key))


def disk_full(folder: Path, _monkeypatch) -> str:
    from gridsearch.search.trial.failures import require_free

    return error_of(lambda: require_free(folder, 10**18))


def database_gone(_folder: Path, _monkeypatch) -> str:
    from sqlalchemy.exc import OperationalError

    from gridsearch.results.shared.retry import Retries

    retries = Retries()
    retries.stop()  # it is not waited for here

    def call() -> None:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    return error_of(lambda: retries.call(call))


def three_in_a_row(_folder: Path, _monkeypatch) -> str:
    from optuna.trial import TrialState, create_trial

    from gridsearch.search.trial.failures import MEMORY, stop_after_failures

    attrs = {store.REASON: "The memory is too small for one image at a time.", "failure": MEMORY}
    trial = create_trial(state=TrialState.FAIL, user_attrs=attrs)
    return error_of(lambda: stop_after_failures([trial] * 3))


PROVOKED = {
    "error: Another run is working in this folder.": two_runs_in_a_folder,
    "error: There is too little memory on the GPU: the run takes about ...": too_little_memory,
    "error: The memory is too small for one image at a time, with the VAE in tiles.": memory_ran_out,
    "note: The models (...) do not fit into memory: each trial reads them from disk.": models_do_not_fit,
    "error: model.diffusion_model.out.2.weight holds a NaN or an infinity.": a_broken_file,
    "error: The disk is full.": disk_full,
    "error: The database has not answered for 10 min.": database_gone,
    "error: 3 trials in a row failed.": three_in_a_row,
}
