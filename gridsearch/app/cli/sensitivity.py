"""The command `sensitivity`: which searched ratios matter, known before anything of a search is drawn."""

from dataclasses import replace
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import ExperimentFile, command, load_checked
from gridsearch.app.cli.pool import CsvFile, write_csv

Draw = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Also draw N images each of two merges per ratio, it alone a quarter of its range up and down.",
    ),
]


@command(
    "sensitivity",
    "gridsearch sensitivity blocks.toml",
    "gridsearch sensitivity blocks.toml --csv blocks.csv",
    "gridsearch sensitivity blocks.toml --draw 4",
)
def sensitivity_command(experiment_file: ExperimentFile, csv: CsvFile = None, draw: Draw = 0) -> None:
    """Show what each searched ratio does to a merge, and which are worth searching.

    Eight references are drawn, and merges are asked for them under noise, as by the probe of a search. One
    gradient of the UNet then tells for all blocks at once how the answer changes with their ratios.
    """
    from gridsearch.app.processes import modules_loading

    with terminal.ProgressBar() as progress, modules_loading():
        experiment, folder = load_checked(experiment_file, None)
        progress.loading()
        from gridsearch.merge.parents import open_parents
        from gridsearch.results.analysis.sensitivity import map_of
        from gridsearch.search.trial.sensitivity import (
            ask_models,
            drawn_strengths,
            probe_blocks,
            searched_ratios,
        )
        from gridsearch.search.trial.setup import load_setup

        searched_ratios(experiment)
        setup = load_setup(experiment, open_parents(experiment), folder, progress)
        found = map_of(probe_blocks(setup, ask_models(setup)))
        assert found is not None  # it has its slopes
        if draw:
            drawn = drawn_strengths(setup, found.share, setup.cases[:draw])
            found = replace(found, ratios=tuple(replace(one, drawn=drawn[one.name]) for one in found.ratios))
    if csv:
        write_csv(csv, found.rows())
    terminal.show_sensitivity(found)
