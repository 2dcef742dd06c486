"""The steps before any search: the files are checked and identified, and the study is opened or resumed."""

import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from gridsearch.checkpoint.inspect import Hashing
from gridsearch.checkpoint.ldm.components import components_digest, config_folder
from gridsearch.experiment.checks import dependent_notes, require_dependent
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompt_notes import prompt_notes
from gridsearch.experiment.tables import Search
from gridsearch.merge.dtypes import dtype_notes, widened_models
from gridsearch.merge.engine.compiled import numba_version
from gridsearch.merge.parents import (
    Parents,
    identify,
    identify_extras,
    open_parents,
    require_drawable,
    warnings_about,
)
from gridsearch.merge.vae import reference_notes
from gridsearch.render.placement import placement, slow_notes
from gridsearch.results import store
from gridsearch.results.store.artifacts import rows_with_pictures
from gridsearch.score.sets import backbone_key
from gridsearch.search.cases import counted, drawing_order, held_out_notes, held_out_prompts, order_of
from gridsearch.search.disk import disk_of
from gridsearch.search.earlier import earlier_curve, expectation_notes
from gridsearch.search.resume import require_same_run, versions_note
from gridsearch.search.samplers.by_name import expected_glances, expected_trials, require_suits
from gridsearch.search.taste import BACKBONE
from gridsearch.search.trial.settings import RENDERING_VERSION, provenance, usual_notes
from gridsearch.search.trial.standard import Standard, open_standard

PACKAGES = ("gridsearch", "torch", "diffusers", "transformers", "safetensors", "optuna", "numpy", "pillow")


@dataclass(frozen=True)
class Prepared:
    """A run that can begin: all is checked, nothing is written or loaded."""

    experiment: Experiment
    parents: Parents
    standard: Standard  # thresholds and scorers
    facts: store.Facts
    earlier: store.Stored | None  # in the folder already
    notes: tuple[str, ...]  # worth reading before a night is spent on it
    sweeps: bool = True  # whether pictures that no row names may be removed in the end

    @property
    def files(self) -> dict[str, Path]:
        """Paths of the models' and other files by their names."""
        return self.parents.files


def check_experiment(experiment: Experiment) -> tuple[Parents, Standard]:
    """Check an experiment by itself, from its files' headers; returns its models, thresholds and scorers.

    Raises:
        BadInput: it could not run.
    """
    parents = open_parents(experiment)
    require_drawable(experiment, parents)
    require_suits(experiment)
    require_dependent(experiment)
    return parents, open_standard(experiment.score)


def notes_on(experiment: Experiment, parents: Parents) -> list[str]:
    """Return notes worth reading before a night is spent on the experiment."""
    notes = warnings_about(experiment, parents) + reference_notes(experiment, parents.checkpoints)
    notes += dtype_notes(experiment, parents.checkpoints)
    elements = sum(math.prod(info.shape) for info in parents.first.tensors.values())
    notes += slow_notes(experiment.render.device, elements)
    return notes + dependent_notes(experiment) + usual_notes(experiment.render) + prompt_notes(experiment)


def prepare(experiment: Experiment, file: Path, out: Path, hashing: Hashing) -> Prepared:
    """Check an experiment read from `file`, and that it is the one that `out` holds, if that holds any.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit.
    """
    return prepare_checked(experiment, *check_experiment(experiment), file, out, hashing)


def prepare_checked(
    experiment: Experiment, parents: Parents, standard: Standard, file: Path, out: Path, hashing: Hashing
) -> Prepared:
    """Return the same for an experiment that is checked, with its parents and the standard of its scores."""
    pictures = store.pictures_in(out)
    earlier = store.read_study(out) if store.has_study(out) else None
    if earlier and experiment.has_usual_sampler:  # earlier versions took another one where none was named
        settings = experiment.search.model_dump() | {"sampler": earlier.facts.experiment["search"]["sampler"]}
        experiment = experiment.model_copy(update={"search": Search.model_validate(settings)})
    facts = _facts(experiment, file, parents, hashing, earlier.facts if earlier else None)
    if folder := experiment.search.earlier:
        # what the run began with: the folder may be gone by now, or on another machine
        known = (earlier.facts.probe if earlier else None) or {}
        same = known.get("study") == str(folder)
        facts = replace(facts, probe=known if same else earlier_curve(folder, facts))
    if earlier:
        require_same_run(earlier.facts, facts, out)
    else:
        disk_of(experiment, out, counted(experiment))
    unrecorded = store.unrecorded_note(pictures, earlier, out)
    notes = [unrecorded] if unrecorded else []
    if earlier and not store.place_of(out).artifacts:  # else they are fetched when they are needed
        missing = store.missing_note(rows_with_pictures(earlier), out)
        notes += [missing] if missing else []
    notes += versions_note(earlier.facts, facts) if earlier else []
    notes += expectation_notes(facts)
    notes += notes_on(experiment, parents) + held_out_notes(experiment, facts.held_out)
    return Prepared(experiment, parents, standard, facts, earlier, tuple(notes), sweeps=not unrecorded)


def _facts(
    experiment: Experiment, file: Path, parents: Parents, hashing: Hashing, earlier: store.Facts | None
) -> store.Facts:
    """Return what holds for the run; the order of its cases goes on from where an earlier one was."""
    render, search = experiment.render, experiment.search
    place = placement(render.device, render.dtype)
    before = order_of(earlier) if earlier else []
    held_out = held_out_prompts(experiment.prompt, search, earlier.held_out if earlier else (), before)
    searched = [prompt for prompt in experiment.prompt if prompt.id not in held_out]
    order = drawing_order(searched, search.seed, search.races(), before)
    return store.Facts(
        experiment=experiment.model_dump(mode="json"),
        models=identify(parents, hashing),
        extras=identify_extras(parents, hashing),
        versions={package: version(package) for package in PACKAGES} | {"numba": numba_version()},
        references=None,
        planned=expected_trials(experiment)[1] + expected_glances(experiment),
        drawing={
            "on": str(place),
            "components": components_digest(
                config_folder(render.config, experiment.its_family), render.vocabulary
            ),
            "settings": provenance(experiment, parents),
            "version": RENDERING_VERSION,
            "widened": widened_models(experiment, parents.checkpoints),
            BACKBONE: backbone_key(experiment.score.features) if experiment.score.features else None,
        },
        file=str(file),
        order=[case.id for case in order],
        held_out=held_out,
    )
