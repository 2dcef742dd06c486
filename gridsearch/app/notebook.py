"""For notebooks and scripts: run an experiment or load its results, and look at them as tables and pictures.

from gridsearch import load, run

night = run("experiments/toy.toml")     # or load("results/toy")
night.best["ratio"], night.trials, night.plot("defect")
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from gridsearch.base.errors import BadInput, Busy, GridsearchError, nearest
from gridsearch.base.pictures import open_picture
from gridsearch.experiment.experiment import Experiment, load_experiment, parse_experiment
from gridsearch.report.build import build
from gridsearch.report.figures.figure import Figure
from gridsearch.report.figures.sections import figures
from gridsearch.report.grid import Column, Picture, build_grid
from gridsearch.report.page.fragment import fragment
from gridsearch.report.sheet.sheet import contact_sheet
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.results import Results
from gridsearch.results.store import has_study
from gridsearch.results.store.paths import within
from gridsearch.results.tables import load_results
from gridsearch.search.loop import deadline

if TYPE_CHECKING:
    from gridsearch.search.run import Listener

VERDICTS = "verdicts"  # short for those of the best curve


def load(folder: str | Path) -> "Run":
    """The results in a folder, finished or not; renders nothing.

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

    However it ends, tables and report are written of what there is, and the same call goes on from there.

    Args:
        experiment: a .toml file, the same tables as a dict (relative paths in it start at the working
            folder), or an experiment that is read already.
        out: the results folder; results/<name> where None.
        trials: stop at this many completed trials.
        hours, until: start no trial that would end later; `until` is a time of day, "07:30".
        progress: a line for each trial, or none, or a listener of your own.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    read, file = _experiment(experiment)
    folder = Path("results") / read.name if out is None else Path(out)
    end = deadline(hours, until)
    with _listening(progress, folder) as listener:
        _run(read, file, folder, trials, end, listener)
    return load(folder)


@contextlib.contextmanager
def _listening(progress: Any, folder: Path) -> Iterator[Any]:
    """Who listens to the run: the command line's own lines and live report, or whoever was given."""
    from gridsearch.app.cli.live_report import LiveReport
    from gridsearch.app.cli.silent import Silent
    from gridsearch.app.cli.terminal import RunScreen

    if not isinstance(progress, bool):
        yield progress
        return
    with RunScreen() if progress else Silent() as screen, LiveReport(folder, screen) as live:
        yield live


def _experiment(given: str | Path | Mapping[str, Any] | Experiment) -> tuple[Experiment, Path]:
    """The experiment, and its file as the report names it."""
    if isinstance(given, (str, Path)):
        return load_experiment(Path(given)), Path(given)
    unsaved = Path("experiment.toml")
    if isinstance(given, Experiment):
        return given, unsaved
    return parse_experiment(given, Path.cwd(), "the experiment"), unsaved


def _run(
    experiment: Experiment, file: Path, out: Path, trials: int | None, end: float | None, listener: Any
) -> None:
    from gridsearch.search.loop import Budget
    from gridsearch.search.run import run as run_experiment

    try:
        run_experiment(experiment, file, out, Budget(trials, end), listener)
    except (BadInput, Busy):  # it did not start
        raise
    except BaseException as error:  # a cell that is interrupted, too
        try:
            _write_what_there_is(out)
        except (GridsearchError, OSError) as failure:
            error.add_note(f"Nor could the report be made: {failure}")
        raise
    _write_what_there_is(out)


def _write_what_there_is(out: Path) -> None:
    if has_study(out) and len((results := load_results(out)).images):
        build(results)


