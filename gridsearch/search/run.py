"""A whole run: check, identify, open or resume the study, draw the references, search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from gridsearch import store
from gridsearch.errors import BadInput, GridsearchError
from gridsearch.experiment import Experiment
from gridsearch.parents import identify, open_parents
from gridsearch.render.cases import Case
from gridsearch.render.draw import Drawn
from gridsearch.score.score import Score
from gridsearch.search.loop import Budget, search
from gridsearch.search.space import planned_trials
from gridsearch.setup import Setup, draw_references, load_setup, with_references
from gridsearch.trial import Outcome, run_trial

PACKAGES = ("gridsearch", "torch", "diffusers", "transformers", "safetensors", "optuna", "numpy", "pillow")


class Listener(Protocol):
    """Who is told what happens, when it happens."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        """A file's hash is about to be computed; returns what is told the bytes of each block."""

    def start(self, trials: int, done: int, cases: int, references: Sequence[dict] | None) -> None:
        """All is loaded: how many trials there are and are done, the images of each, the references kept."""

    def reference(self, drawn: Drawn) -> None: ...

    def image(self, case: Case, score: Score) -> None: ...

    def trial(
        self, number: int, parameters: Mapping[str, Any], outcome: Outcome | GridsearchError
    ) -> None: ...


def run(experiment: Experiment, out: Path, budget: Budget, listener: Listener) -> None:
    """Run the experiment into `out`, or resume it there.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    parents = open_parents(experiment)
    facts = store.Facts(
        experiment=experiment.model_dump(mode="json"),
        models=identify(parents, listener.hashing),
        versions={package: version(package) for package in PACKAGES},
        references=None,
        planned=planned_trials(experiment),
    )
    if store.has_study(out):
        earlier, _ = store.read_study(out)
        require_same_run(earlier, facts, out)
    setup = load_setup(experiment, parents, out)
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
    if references is not None and not all((setup.out / row["file"]).is_file() for row in references):
        references = None
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    listener.start(facts.planned, len(done), len(setup.cases), references)
    if references is None:
        references = draw_references(setup, listener.reference)
    store.save_facts(study, replace(facts, references=references))
    setup = with_references(setup, references)
    search(
        study,
        setup.experiment,
        budget,
        evaluate=lambda number, parameters: run_trial(number, parameters, setup, listener.image),
        on_trial=listener.trial,
    )


def require_same_run(earlier: store.Facts, now: store.Facts, out: Path) -> None:
    """Refuse to mix images that cannot be compared: other models, prompts or settings are another run.

    What is searched may grow: more ratios, more trials.
    """
    changed = [
        f"model {name} ({earlier.models[name]['short_hash']} then, {model['short_hash']} now)"
        for name, model in now.models.items()
        if name in earlier.models and earlier.models[name]["sha256"] != model["sha256"]
    ]
    before, after = (_comparable(facts.experiment) for facts in (earlier, now))
    changed += [
        f"{part} ({before[part]} then, {after[part]} now)" if part.startswith("render.") else part
        for part in before
        if before[part] != after[part]
    ]
    if changed:
        raise BadInput(
            "This folder holds the results of a different experiment.",
            where=out,
            why=f"changed since: {', '.join(changed)}.",
            fix="Choose another folder with --out, or delete this one.",
        )


def _comparable(experiment: dict) -> dict:
    """The parts of an experiment that decide what an image is, beside the models and the searched values."""
    free = ("batch", "config", "vocabulary")  # change no more than the last digit, or are checked elsewhere
    render = {f"render.{key}": value for key, value in experiment["render"].items() if key not in free}
    return {
        "the merge steps": [(step["name"], step["method"], step["models"]) for step in experiment["merge"]],
        "the prompts": experiment["prompt"],
        "[score]": experiment["score"],
        **{key: "searched" if isinstance(value, (dict, list)) else value for key, value in render.items()},
    }
