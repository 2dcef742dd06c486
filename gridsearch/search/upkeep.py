"""What is seen to between images: a folder keeps to its size, and a scorer's trouble is said once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from gridsearch.disk import most_bytes
from gridsearch.experiment import Experiment
from gridsearch.judging import failure_notes
from gridsearch.room import ended, keep_room
from gridsearch.search.listener import Listener


def note_failures(rows: Sequence[Mapping], noted: set[str], listener: Listener) -> None:
    """Say of each scorer once what it has no value for; `noted` are those that were said of before."""
    for name, text in failure_notes(rows).items():
        if name not in noted:
            noted.add(name)
            listener.note(text)


def make_room(study: optuna.Study, out: Path, experiment: Experiment, times: int = 1) -> None:
    """Keep the folder within what the experiment allows it, before images are drawn.

    Args:
        times: how often all cases are drawn before the next call.

    Raises:
        RunFailed: there is no room for them.
    """
    settings = experiment.images
    if settings.full is None and settings.most is None:
        return
    coming = most_bytes(experiment.render, experiment.prompt) * times
    keep_room(out, ended(study.get_trials(deepcopy=False)), settings, coming)
