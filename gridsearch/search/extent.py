"""How much a run draws at most, and the room that it takes."""

from pathlib import Path

from gridsearch.disk import Disk, disk_of
from gridsearch.experiment import Experiment
from gridsearch.render.cases import cases_of
from gridsearch.search.order import held_out_prompts
from gridsearch.search.space import planned_trials


def counted(experiment: Experiment, trials: int) -> tuple[int, int, int]:
    """A trial's cases, the held-out ones, and the images that check what was found."""
    apart = held_out_prompts(experiment.prompt, experiment.search)
    all_cases = cases_of(experiment.prompt)
    held_out = sum(case.prompt_id in apart for case in all_cases)
    cases = len(all_cases) - held_out
    return cases, held_out, min(experiment.search.confirm, trials) * held_out + cases


def require_disk(experiment: Experiment, folder: Path) -> Disk:
    """What the run will take of the disk.

    Raises:
        BadInput: that is more than is free, or than its own cap.
    """
    trials = planned_trials(experiment)
    cases, held_out, checks = counted(experiment, trials)
    references = (cases + held_out) * len(experiment.reference_models())
    return disk_of(experiment, folder, trials, cases, references, checks)
