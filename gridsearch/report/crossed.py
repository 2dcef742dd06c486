"""A run's grid with two searched values as its axes, one across and one down, for each prompt and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import pandas as pd

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.base.words import (
    is_number,
    metric_text,
    parameter_labels,
    parameter_text,
    setting_text,
    setting_value_text,
    slice_text,
)
from gridsearch.report.cells import CaseRow, Grid, GridColumn, Group
from gridsearch.report.few import evenly
from gridsearch.report.grid import build_grid
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.identical import comparable
from gridsearch.results.analysis.trials import curve_parameter_of, is_partial, numeric_parameters
from gridsearch.results.results import Results

PROMPT = "prompt"  # the rows where no searched value goes down
FEWEST_VALUES = 3  # values of an axis that are shown of many: both ends and the best
FILLED = 0.5  # share of the pairs of values with images: fewer are scattered, and no grid


@dataclass(frozen=True)
class Axes:
    """The searched parameters across and down; prompts alone go down where there is none for it."""

    across: str
    down: str | None = None


def sheet_grid(
    results: Results,
    answer: Answer | None = None,
    *,
    columns: str | None = None,
    rows: str | None = None,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
    most: int | None = None,
) -> Grid:
    """Return the grid of a contact sheet: of these axes, or else of the usual ones.

    Args:
        columns, rows: names of searched values, as people or tables write them; `rows` may be "prompt".
        ratios, prompts, most: as for `grid.build_grid`.

    Raises:
        BadInput: no searched value has such a name, both are the same, or few of their pairs have images.
    """
    axes = _named_axes(results, columns, rows) if columns or rows else usual_axes(results)
    if axes is None or axes == Axes(curve_parameter_of(results) or ""):
        grid = build_grid(results, answer, ratios=ratios, prompts=prompts, most=most)
        return grid if ratios else _whole_trials(grid, results)
    whole = build_grid(results, answer, ratios=ratios, prompts=prompts)
    return _crossed(whole, results, axes, answer.best.trial if answer and answer.best else None, most)


def _whole_trials(grid: Grid, results: Results) -> Grid:
    """Return the grid without stopped trials, most of whose cells are empty; as it is where none is whole."""
    stopped = set(results.trials.loc[is_partial(results.trials), "trial"])
    kept = [replace(g, columns=tuple(c for c in g.columns if c.trial not in stopped)) for g in grid.groups]
    left = len(grid.columns) - sum(len(group.columns) for group in kept)
    if not left or not all(group.columns for group in kept):
        return grid
    note = f"{left} trials stopped early are left out." if left > 1 else "A trial stopped early is left out."
    return replace(grid, groups=tuple(kept), notes=(*grid.notes, note))


def usual_axes(results: Results) -> Axes | None:
    """Return the axes of a search over two numbers and nothing else, on a grid of both; None of another."""
    axes = two_numbers(results)
    return axes if axes and _filled(results.trials[results.trials["survived"].notna()], axes) else None


def two_numbers(results: Results) -> Axes | None:
    """Return the two numbers that were searched and nothing else, the main one across; None of others."""
    names = results.parameters
    if len(names) != 2 or set(numeric_parameters(results)) != set(names):
        return None
    tried = results.trials[results.trials["survived"].notna()]
    if min(tried[name].nunique() for name in names) < 2:
        return None
    return Axes(*sorted(names, key=lambda name: name != curve_parameter_of(results)))


def scattered_text(results: Results) -> str:
    """Return why two numbers are not the axes of their sheet; empty where they are, or of another search."""
    axes = two_numbers(results)
    if axes is None or axes.down is None or usual_axes(results):
        return ""
    tried = results.trials.dropna(subset="survived")[[axes.across, axes.down]].drop_duplicates()
    pairs = tried[axes.across].nunique() * tried[axes.down].nunique()
    both = f"{parameter_text(axes.across)} and {parameter_text(axes.down)}"
    said = f"{len(tried)} of the {pairs} pairs of {both} were tried, too few for a sheet with both as axes."
    return f'{said} A search with sampler = "grid" and steps tries every pair.'


def _filled(trials: pd.DataFrame, axes: Axes) -> bool:
    """Return whether most pairs of the two values have a trial."""
    pairs = trials[[axes.across, axes.down]].dropna().drop_duplicates()
    return len(pairs) >= FILLED * pairs[axes.across].nunique() * pairs[axes.down].nunique()


def _named_axes(results: Results, columns: str | None, rows: str | None) -> Axes:
    main = curve_parameter_of(results) or next(iter(results.parameters), None)
    if main is None:
        fix = "Leave out --columns and --rows."
        raise BadInput("No value was searched, so there are no axes.", where=results.folder, fix=fix)
    down = None if rows is None or rows.casefold() in (PROMPT, f"{PROMPT}s") else _named(results, rows)
    if columns is not None:
        across = _named(results, columns)
    else:
        across = main if main != down else next((n for n in results.parameters if n != down), main)
    if across == down:
        fix = "Name another one, or leave out --rows: then prompts go down."
        raise BadInput(f"{parameter_text(across)} is on both axes.", where=results.folder, fix=fix)
    return Axes(across, down)


def _named(results: Results, wanted: str) -> str:
    """Return the parameter of a name such as `render.cfg`, `cfg` or `IN04`."""
    labels = parameter_labels(results.parameters)
    for name, label in labels.items():
        if wanted.casefold() in (label.casefold(), parameter_text(name).casefold(), name.casefold()):
            return name
    fix = nearest_text(wanted, list(labels.values()))
    raise BadInput(f"No value called {wanted!r} was searched.", where=results.folder, fix=fix)


def _crossed(grid: Grid, results: Results, axes: Axes, best: int | None, most: int | None) -> Grid:
    """Return a grid's pictures along these axes, in a group for each set of the other values.

    The parents' own renders, which lie on no axis, stand beside the first row of each case.
    """
    names = [axes.across, *([axes.down] if axes.down else [])]
    trials = results.trials.set_index("trial")[list(results.parameters)].map(comparable)
    slices: dict[tuple, list[GridColumn]] = {}
    for column in grid.columns:
        if not column.is_reference:
            others = trials.loc[column.trial].drop(names)
            slices.setdefault(tuple(others.items()), []).append(column)
    shown = trials.loc[[column.trial for columns in slices.values() for column in columns]]
    if axes.down and not _filled(shown, axes):
        raise _scattered(shown, axes, results)
    kept, notes = _kept(shown, names, best, most and most // (len(grid.cases) * max(len(slices), 1)))
    downs = kept[axes.down] if axes.down else [None]
    rows = {(case.id, down): _row(case, axes, down) for case in grid.cases for down in downs}
    found = []
    for others, columns in slices.items():
        cells = {}
        for column in sorted(columns, key=lambda one: (one.trial == best, len(one.pictures))):
            here = trials.loc[column.trial]
            cells[here[axes.across], here[axes.down] if axes.down else None] = column  # the last one is shown
        made = [_column(cells, axes, across, rows, best) for across in kept[axes.across]]
        found.append(Group(_heading(axes, dict(others)), tuple(filter(None, made))))
    drawn = {name for group in found for column in group.columns for name in column.pictures}
    cases = tuple(row for row in rows.values() if row.id in drawn or not row.held_out)
    first = {case.id: rows[case.id, downs[0]].id for case in grid.cases}
    references = [_beside(group, first) for group in grid.groups if group.is_references]
    groups = (*references, *(group for group in found if group.columns))
    words = [parameter_text(name) for name in names]
    return Grid(cases, groups, (*grid.notes, *notes), *words)


def _scattered(trials: pd.DataFrame, axes: Axes, results: Results) -> BadInput:
    pair = (axes.across, axes.down or "")
    counts = " and ".join(f"{trials[name].nunique()} values of {parameter_text(name)}" for name in pair)
    return BadInput(
        "Few pairs of these values have images.",
        where=results.folder,
        why=f"The {len(trials)} trials are scattered over {counts}.",
        fix='Leave out --rows. A search with sampler = "grid" tries every pair.',
    )


def _kept(
    trials: pd.DataFrame, names: Sequence[str], best: int | None, most: int | None
) -> tuple[dict[str, list], list[str]]:
    """Return the values of each axis, of too many pairs the evenly spaced ones, and a note on each part."""
    values = {name: in_order(trials[name]) for name in names}
    counts = {name: len(of) for name, of in values.items()}
    while most is not None and prod(counts.values()) > most and max(counts.values()) > FEWEST_VALUES:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    notes = []
    for name, count in counts.items():
        all_of = values[name]
        at = trials.loc[best, name] if best in trials.index else None
        values[name] = [
            all_of[i] for i in evenly(len(all_of), count, all_of.index(at) if at in all_of else None)
        ]
        if count < len(all_of):
            said = f"{count} of {len(all_of)} values of {parameter_text(name)} are shown"
            notes.append(f"{said}, evenly spaced, with the best among them.")
    return values, notes


def in_order(values: pd.Series) -> list:
    """Return the distinct values: numbers ascending, words as they were first tried."""
    found = list(values.dropna().unique())
    return sorted(found) if all(map(is_number, found)) else found


def _heading(axes: Axes, others: Mapping[str, object]) -> str:
    down = f", {parameter_text(axes.down)} down" if axes.down else ""
    known = {name: value for name, value in others.items() if not pd.isna(value)}
    return ", ".join(filter(None, (slice_text(known), f"{parameter_text(axes.across)} across{down}")))


def _row(case: CaseRow, axes: Axes, down: object) -> CaseRow:
    return replace(case, setting=setting_text(axes.down, down)) if axes.down else case


def _column(
    cells: Mapping[tuple, GridColumn],
    axes: Axes,
    across: object,
    rows: Mapping[tuple, CaseRow],
    best: int | None,
) -> GridColumn | None:
    """Return the column of a value across, with the pictures of all trials that have it; None without any."""
    trials = {down: column for (at, down), column in cells.items() if at == across}
    heading = setting_value_text(axes.across, across)
    if not axes.down:
        return next((replace(one, heading=heading, best=one.trial == best) for one in trials.values()), None)
    pictures = {
        row.id: replace(picture, best=trials[down].trial == best)
        for (case, down), row in rows.items()
        if down in trials and (picture := trials[down].pictures.get(case))
    }
    if not pictures:
        return None
    sound = sum(one.verdict == "ok" for one in pictures.values())
    defect = sum(one.defect for one in pictures.values()) / len(pictures)
    over = f" over all {parameter_text(axes.down)}" if len(trials) > 1 else ""
    detail = f"{sound}/{len(pictures)} ok{over}", f"defect {metric_text(round(defect, 2))}"
    return GridColumn(
        heading, detail, sound / len(pictures), pictures, trial=next(iter(trials.values())).trial
    )


def _beside(group: Group, places: Mapping[str, str]) -> Group:
    """Return the references with their pictures at these rows, and no word on the others."""
    columns = []
    for column in group.columns:
        pictures = {places[case]: picture for case, picture in column.pictures.items() if case in places}
        columns.append(replace(column, pictures=pictures, missing=("", "")))
    return replace(group, columns=tuple(columns))
