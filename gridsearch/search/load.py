"""The start of a run that renders: its models are loaded while their files are hashed."""

from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event

from gridsearch.base.words import size
from gridsearch.checkpoint.inspect import Hashing
from gridsearch.experiment.experiment import Experiment
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.shelf import Shelf, open_shelf
from gridsearch.merge.engine.sources import Residence
from gridsearch.merge.weights import adapter_notes
from gridsearch.search.listener import Listener
from gridsearch.search.prepare import Prepared, check_experiment, prepare_checked
from gridsearch.search.trial.setup import Setup, load_setup

SOON = 1.0  # seconds in which a run is prepared whose files need no hashing


def prepare_and_load(
    experiment: Experiment, file: Path, out: Path, listener: Listener
) -> tuple[Prepared, Setup]:
    """Prepare a run (see `prepare`), and load everything that renders; the listener is told of all notes.

    A run that does not fit what `out` holds is refused before anything is loaded, unless its files have to be
    hashed to know.

    Raises:
        BadInput: as from `prepare`, or a model cannot be loaded.
    """
    parents, standard = check_experiment(experiment)
    failed = Event()
    with ThreadPoolExecutor(1) as beside:
        hashing = _until(failed, listener.hashing)
        preparing = beside.submit(prepare_checked, experiment, parents, standard, file, out, hashing)
        try:
            if wait([preparing], SOON).done:
                preparing.result()
            setup = load_setup(experiment, parents, out, listener, standard=standard)
        except BaseException:
            failed.set()
            raise
    prepared = preparing.result()
    drawn_on = f"Images are rendered on {setup.renderer.place.described()}."
    files = {**prepared.facts.models, **prepared.facts.extras}
    hashes = {name: file["sha256"] for name, file in files.items()}
    left_over = setup.residence.left_over
    shelf = open_shelf(hashes, setup.renderer.place.device, left_over)
    more = adapter_notes(setup.weights.adapters) + residence_notes(setup.residence, shelf)
    for note in [drawn_on, *prepared.notes, *more]:
        listener.note(note)
    watch = replace(setup.watch, on_call=listener.step)
    live = replace(setup.live, kept=Kept(setup.residence.room, shelf))
    return prepared, replace(setup, hashes=hashes, watch=watch, live=live)


def residence_notes(place: Residence, shelf: Shelf | None = None) -> list[str]:
    """Return notes on where the models lie during the run, and what steps make of them."""
    notes = []
    if not place.fits:
        notes.append(
            f"The models ({size(place.sources)}) do not fit into memory: each trial reads them from disk."
        )
    if place.left_over:
        where = f"kept in {shelf.folder}" if shelf else "made in each trial, as the disk has no room either"
        said = f"{size(place.left_over)} do not fit into memory"
        notes.append(f"Of the parts of the merge that are the same in every trial, {said}: {where}.")
    return notes


def _until(over: Event, hashing: Hashing) -> Hashing:
    """Return a `hashing` whose functions end what calls them once that is `over`."""

    def begin(name: str, total: int) -> Callable[[int], None]:
        advance = hashing(name, total)

        def advance_or_end(read: int) -> None:
            if over.is_set():
                raise CancelledError
            advance(read)

        return advance_or_end

    return begin
