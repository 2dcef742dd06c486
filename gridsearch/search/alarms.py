"""What is said in the middle of the night: two different trials have drawn the same pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from gridsearch import honesty, store
from gridsearch.errors import GridsearchError
from gridsearch.report.trials import drawn_with, made_of
from gridsearch.search.loop import Told, parameters_of
from gridsearch.search.race import id_of
from gridsearch.store import tidy


def alarming(
    study: optuna.Study,
    settings: Mapping[str, Any],
    on_trial: Callable[[Told], None],
    note: Callable[[str], None],
) -> Callable[[Told], None]:
    """`on_trial`, and a note with it where a trial's pictures are all another's, and should not be.

    Args:
        settings: the experiment, as plain data.
    """
    ended = study.get_trials(deepcopy=False, states=store.ENDED)
    drawn = {trial.number: _digests(store.images_of(trial)) for trial in ended}
    made = {trial.number: _made(settings, parameters_of(trial)) for trial in ended}

    def told(trial: Told) -> None:
        on_trial(trial)
        if isinstance(trial.outcome, GridsearchError):
            return
        mine, own = _digests(trial.outcome.images), _made(settings, trial.parameters)
        twins = [
            number
            for number, other in drawn.items()
            if made[number] != own and honesty.identical({number: other, trial.number: mine})
        ]
        drawn[trial.number], made[trial.number] = mine, own
        if twins:
            note(
                f"Trial {trial.number} drew the same images as trial {twins[0]}, pixel for pixel, though "
                "their parameters differ: what is searched may have no effect."
            )

    return told


def _made(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple:
    """What is merged, and how it is drawn. At ratio 0 it does not matter which model the other one is."""
    tidied = {name: tidy(value) for name, value in parameters.items()}
    return made_of(settings, tidied), drawn_with(settings, tidied)


def _digests(images: Sequence[Mapping]) -> dict[str, str]:
    return {
        id_of(row): row["digest"]
        for row in images
        if row.get("digest") and row["verdict"] not in honesty.ALIKE
    }
