"""The interface for notebooks and scripts: run an experiment or load its results; look at tables and images.

from gridsearch import load, run

night = run("experiments/toy.toml")     # or load("results/toy")
night.best["ratio"], night.trials, night.plot("defect")
"""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from gridsearch.app.live_report import LiveReport, write_results
from gridsearch.app.terminal import RunScreen, SilentListener
from gridsearch.base.errors import BadInput, Busy, GridsearchError, nearest
from gridsearch.base.pictures import open_picture
from gridsearch.experiment.experiment import Experiment, load_experiment, parse_experiment
from gridsearch.report.cells import Grid
from gridsearch.report.crossed import sheet_grid
from gridsearch.report.figures.figure import figures
from gridsearch.report.grid import build_grid
from gridsearch.report.page.html import fragment
from gridsearch.report.sheet.sheet import sheets
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.results import Results, load_results
from gridsearch.results.store import has_study
from gridsearch.results.store.paths import path_in
from gridsearch.search.budget import Budget, deadline

if TYPE_CHECKING:
    from gridsearch.search.listener import Listener


def load(folder: str | Path) -> "Run":
    """Return the results in a folder, finished or not. Renders nothing.

    Raises:
        BadInput: the folder holds no study.
    """
    results = load_results(Path(folder))
    return Run(results, analyse(results))


def run(
    experiment: str | Path | Mapping[str, Any] | Experiment,
    out: str | Path | None = None,
    trials: int | None = None,
    hours: float | None = None,
    until: str | None = None,
    progress: "bool | Listener" = True,
) -> "Run":
    """Run an experiment, or resume it where it stopped, as `gridsearch run` does.

    However it ends, tables and report are written, and the same call continues the run.

    Args:
        experiment: a .toml file, the same tables as a dict (its relative paths start at the working folder),
            or a loaded experiment.
        out: the results folder; None for results/<name>.
        trials: stop at this many completed trials.
        hours, until: start no trial that would end later; `until` is a time of day, "07:30".
        progress: True for a line per trial, False for none, or a listener of your own.

    Raises:
        BadInput: the experiment, a model, or the content of `out` does not fit. Nothing was written.
        RunFailed: another run is working in `out`, or too many trials failed.
    """
    from gridsearch.search.run import run_experiment

    file = Path("experiment.toml")  # as the report names one that was read from no file
    if isinstance(experiment, (str, Path)):
        file = Path(experiment)
        experiment = load_experiment(file)
    elif not isinstance(experiment, Experiment):
        experiment = parse_experiment(experiment, Path.cwd(), "the experiment")
    folder = Path("results") / experiment.name if out is None else Path(out)
    budget = Budget(trials, deadline(hours, until))
    with contextlib.ExitStack() as held:
        listener: Any = progress
        if isinstance(progress, bool):
            screen = held.enter_context(RunScreen() if progress else SilentListener())
            listener = held.enter_context(LiveReport(folder, screen))
        try:
            run_experiment(experiment, file, folder, budget, listener)
        except (BadInput, Busy):  # the run did not start
            raise
        except BaseException as error:  # also when the cell is interrupted
            try:
                if has_study(folder):
                    write_results(folder)
            except (GridsearchError, OSError) as failure:
                error.add_note(f"The report could not be made either: {failure}")
            raise
        write_results(folder)
    return load(folder)


