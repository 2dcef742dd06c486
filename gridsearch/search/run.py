"""A whole run: check, identify, open or resume the study, draw the references, search."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import optuna
import torch
from optuna.trial import TrialState

from gridsearch import store
from gridsearch.drawing import DRAWING, provenance, usual_notes
from gridsearch.errors import GridsearchError, RunFailed
from gridsearch.experiment import Experiment
from gridsearch.judging import failure_notes, idle_notes, opened
from gridsearch.merge.sources import Residence
from gridsearch.outcome import Outcome
from gridsearch.parents import identify, identify_extras, open_parents, require_mode, warnings_about
from gridsearch.plan import require_disk
from gridsearch.prompt_notes import foreign_settings
from gridsearch.render.cases import Case
from gridsearch.render.components import component_folder, folder_digest
from gridsearch.render.draw import Drawn
from gridsearch.render.pipeline import placement
from gridsearch.score.score import Score
from gridsearch.search.loop import Budget, enqueue_missing, search
from gridsearch.search.same import require_same_run
from gridsearch.search.space import planned_trials
from gridsearch.setup import Setup, draw_references, load_setup, with_references
from gridsearch.trial import run_trial
from gridsearch.units import size
from gridsearch.weights import adapter_notes

PACKAGES = ("gridsearch", "torch", "diffusers", "transformers", "safetensors", "optuna", "numpy", "pillow")


class Listener(Protocol):
    """Who is told what happens, when it happens."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        """A file's hash is about to be computed; returns what is told the bytes of each block."""

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        """A model's weights are about to be read through; as `hashing`."""

    def note(self, text: str) -> None:
        """Something to know before a night is spent on it."""

    def start(self, remaining: int, done: int, cases: int, references: Sequence[dict] | None) -> None:
        """All is loaded: how many trials are left and done, the images of each, the references kept."""

    def reference(self, drawn: Drawn) -> None: ...

    def image(self, case: Case, score: Score) -> None: ...

    def trial(
        self, number: int, parameters: Mapping[str, Any], outcome: Outcome | GridsearchError
    ) -> None: ...


def run(experiment: Experiment, file: Path, out: Path, budget: Budget, listener: Listener) -> None:
    """Run the experiment read from `file` into `out`, or resume it there.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    parents = open_parents(experiment)
    require_mode(experiment, parents)
    standard = opened(experiment.score)
    render = experiment.render
    place = placement(render.device, render.dtype)
    facts = store.Facts(
        experiment=experiment.model_dump(mode="json"),
        models=identify(parents, listener.hashing),
        extras=identify_extras(parents, listener.hashing),
        versions={package: version(package) for package in PACKAGES},
        references=None,
        planned=planned_trials(experiment),
        drawing={
            "on": str(place),
            "components": folder_digest(component_folder(render.config, render.vocabulary)),
            "settings": provenance(experiment, parents),
            "version": DRAWING,
        },
        file=str(file),
    )
    if store.has_study(out):
        earlier, _ = store.read_study(out)
        require_same_run(earlier, facts, out)
    else:
        require_disk(experiment, out)
    hashes = {name: file["sha256"] for name, file in {**facts.models, **facts.extras}.items()}
    setup = load_setup(experiment, parents, out, listener, hashes, standard)
    adapters = adapter_notes(setup.weights.adapters)
    notes = warnings_about(experiment, parents) + usual_notes(render) + foreign_settings(experiment)
    for note in notes + adapters + residence_notes(setup.residence):
        listener.note(note)
    with store.locked(out):
        if not store.has_study(out):
            store.write_study(out, facts)
        with store.open_study(out) as study:
            _run_study(study, facts, setup, budget, listener)


def _run_study(
    study: optuna.Study, facts: store.Facts, setup: Setup, budget: Budget, listener: Listener
) -> None:
    """Draw the references where they are not there yet, then search."""
    references = store.load_facts(study).references
    if not references or not all((setup.out / row["file"]).is_file() for row in references):
        references = None
    store.save_facts(study, replace(facts, references=references))
    if setup.experiment.search.sampler == "grid":
        enqueue_missing(study, setup.experiment)
    trials = study.get_trials(deepcopy=False)
    done = sum(trial.state == TrialState.COMPLETE for trial in trials)
    listener.start(store.remaining(facts, trials), done, len(setup.cases), references)
    noted: set[str] = set()
    if references is None:
        with _named(setup.out):
            references = draw_references(setup, listener.reference)
        store.save_facts(study, replace(facts, references=references))
        _note_failures(references, noted, listener)
    setup = with_references(setup, references)
    for note in idle_notes(setup.standard):
        listener.note(note)
    search(
        study,
        setup.experiment,
        budget,
        evaluate=lambda number, parameters: _evaluate(number, parameters, setup, listener, noted),
        on_trial=listener.trial,
    )


def residence_notes(place: Residence) -> list[str]:
    """What the user should know of where the sources lie."""
    if place.fits:
        return []
    return [f"The models ({size(place.sources)}) do not fit into memory: each trial reads them from disk."]


def _evaluate(
    number: int, parameters: Mapping[str, Any], setup: Setup, listener: Listener, noted: set[str]
) -> Outcome:
    with _named(setup.out):
        outcome = run_trial(number, parameters, setup, listener.image)
    _note_failures(outcome.images, noted, listener)
    return outcome


def _note_failures(rows: Sequence[Mapping], noted: set[str], listener: Listener) -> None:
    """Say of each scorer once what it has no value for; `noted` are those that were said of before."""
    for name, text in failure_notes(rows).items():
        if name not in noted:
            noted.add(name)
            listener.note(text)


@contextlib.contextmanager
def _named(out: Path) -> Iterator[None]:
    """What may go wrong on any machine, by its name."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            "The memory is too small for one image at a time, with the VAE in tiles.",
            why=str(error).splitlines()[0],
            fix="Close other programs, or draw smaller images.",
        ) from error
    except OSError as error:
        raise RunFailed("A file could not be read or written.", where=out, why=str(error)) from error
