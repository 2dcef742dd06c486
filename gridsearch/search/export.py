"""The merge of a stored trial, ready to export."""

from collections.abc import Sequence

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import VAE_PLACE
from gridsearch.experiment.recipe import VAE_FILE
from gridsearch.merge.export.options import files_from
from gridsearch.merge.export.single import SingleMerge, merge_of_trial
from gridsearch.results.analysis.analyse import plain_value
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results


def trial_to_export(results: Results, answer: Answer, trial: int | None) -> int:
    """Return the number of the named trial, or else of the best.

    Raises:
        BadInput: there is no such trial, or none is the best.
    """
    folder = results.folder
    if trial is not None:
        number = trial
    elif answer.best is not None:
        number = answer.best.trial
    elif answer.stopped:
        what = "Every trial so far was stopped early, so none can be the best."
        raise BadInput(what, where=folder, fix="Choose a trial with --trial, or continue the run.")
    else:
        raise BadInput("No trial of this run is complete yet.", where=folder, fix="Run it first.")
    if number not in set(results.trials["trial"]):
        fix = f"Trials are 0 to {len(results.trials) - 1}."
        raise BadInput(f"There is no trial {number}.", where=folder, fix=fix)
    return number


def of_trial(results: Results, number: int, models: Sequence[str]) -> SingleMerge:
    """Return the merge of a run's trial."""
    row = results.trials.set_index("trial").loc[number]
    if row[list(results.parameters)].isna().any():
        what = f"Trial {number} has not started."
        raise BadInput(what, where=results.folder, fix="Export one that is complete.")
    known = {name: file["sha256"] for name, file in (results.facts.models | results.facts.extras).items()}
    parameters = {name: plain_value(row[name]) for name in results.parameters}
    if (chosen := parameters.get(".".join(VAE_PLACE))) in results.facts.extras:
        known[VAE_FILE] = known[chosen]
    experiment = Experiment.model_validate(results.settings)
    return merge_of_trial(experiment, parameters, known, files_from(models))