class Unheard:
    """Is told how far an export is, and does not care."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return lambda _: None

    writing = hashing


@dataclass(frozen=True, repr=False)
class Run:
    """What a run left behind, and what follows from it, as of when it was loaded.

    Attributes:
        results: everything as tables; see `gridsearch.results.results.Results`.
        answer: what was found; see `gridsearch.results.analysis.answer.Answer`.
    """

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
        """A row per image, as in images.csv, and `path`: where it lies."""
        images = self.results.images
        paths = [within(self.folder.resolve(), name) for name in images["file"]]
        return images.assign(path=pd.Series(paths, index=images.index, dtype=object))

    @property
    def best(self) -> dict:
        """The answer as in best.json: ratio, survived, interval, window, recipe and the rest."""
        return best_dict(self.results, self.answer)

    @property
    def sentence(self) -> str:
        return self.answer.sentence

    def plot(self, kind: str = VERDICTS) -> go.Figure:
        """One of the report's figures.

        Args:
            kind: verdicts, survived, defect, contrast, clipped, blur, noise, or another that the report has.

        Raises:
            BadInput: the report of this run has no such figure; the error names those it has.
        """
        drawn = {one.id.removesuffix("-0"): one for one in self._figures()}
        if kind not in drawn:
            fix = f"The nearest is {nearest(kind, drawn)!r}; there are {', '.join(drawn)}."
            raise BadInput(f"There is no figure {kind!r}.", where=self.folder, fix=fix)
        chosen = drawn[kind]
        figure = go.Figure(chosen.data, chosen.layout)
        return figure.update_layout(template="plotly_white", title={"text": chosen.title})

    def _figures(self) -> list[Figure]:
        if drawn := figures(self.results, self.answer):
            return drawn
        raise BadInput(
            "There is no curve to plot.",
            where=self.folder,
            why="it takes two ratios with images, or no number was searched",
            fix="Run it further, or look at .trials.",
        )

    def image(
        self,
        ratio: float | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        trial: int | None = None,
    ) -> Image.Image:
        """One picture as it was drawn; of the best trial, and of the first prompt and seed, unless told.

        Args:
            ratio: the nearest rendered one.
            prompt: its id, or words of it.
            trial: a trial's number, in the place of a ratio.

        Raises:
            BadInput: there is no such picture, or its file is gone.
        """
        ratios, prompts = (None if one is None else [one] for one in (ratio, prompt))
        grid = build_grid(self.results, self.answer, ratios=ratios, prompts=prompts)
        columns = [column for group in grid.groups for column in group.columns if column.trial is not None]
        cases = [case.id for case in grid.cases if seed in (None, case.seed)]
        for column in _first_of(columns, trial, None if self.answer.best is None else self.answer.best.trial):
            if picture := next(filter(None, map(column.pictures.get, cases)), None):
                return self._opened(picture)
        raise BadInput("There is no such picture.", where=self.folder, fix="Choose one of .images.")

    def _opened(self, picture: Picture) -> Image.Image:
        path = within(self.folder, picture.file)
        if path is None:
            why = "Its name leads out of the results folder."
            raise BadInput("The picture cannot be read.", where=picture.file, why=why)
        with open_picture(path) as image:
            return image.convert("RGB")

    def sheet(
        self, ratios: Sequence[float] | None = None, prompts: Sequence[str] | None = None
    ) -> Image.Image:
        """The contact sheet, of chosen ratios and prompts or of all."""
        return contact_sheet(self.results, self.answer, ratios=ratios, prompts=prompts)

    def export(self, path: str | Path, trial: int | None = None) -> Path:
        """Write the merge of the best, or of a named, trial as a checkpoint, with a log beside it.

        Raises:
            BadInput: no such trial, a model is not where it was, or `path` cannot be written to.
        """
        from gridsearch.merge.export.export import export
        from gridsearch.merge.export.fixed import require_new_file
        from gridsearch.search.export import of_trial, trial_to_export

        output = Path(path)
        merge = of_trial(self.results, trial_to_export(self.results, self.answer, trial), ())
        require_new_file(output, merge)
        export(merge, output, Unheard())
        return output

    def __repr__(self) -> str:
        return f"<Run {self.results.name} in {self.folder}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return fragment(self.results, self.answer)


def _first_of(columns: Sequence[Column], trial: int | None, best: int | None) -> list[Column]:
    """The columns of a trial where one is named; or else all, the best first."""
    if trial is not None:
        return [column for column in columns if column.trial == trial]
    return sorted(columns, key=lambda column: column.trial != best)
