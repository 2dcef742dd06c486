"""A whole run: check, identify, open or resume the study, draw the references, search."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import optuna
import torch
from optuna.trial import TrialState

from gridsearch import store
from gridsearch.drawing import provenance, usual_notes
from gridsearch.errors import BadInput, GridsearchError, RunFailed
from gridsearch.experiment import Experiment
from gridsearch.judging import failure_notes, idle_notes, opened
from gridsearch.merge.sources import Residence
from gridsearch.outcome import Outcome
from gridsearch.parameters import filled, searched_places, value_at
from gridsearch.parents import identify, identify_extras, open_parents, require_mode, warnings_about
from gridsearch.plan import require_disk
from gridsearch.prompt_notes import foreign_settings
from gridsearch.render.cases import Case
from gridsearch.render.components import component_folder, folder_digest
from gridsearch.render.draw import Drawn
from gridsearch.render.pipeline import placement
from gridsearch.score.score import Score
from gridsearch.scoring import Scoring
from gridsearch.search.loop import Budget, enqueue_missing, search
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
    """A trial, with what may go wrong on any machine by its name."""
    try:
        outcome = run_trial(number, parameters, setup, listener.image)
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            "The GPU ran out of memory, with one image at a time and the VAE in tiles.",
            fix="Close other programs on it, or draw smaller images.",
        ) from error
    except OSError as error:
        raise RunFailed("A file could not be read or written.", where=setup.out, why=str(error)) from error
    _note_failures(outcome.images, noted, listener)
    return outcome


def _note_failures(rows: Sequence[Mapping], noted: set[str], listener: Listener) -> None:
    """Say of each scorer once what it has no value for; `noted` are those that were said of before."""
    for name, text in failure_notes(rows).items():
        if name not in noted:
            noted.add(name)
            listener.note(text)


SHOWN = ("the sampler", "drawn on", "render.")  # parts whose values are short enough to be named


def require_same_run(earlier: store.Facts, now: store.Facts, out: Path) -> None:
    """Refuse to mix images that cannot be compared: other models, prompts or settings are another run.

    What a grid searches may grow or shrink; what another sampler has learnt holds for its own ranges only.
    """
    before, after = _comparable(earlier), _comparable(now)
    changed = [
        f"{part} ({before.get(part)} then, {after.get(part)} now)" if part.startswith(SHOWN) else part
        for part in dict.fromkeys([*before, *after])
        if before.get(part) != after.get(part)
    ]
    if changed:
        raise BadInput(
            "This folder holds the results of a different experiment.",
            where=out,
            why=f"changed since: {', '.join(changed)}.",
            fix=_fix(changed, now.file, out),
        )


def _fix(changed: Sequence[str], file: str, out: Path) -> str:
    if changed == ["[score]"]:
        again = shlex.join(["gridsearch", "score", str(out), "--experiment", file])
        return f"Score its images so too, and go on: {again}"
    return "Choose another folder with --out, or delete this one."


def _comparable(facts: store.Facts) -> dict:
    """The parts of a run that decide what an image is, beside the searched values."""
    experiment = _without_searched_numbers(facts.experiment)
    # see `drawing`; a batch and a compiled model are the last digit; an early abort changes no verdict
    free = ("batch", "compile", "trace", "early_abort", "config", "vocabulary", "device", "dtype")
    render = {key: value for key, value in experiment["render"].items() if key not in free}
    models = {
        f"model {name}": (model["short_hash"], model["prediction_type"], model["zero_terminal_snr"])
        for name, model in facts.models.items()
    }
    is_grid = experiment["search"]["sampler"] == "grid"
    return {
        **models,
        **{f"the file of {name}": extra["sha256"] for name, extra in facts.extras.items()},
        # as text: of a table of blocks a later entry overrules an earlier one
        "the merge steps": json.dumps(experiment["merge"]),
        "the components": _components(facts.experiment),
        "the prompts": experiment["prompt"],
        "[score]": Scoring.model_validate(experiment["score"]).model_dump(),  # earlier ones said less
        **{f"render.{key}": value for key, value in render.items()},
        "the sampler": experiment["search"]["sampler"],
        "the searched values": None if is_grid else [facts.experiment[key] for key in ("merge", "render")],
        "drawn on": facts.drawing["on"],
        "the component configs": facts.drawing["components"],
    }


def _components(settings: Mapping[str, Any]) -> list[str]:
    """Where the text encoders and the VAE come from; a file of its own is known by its content."""
    recipe = Experiment.model_validate(settings)
    return [recipe.components.text_encoders, "a file" if recipe.vae_file() else recipe.vae_source()]


def _without_searched_numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is searched may change where it is a number; a searched choice of words may not."""
    numbers = {
        name: "searched"
        for name, place in searched_places(settings).items()
        if not _of_words(value_at(settings, place))
    }
    return filled(settings, numbers)


def _of_words(value: Any) -> bool:
    return isinstance(value, list) and isinstance(value[0], str)
