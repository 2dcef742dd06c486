"""A run that is finished already: its answer, told from what is stored, before anything heavy is imported."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridsearch.app import terminal
from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object

if TYPE_CHECKING:
    from gridsearch.experiment.experiment import Experiment

MOST_BEST = 4_000_000  # bytes of best.json


def told_as_finished(experiment: "Experiment", folder: Path, quiet: bool) -> bool:
    """Tell the stored answer of a run of this very experiment that has nothing left to do; else False.

    Where anything is not as it was, it is False too: the run itself looks at what has changed.
    """
    best = _stored_answer(experiment, folder)
    if best is None:
        return False
    if quiet:
        terminal.say(best["sentence"])
    else:
        terminal.say("This run is finished: nothing is left to render.")
        terminal.show_headline(best["sentence"])
        terminal.show_next(folder, best.get("file", "best.safetensors"))
    return True


def _stored_answer(experiment: "Experiment", folder: Path) -> dict[str, Any] | None:
    from gridsearch.results import store

    file = folder / "best.json"
    try:
        if not file.is_file() or not store.has_study(folder):
            return None
        stored, best = store.read_study(folder), read_json_object(file, MOST_BEST, "file")
        written = file.stat().st_mtime
        read = [path for model in experiment.models.values() for path in model.paths]
        read += [*experiment.adapters.values(), *map(Path, experiment.vae_files())]
        changed = any(path.stat().st_mtime > written for path in read)
    except (BadInput, OSError):
        return None
    waiting = any(not trial.state.is_finished() for trial in (*stored.trials, *stored.checks))
    same = stored.facts.experiment == experiment.model_dump(mode="json")
    is_whole = bool(stored.done and stored.checks) and (folder / "report.html").is_file()
    return best if is_whole and same and not waiting and not changed and best.get("finished") else None
