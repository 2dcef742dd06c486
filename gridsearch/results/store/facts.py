"""The facts of a run: its settings, models and references, kept with its study."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Render
from gridsearch.experiment.tables import Search
from gridsearch.results.store.json_values import json_safe
from gridsearch.results.store.trials import ENDED

_FACTS = "facts"


@dataclass(frozen=True)
class Facts:
    """The facts of a run, which hold for all of its trials."""

    experiment: dict  # the experiment as resolved
    models: dict[str, dict]  # name -> path, sha256, short_hash, bytes, dtype, prediction type and its source
    versions: dict[str, str]
    references: list[dict] | None  # a row per reference image; None until they are drawn
    planned: int  # number of trials
    drawing: dict  # device, dtype, and the hash of the component configs
    file: str  # the experiment's file
    extras: dict[str, dict] = field(
        default_factory=dict
    )  # adapters and a VAE's own file: path, sha256, bytes
    order: list[str] = field(default_factory=list)  # ids of the search's cases as they are drawn
    held_out: list[str] = field(default_factory=list)  # ids of prompts kept apart from the search
    parents: dict[str, str] = field(default_factory=dict)  # model -> the fingerprint of its weights alone


def objectives_of(facts: Facts) -> tuple[str, ...]:
    """Return the names of the values that the study minimises."""
    return Search.model_validate(facts.experiment.get("search", {})).objectives()


def save_facts(study: optuna.Study, facts: Facts) -> None:
    study.set_user_attr(_FACTS, json_safe(asdict(facts)))


def load_facts(study: optuna.Study) -> Facts:
    facts = Facts(**study.user_attrs[_FACTS])
    # Before components could be named, all of a model was merged.
    earlier = {"adapters": {}, "components": {"text_encoders": "merged", "vae": "merged"}}
    render = Render().model_dump(mode="json") | facts.experiment.get("render", {})
    # Earlier versions kept under `full` and `most` which pictures were to be made smaller.
    images = {k: v for k, v in facts.experiment.get("images", {}).items() if k not in ("full", "most")}
    return replace(facts, experiment=earlier | facts.experiment | {"render": render, "images": images})


def remaining(facts: Facts, trials: Sequence[FrozenTrial], done: str | None = None) -> int:
    """Count the trials that are still to be done: those queued, and else those short of the number.

    Args:
        done: why the search needs no further one, where it does not.
    """
    states = [trial.state for trial in trials]
    queued = states.count(TrialState.WAITING) + states.count(TrialState.RUNNING)
    if facts.experiment["search"]["sampler"] == "grid":
        # A kill while the grid was being queued leaves fewer trials than planned.
        return max(queued, facts.planned - len(states))
    if done:
        return queued
    # `window` ends by itself: how many trials that takes is a guess
    least = 1 if facts.experiment["search"]["sampler"] == "window" else 0
    return max(queued, least, facts.planned - sum(state in ENDED for state in states))
