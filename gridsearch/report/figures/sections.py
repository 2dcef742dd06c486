"""The sections of the report that hold figures.

Every module of this folder may add figures, with a function from the run to figures that is decorated with
`adds_figures`. In a section they stand in the order of their modules' names.
"""

import importlib
import pkgutil

from gridsearch.base.words import parameter_text
from gridsearch.report import figures as folder
from gridsearch.report.figures.figure import FIGURES, Curves, Figure, Shown
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
    shown = Shown(results, answer, answer.best, parameter_text(main), _curves(results, answer))
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        importlib.import_module(module.name)
    sources = sorted(FIGURES, key=lambda function: function.__module__)
    return [figure for function in sources for figure in function(shown)]


def sections(results: Results, answer: Answer) -> list[dict]:
    """Return the sections that have figures: `{title, about, along, figures}`."""
    found = figures(results, answer)
    axis = parameter_text(curve_parameter_of(results) or "trial")
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


def _curves(results: Results, answer: Answer) -> Curves:
    """Return the best slices, each with its trials; none where no two of them differ along the parameter."""
    if answer.projection:
        return []
    trials = {
        tuple(settings.items()): rows for settings, rows in split_slices(results, distinct_trials(results))
    }
    curves = [(found, trials[tuple(found.settings.items())]) for found in answer.slices[:MANY_CURVES]]
    return curves if max(rows["at"].nunique() for _, rows in curves) > 1 else []
