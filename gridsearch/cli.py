"""The command line. Heavy packages are imported inside the command that needs them."""

import os
import sys
from pathlib import Path
from typing import Annotated

# Idle threads must sleep: spinning ones make a small model ten times slower on a busy machine.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# transformers says at every import that torchvision is missing; nothing here needs it.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import typer

from gridsearch import __version__, terminal
from gridsearch.deadline import deadline
from gridsearch.errors import BadInput, GridsearchError, RunFailed
from gridsearch.units import size

app = typer.Typer(
    name="gridsearch",
    help="Find, overnight, the ratio at which SDXL checkpoints should be merged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", help="The experiment file.")]
ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]
ModelFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME=FILE", help="A model or adapter that is elsewhere now (may be given again)."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")]


def main() -> None:
    """Run the program; a named error becomes one to four lines and its exit code."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]  # wherever it stands
    try:
        app()
    except GridsearchError as error:
        if debug:
            raise
        terminal.show_error(error)
        sys.exit(error.exit_code)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of named errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=lambda on: _version(on)),
    ] = False,
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"gridsearch {__version__}")
        raise typer.Exit


# -- before the run


@app.command(epilog="Example: gridsearch plan experiments/toy.toml --time")
def plan(
    experiment_file: ExperimentFile,
    out: Annotated[Path | None, typer.Option(help="The results folder. Default: results/<name>.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Draw one image, to know how long it takes.")] = False,
) -> None:
    """Check everything that can be checked without rendering, and say what the run will do."""
    experiment = _checked(experiment_file)
    with terminal.Progress() as progress:
        progress.loading()
        from gridsearch.plan import make_plan

        made = make_plan(experiment, out or _default_folder(experiment.name), time, progress)
    terminal.show_plan(made)


@app.command(epilog="Example: gridsearch inspect models/*.safetensors")
def inspect(checkpoints: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...")]) -> None:
    """Say what a checkpoint file or a diffusers folder is: layout, dtypes, prediction type, hashes, metadata.

    Where the prediction type was read is said too, and what says otherwise.
    """
    from gridsearch.inspection import cut, described, open_any

    opened = [open_any(path) for path in checkpoints]
    with terminal.Progress() as progress:
        for checkpoint in opened:
            terminal.show_checkpoint(cut(str(checkpoint.path)), described(checkpoint, progress.hashing))


# -- the run


@app.command(epilog="Example: gridsearch run experiments/toy.toml --until 07:30")
def run(
    experiment_file: ExperimentFile,
    out: Annotated[Path | None, typer.Option(help="The results folder. Default: results/<name>.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Start no trial that would end later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="HH:MM", help="The same as a time of day.")] = None,
) -> None:
    """Run an experiment, or resume it where it stopped."""
    experiment = _checked(experiment_file)
    out = out or _default_folder(experiment.name)
    end = deadline(hours, until)

    with terminal.Progress() as progress:
        progress.loading()
        from gridsearch.search.loop import Budget
        from gridsearch.search.run import run as run_experiment

        try:
            run_experiment(experiment, experiment_file, out, Budget(trials, end), progress)
        except KeyboardInterrupt:
            progress.stop()
            _write_what_there_is(out)
            terminal.say("Stopped. Every finished trial is kept; the same command goes on from here.")
            raise typer.Exit(1) from None
        except RunFailed:
            progress.stop()
            _write_what_there_is(out)
            raise
    _write_what_there_is(out)


def _checked(experiment_file: Path):
    """The experiment, if its files fit: what is wrong with them is said before anything heavy is imported."""
    from gridsearch.experiment import load_experiment
    from gridsearch.parents import open_parents, require_mode

    experiment = load_experiment(experiment_file)
    require_mode(experiment, open_parents(experiment))
    return experiment


def _write_what_there_is(out: Path) -> None:
    """Tables and report also of a run that was stopped, where it got as far as a trial."""
    from gridsearch.report.build import build
    from gridsearch.report.tables import load_results
    from gridsearch.store import has_study

    if not has_study(out):
        return
    results = load_results(out)
    if results.images.empty:
        terminal.say("No trial is complete yet.")
    else:
        terminal.show_answer(results, build(results))


def _default_folder(name: str) -> Path:
    return Path("results") / name


# -- after the run


@app.command(epilog="Example: gridsearch report results/toy")
def report(folder: ResultsFolder) -> None:
    """Make tables, sheet and report again from what is stored; renders nothing."""
    from gridsearch.report.tables import load_results

    load_results(folder)  # says what is wrong with the folder before anything is written
    _write_what_there_is(folder)


@app.command(
    epilog="Examples: gridsearch score results/toy    gridsearch score results/toy --experiment new.toml    "
    "gridsearch score a.png b.png --reference good.png    "
    "gridsearch score xyz_grid-*.jpg --reference 0 --csv scores.csv"
)
def score(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR | IMAGE...", help="A results folder; or images, and folders of them."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE | COLUMN",
            help="What healthy looks like: an image, or a column of each X/Y/Z grid, from 0 at the left.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the scores to this file.")] = None,
    experiment: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPERIMENT.toml",
            help="Of a run: score it from now on as this file says under score. Default: as it was.",
        ),
    ] = None,
) -> None:
    """Score a run's stored images again, or any images; renders nothing.

    A file named xyz_grid-* as AUTOMATIC1111 names its X/Y/Z grids is cut into its cells first, which are
    numbered by row and column from 0 at the top left.
    """
    from gridsearch.store import has_study

    if len(paths) == 1 and has_study(paths[0]):
        _score_again(paths[0], reference, csv, experiment)
    elif experiment:
        raise BadInput(
            "--experiment says how to score a run again.",
            where=paths[0],
            fix="Name one results folder, or leave it out.",
        )
    else:
        _score_files(paths, reference, csv)


def _score_again(folder: Path, reference: str | None, csv: Path | None, experiment_file: Path | None) -> None:
    if reference or csv:
        raise BadInput(
            "A run has its own references and tables.", where=folder, fix="Leave out --reference and --csv."
        )
    from gridsearch.experiment import load_experiment
    from gridsearch.rescore import rescore

    scoring = load_experiment(experiment_file).score if experiment_file else None
    with terminal.Progress() as progress:
        notes = rescore(folder, progress.counting, scoring)
    for note in notes:
        terminal.show_note(note)
    report(folder)


def _score_files(paths: list[Path], reference: str | None, csv: Path | None) -> None:
    from gridsearch.files import write_atomic
    from gridsearch.score_files import ERROR, files_of, read_reference, score_files
    from gridsearch.spreadsheet import to_csv

    files = files_of(paths)
    with terminal.Progress() as progress:
        scored = score_files(files, read_reference(reference), progress.counting)
    terminal.show_scores(scored.table)
    for note in scored.notes:
        terminal.show_note(note)
    if csv:
        write_atomic(csv, to_csv(scored.table))
    bad = int((scored.table["verdict"] == ERROR).sum())
    if bad:
        raise BadInput(f"{bad} of {len(files)} files could not be scored; the table says why.")


@app.command(epilog="Example: gridsearch compare results/toy --ratios 0.4 --ratios 0.6 -o sheet.png")
def compare(
    folder: ResultsFolder,
    ratios: Annotated[
        list[float] | None, typer.Option(help="Only these ratios (may be given again).")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="Only prompts with this id or text.")] = None,
    output: Output = Path("sheet.png"),
) -> None:
    """Make a contact sheet: prompts down, ratios across."""
    from gridsearch.report.analysis import analyse
    from gridsearch.report.build import write_png
    from gridsearch.report.sheet import contact_sheet
    from gridsearch.report.tables import load_results

    results = load_results(folder)
    _require_images(results)
    write_png(contact_sheet(results, analyse(results), ratios=ratios, prompts=prompts), output)
    terminal.say(f"Wrote {output}.")


def _require_images(results) -> None:
    if results.images.empty:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")


# -- merged checkpoints


@app.command(
    epilog="Examples: gridsearch merge experiments/toy.toml --ratio 0.6 -o merged.safetensors    "
    "gridsearch merge best.merge.json -o again.safetensors    "
    "gridsearch merge best.safetensors --model a=a.safetensors --model b=b.safetensors -o again.safetensors"
)
def merge(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An experiment (.toml), a merge log (.merge.json), a merged checkpoint (.safetensors), or a "
            "recipe of sd-mecha (.mecha).",
        ),
    ],
    output: Output,
    ratio: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]VALUE", help="What is searched, one by one: a step's ratio or a parameter."
        ),
    ] = None,
    prediction_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="epsilon or v_prediction, where the source leaves it open."),
    ] = None,
    model: ModelFiles = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Component configs of another size than SDXL's, for adapters."),
    ] = None,
) -> None:
    """Make one merge, without a search: of an experiment, or one that was made before, byte for byte.

    With -o NAME.mecha the recipe is written for sd-mecha, and nothing is merged.
    """
    from gridsearch.replay import open_merge

    _write_merge(open_merge(source, ratio or [], prediction_type, model or [], config), output)


@app.command(epilog="Example: gridsearch export results/toy -o best.safetensors")
def export(
    folder: ResultsFolder,
    output: Output,
    trial: Annotated[int | None, typer.Option(help="A trial's number. Default: the best.")] = None,
    model: ModelFiles = None,
) -> None:
    """Write the merge of the best, or of a named, trial as a checkpoint, with a log beside it.

    With -o NAME.mecha the recipe is written for sd-mecha, and nothing is merged.
    """
    from gridsearch.report.analysis import analyse
    from gridsearch.report.tables import load_results

    results = load_results(folder)
    _require_images(results)
    best = analyse(results).best
    if best is None and trial is None:
        raise BadInput(
            "Every trial so far was stopped, so that none is the best.",
            where=folder,
            fix="Name one with --trial, or run it further.",
        )
    number = best.trial if trial is None else trial
    if number not in set(results.trials["trial"]):
        raise BadInput(
            f"There is no trial {number}.", where=folder, fix=f"Trials are 0 to {len(results.trials) - 1}."
        )
    from gridsearch.replay import of_trial

    _write_merge(of_trial(results, number, model or []), output)


def _write_merge(fixed, output: Path) -> None:
    from gridsearch.fixed import require_new_file
    from gridsearch.replay import write_recipe

    require_new_file(output, fixed)
    if output.suffix == ".mecha":
        write_recipe(fixed, output)
        terminal.say(f"Wrote {output}, a recipe for sd-mecha; nothing is merged.")
        return
    with terminal.Progress() as progress:
        progress.loading()
        from gridsearch.exporting import export as write
        from gridsearch.exporting import log_path

        sha256 = write(fixed, output, progress)
    terminal.say(f"Wrote {output} ({size(output.stat().st_size)}, SHA-256 {sha256}).")
    terminal.say(f"How it was made, and can be again: {log_path(output)}.")


if __name__ == "__main__":
    main()