@dataclass(frozen=True, repr=False)
class Run:
    """The results of a run and their analysis, as of when they were loaded."""

    results: Results
    answer: Answer

    @property
    def folder(self) -> Path:
        return self.results.folder

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial, as in trials.csv."""
        return self.results.trials.copy()

    @property
    def images(self) -> pd.DataFrame:
        """A row per image, as in images.csv, with the file's absolute `path`."""
        images = self.results.images
        paths = [path_in(self.folder.resolve(), name) for name in images["file"]]
        return images.assign(path=pd.Series(paths, index=images.index, dtype=object))

    @property
    def best(self) -> dict:
        """The answer as in best.json: ratio, survived, interval, window, recipe and the rest."""
        return best_dict(self.results, self.answer)

    @property
    def sentence(self) -> str:
        return self.answer.sentence

    def plot(self, kind: str = "verdicts") -> go.Figure:
        """Return one of the report's figures.

        Args:
            kind: verdicts, survived, defect, a metric such as contrast, or another figure of the report.

        Raises:
            BadInput: the report of this run has no such figure; the error names those that it has.
        """
        drawn = {one.id.removesuffix("-0"): one for one in figures(self.results, self.answer)}
        if not drawn:
            why = "a curve needs images at two ratios, and a number that was searched"
            fix = "Continue the run, or look at .trials."
            raise BadInput("There is no curve to plot.", where=self.folder, why=why, fix=fix)
        if kind not in drawn:
            fix = f"The nearest is {nearest(kind, drawn)!r}. Choose from {', '.join(drawn)}."
            raise BadInput(f"There is no figure {kind!r}.", where=self.folder, fix=fix)
        chosen = drawn[kind]
        figure = go.Figure(chosen.data, chosen.layout)
        return figure.update_layout(template="plotly_white", title={"text": chosen.title})

    def image(
        self,
        ratio: float | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        trial: int | None = None,
    ) -> Image.Image:
        """Return one image as it was rendered. Default: the best trial, the first prompt and seed.

        Args:
            ratio: the nearest rendered ratio is taken, and a warning tells it.
            prompt: its id, or words of it.
            trial: a trial's number, instead of a ratio.

        Raises:
            BadInput: there is no such image, or its file is gone.
        """
        ratios = None if ratio is None else [ratio]
        prompts = None if prompt is None else [prompt]
        grid = self._noted(build_grid(self.results, self.answer, ratios=ratios, prompts=prompts))
        columns = [column for group in grid.groups for column in group.columns if column.trial is not None]
        cases = [case.id for case in grid.cases if seed in (None, case.seed)]
        if trial is not None:
            columns = [column for column in columns if column.trial == trial]
        elif best := self.answer.best:
            columns.sort(key=lambda column: column.trial != best.trial)
        for column in columns:
            if picture := next(filter(None, map(column.pictures.get, cases)), None):
                path = path_in(self.folder, picture.file)
                if path is None:
                    why = "Its name leads out of the results folder."
                    raise BadInput("The image cannot be read.", where=picture.file, why=why)
                with open_picture(path) as image:
                    return image.convert("RGB")
        raise BadInput("There is no such image.", where=self.folder, fix="Choose one from .images.")

    def sheet(
        self,
        ratios: Sequence[float] | None = None,
        prompts: Sequence[str] | None = None,
        columns: str | None = None,
        rows: str | None = None,
    ) -> Image.Image:
        """Return the contact sheet, of all ratios and prompts or of those given.

        `columns` and `rows` name the searched values across and down, as in `gridsearch compare`.
        """
        grid = sheet_grid(
            self.results, self.answer, columns=columns, rows=rows, ratios=ratios, prompts=prompts
        )
        return next(sheets(self._noted(grid), self.results, self.answer))

    def _noted(self, grid: Grid) -> Grid:
        for note in grid.notes:
            warnings.warn(note, stacklevel=3)
        return grid

    def export(self, path: str | Path, trial: int | None = None, force: bool = False) -> Path:
        """Write the merge of the best trial, or of a given one, as a checkpoint with a log beside it.

        A file that is there already is replaced if it is a merge of the same files, or with `force`.

        Raises:
            BadInput: there is no such trial, a model has moved, or `path` cannot be written to.
        """
        from gridsearch.merge.export.export import export
        from gridsearch.merge.export.output import require_new_file
        from gridsearch.search.export import of_trial, trial_to_export

        output = Path(path)
        merge = of_trial(self.results, trial_to_export(self.results, self.answer, trial), ())
        require_new_file(output, merge, force)
        export(merge, output, SilentListener())
        return output

    def __repr__(self) -> str:
        return f"<Run {self.results.name} in {self.folder}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return fragment(self.results, self.answer)
