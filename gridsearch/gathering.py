"""What workers elsewhere have drawn, brought into the folder here."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gridsearch import store
from gridsearch.artifacts import fetch_missing, open_artifacts


def gather(folder: Path, rows: Iterable[Mapping]) -> None:
    """Fetch the pictures and films of these rows that the folder lacks, where images lie elsewhere as well.

    What is nowhere is left out: a report shows that it is missing.
    """
    address = store.place_of(folder).artifacts
    if address is None:
        return
    names = [file for row in rows for file in (row["file"], row.get("film")) if file]
    fetch_missing(folder, names, open_artifacts(address))


def rows_of(stored: store.Stored) -> Iterator[Mapping]:
    """Every row of a run that has a picture."""
    yield from stored.facts.references or []
    for trial in [*stored.trials, *stored.checks]:
        yield from store.images_of(trial)
