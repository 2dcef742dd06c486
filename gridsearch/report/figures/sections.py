"""The sections of the report that hold figures.

A figure is found by itself: every module of this folder may have a function `figures_of(shown)`, which yields
the figures that the run has. In a section they stand in the order of their modules' names.
"""

import importlib
import pkgutil
from collections.abc import Iterator

from gridsearch.base.words import parameter_text
from gridsearch.report import figures as folder
from gridsearch.report.figures.figure import Curves, Figure, Shown
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.trials import MANY_CURVES, curve_parameter_of, distinct_trials, split_slices
from gridsearch.results.results import Results

# Section -> its title and the sentence below it.
SECTIONS = {
    "along": ("Along the {axis}", ""),
    "certainty": (
        "How sure is it?",
        "The best {axis} depends on the prompts. This is what other prompts of the same kind could say.",
    ),
    "influence": ("What matters", ""),
}


def figures(results: Results, answer: Answer) -> list[Figure]:
    """Return all figures of the run; none where there is no curve yet, or no number was searched."""
    main = curve_parameter_of(results)
    if main is None or answer.best is None:
        return []
    shown = Shown(results, answer, parameter_text(main), _curves(results, answer))
    return [figure for figures_of in _sources() for figure in figures_of(shown)]


def sections(results: Results, answer: Answer) -> list[dict]:
    """Return the sections that have figures: `{title, about, along, figures}`."""
    found = figures(results, answer)
    axis = parameter_text(curve_parameter_of(results)) if found else ""
    all_of_them = [
        {
            "title": title.format(axis=axis),
            "about": about.format(axis=axis),
            "along": section == "along",
            "figures": [figure for figure in found if figure.section == section],
        }
        for section, (title, about) in SECTIONS.items()
    ]
    return [section for section in all_of_them if section["figures"]]


def _sources() -> Iterator:
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        figures_of = getattr(importlib.import_module(module.name), "figures_of", None)
        if figures_of:
            yield figures_of


def _curves(results: Results, answer: Answer) -> Curves:
    """Return the best slices, each with its trials; none where no two of them differ along the parameter."""
    if answer.projection:
        return []
    trials = {
        tuple(settings.items()): rows for settings, rows in split_slices(results, distinct_trials(results))
    }
    curves = [(found, trials[tuple(found.settings.items())]) for found in answer.slices[:MANY_CURVES]]
    return curves if max(rows["at"].nunique() for _, rows in curves) > 1 else []
