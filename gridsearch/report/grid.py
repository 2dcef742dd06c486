"""The grid of a run's images, prompts down and ratios across, for the sheet and the report alike."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.base.words import (
    metric_text,
    one_line,
    parameter_text,
    prompt_label,
    prompt_labels,
    setting_text,
    slice_text,
    value_text,
)
from gridsearch.render.cases import case_id
from gridsearch.report.cells import CaseRow, Grid, GridColumn, Group, Picture, StopPoint
from gridsearch.report.few import evenly
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import curve_parameter_of, is_projection, ranked, split_slices
from gridsearch.results.results import Results

MOST_HEADING = 2  # values in a column's heading; of more, the trial's number stands for them
RANKED = "trials, the best first"
OF_A_PICTURE = (
    *("prompt_id", "seed", "file", "verdict", "reason", "defect", "film", "blur", "noise"),
    *("stopped", "stopped_because", "unet_calls", "unet_calls_saved"),
)
MOST_CELLS = 5_000  # of the report's grid and of the sheets: a page under 25 MB


def build_grid(
    results: Results,
    answer: Answer | None = None,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
    most: int | None = None,
) -> Grid:
    """Return the grid of everything rendered so far, references first.

    Args:
        most: cells that are shown at most: of more, evenly spaced trials with the best of each slice among
            them, which a note tells; None for all.
        ratios: show only these, each the nearest rendered one, which a note tells; None for all.
        prompts: show only prompts with one of these ids, or with one of these texts in them.

    Raises:
        BadInput: nothing is rendered yet, no rendered ratio is near one of these or none names a trial, or no
            prompt matches.
    """
    cases = _cases(results, prompts)
    trials = results.trials[results.trials["trial"].isin(results.images["trial"].unique())]
    slices = split_slices(results, trials)
    if not cases or not (slices or len(results.references)):
        fix = "Let the run finish a trial first."
        raise BadInput("There are no images to show yet.", where=results.folder, fix=fix)
    answers = {tuple(found.settings.items()): found for found in answer.slices} if answer else {}
    name = parameter_text(curve_parameter_of(results) or "trial")
    references = _references(results.references)
    groups = [Group("references", references)] if references else []
    projected, places = is_projection(results), set[float]()
    if projected and ratios is not None:
        what = "Many values were searched at once, so no ratio names a trial."
        raise BadInput(what, where=results.folder, fix="Leave out the ratios.")
    chosen = []
    for settings, rows in slices:
        found = answers.get(tuple(settings.items()))
        rows = ranked(rows) if projected else _one_per_place(rows, found)
        rows = rows if ratios is None else _chosen(rows, ratios, results)
        if len(rows):
            chosen.append((settings, rows, found))
            places |= {*rows["at"]}
    count = sum(len(rows) for _, rows, _ in chosen)
    notes = [*_notes(ratios or (), places)]
    if most is not None and count * len(cases) > most:
        chosen = _parts(chosen, max(most // len(cases), 1), count, projected)
        notes.append(_left_out(sum(len(rows) for _, rows, _ in chosen), count, projected))
    for settings, rows, found in chosen:
        heading = RANKED if projected else slice_text(settings) or name
        groups.append(Group(heading, _columns(rows, results, found, projected), projected))
    return Grid(cases, tuple(groups), tuple(notes), "trial" if projected else "")


_Part = tuple[dict, pd.DataFrame, Slice | None]  # a slice's settings, its trials, and its answer


def _parts(slices: Sequence[_Part], most: int, count: int, projected: bool) -> list[_Part]:
    """Return about `most` of so many trials, of each slice its share; of too many slices the best ones."""
    if projected:
        return [(settings, rows.iloc[:most], found) for settings, rows, found in slices]
    ranked = sorted(slices, key=lambda part: -part[2].survived if part[2] else 0.0)[:most]
    kept = []
    for settings, rows, found in (part for part in slices if any(part is one for one in ranked)):
        best = next((i for i, trial in enumerate(rows["trial"]) if found and trial == found.trial), None)
        share = max(most * len(rows) // count, 3)  # both ends and the best
        kept.append((settings, rows.iloc[evenly(len(rows), share, best)], found))
    return kept


def _left_out(shown: int, count: int, projected: bool) -> str:
    everything = "All images are in images.csv and in the folder images"
    if projected:
        return f"The best {shown:,} of {count:,} trials are shown. {everything}."
    return (
        f"{shown:,} of {count:,} columns are shown, evenly spaced, with the best among them. "
        f"{everything}; `gridsearch compare` shows those of any ratio."
    )


def _notes(ratios: Sequence[float], places: Collection[float]) -> Iterator[str]:
    for ratio in ratios:
        shown = min(places, key=lambda place: abs(place - ratio))
        if not math.isclose(shown, ratio, abs_tol=1e-9):
            asked, there = value_text(ratio), value_text(shown)
            yield f"No image is rendered at {asked}; the nearest, {there}, is shown."


def _cases(results: Results, prompts: Sequence[str] | None) -> tuple[CaseRow, ...]:
    """Return the cases with images or references in the experiment's order, held-out ones last."""
    held_out = results.checks_of("held_out")
    apart = {*results.facts.held_out, *held_out["prompt_id"]}
    rows = pd.concat([results.references, results.images, held_out])
    if rows.empty:
        return ()
    rows = rows.drop_duplicates(["prompt_id", "seed"])
    order = {str(prompt.get("id")): i for i, prompt in enumerate(results.settings.get("prompt", []))}
    labels = prompt_labels(rows["prompt"].unique())
    found = zip(rows["prompt_id"], rows["prompt"], rows["seed"], strict=True)
    cases = [
        CaseRow(str(name), prompt_label(prompt), int(seed), name in apart, labels[prompt])
        for name, prompt, seed in found
    ]
    cases.sort(key=lambda case: (case.held_out, order.get(case.prompt_id, len(order))))
    if prompts is None:
        return tuple(cases)
    missing = [wanted for wanted in prompts if not any(_matches(case, wanted) for case in cases)]
    if missing:
        ids = ", ".join(dict.fromkeys(case.prompt_id for case in cases))
        fix = f"Use one of {ids}, or words from a prompt."
        raise BadInput(f"No prompt matches {missing[0]!r}.", where=results.folder, fix=fix)
    return tuple(case for case in cases if any(_matches(case, wanted) for wanted in prompts))


def _matches(case: CaseRow, wanted: str) -> bool:
    return wanted == case.prompt_id or one_line(wanted).casefold() in case.prompt.casefold()


def _one_per_place(trials: pd.DataFrame, found: Slice | None) -> pd.DataFrame:
    """Return one trial per place on the curve: the recommended one, else a complete one, else the latest."""
    ranks = {"best": trials["trial"] == (found and found.trial), "complete": trials["state"] == "COMPLETE"}
    ordered = trials.assign(**ranks).sort_values(["at", *ranks, "trial"])
    return ordered.drop_duplicates("at", keep="last")


def _chosen(trials: pd.DataFrame, ratios: Sequence[float], results: Results) -> pd.DataFrame:
    """Return the rendered places nearest to these ratios, within half a usual step and 5% of the range."""
    places = trials["at"].to_numpy()
    span = float(np.ptp(places)) or 1.0
    step = float(np.median(np.diff(places))) if len(places) > 1 else span
    nearest = []
    for ratio in ratios:
        at = int(np.abs(places - ratio).argmin())
        if abs(places[at] - ratio) > min(step / 2, 0.05 * span) + 1e-9:
            rendered = ", ".join(value_text(place) for place in places)
            what, fix = f"No rendered ratio is near {value_text(ratio)}.", f"Use one of {rendered}."
            raise BadInput(what, where=results.folder, fix=fix)
        nearest.append(at)
    return trials.iloc[sorted(set(nearest))]


def _columns(
    trials: pd.DataFrame, results: Results, found: Slice | None, projected: bool
) -> tuple[GridColumn, ...]:
    images = dict(list(results.images[results.images["trial"].isin(trials["trial"])].groupby("trial")))
    held_out = dict(list(results.checks_of("held_out").groupby("trial")))
    searched = curve_parameter_of(results) is not None and not projected
    window = found.window if found else None
    columns = []
    for _, row in trials.iterrows():
        trial, own = row["trial"], images[row["trial"]]
        unfinished = {"COMPLETE": "", "PRUNED": ", stopped"}.get(row["state"], " …")
        sound = own["verdict"] == "ok"
        defect = metric_text(round(float(own["defect"].mean()), 2))
        column = GridColumn(
            heading=_heading(row, results, projected) if projected or searched else str(trial),
            detail=(f"{sound.sum()}/{len(own)} ok{unfinished}", f"defect {defect}"),
            value=float(row["at"]) if searched else None,
            trial=int(trial),
            survived=float(sound.mean()),
            best=found is not None and found.trial == trial and found.survived > 0,
            alive=projected or (window is not None and window.low.inside <= row["at"] <= window.high.inside),
            pictures=_pictures(own) | (_pictures(held_out[trial]) if trial in held_out else {}),
            missing=_missing(row),
        )
        columns.append(column)
    return tuple(columns)


def _heading(trial: pd.Series, results: Results, projected: bool) -> str:
    """Return the main parameter's value, with another that changes too as `0.55 / cfg 5`; or the trial."""
    if not projected:
        return value_text(trial["at"])
    names = [name for name in results.parameters if pd.notna(trial[name])]
    if len(names) > MOST_HEADING:
        return str(trial["trial"])
    names.sort(key=lambda name: name != curve_parameter_of(results))
    first, *rest = names
    return " / ".join([value_text(trial[first]), *(setting_text(name, trial[name]) for name in rest)])


def _missing(trial: pd.Series) -> tuple[str, str]:
    """Return why a trial lacks images, in a word or two and in full."""
    if trial["state"] != "PRUNED":
        return "not rendered", ""
    reason = trial.get("reason")
    return "stopped", one_line(reason) if isinstance(reason, str) else "it could not win"


def _references(references: pd.DataFrame) -> tuple[GridColumn, ...]:
    return tuple(
        GridColumn(
            heading=str(model),
            detail=(str(rows["prediction_type"].iloc[0]),),
            survived=float((rows["verdict"] == "ok").mean()),
            pictures=_pictures(rows),
        )
        for model, rows in references.groupby("model", sort=False)
    )


def _pictures(rows: pd.DataFrame) -> dict[str, Picture]:
    own = rows[list(OF_A_PICTURE)]  # a row of all columns takes four times as long to make
    return {
        case_id(row.prompt_id, int(row.seed)): Picture(
            file=str(row.file),
            verdict=str(row.verdict),
            reason="" if pd.isna(row.reason) else one_line(row.reason),
            defect=float(row.defect),
            stop=stop_of(row),
            film=row.film if isinstance(row.film, str) else None,
            blur=math.nan if pd.isna(row.blur) else float(row.blur),
            noise=math.nan if pd.isna(row.noise) else float(row.noise),
        )
        for row in own.itertuples(index=False)
    }


def stop_of(row: Any) -> StopPoint | None:
    """Return where an image's row says it was stopped; None for a complete one, or where nothing is known."""
    if not isinstance(row.stopped, str):
        return None
    made = int(row.unet_calls)
    where = f"stopped at step {made} of {made + int(row.unet_calls_saved)}"
    return StopPoint(where, one_line(row.stopped_because))


def savings_text(images: pd.DataFrame) -> str:
    """Return a sentence on what early abort saved; empty where that is under 1%.

    Images of earlier versions, which did not count UNet calls, are left out.
    """
    counted = images.dropna(subset=["unet_calls", "unet_calls_saved"])
    saved, made = counted["unet_calls_saved"].sum(), counted["unet_calls"].sum()
    share = saved / max(made + saved, 1)
    if share < 0.01:
        return ""
    stopped = int((counted["unet_calls_saved"] > 0).sum())
    return f"Early abort stopped {stopped} of {len(counted)} images and saved {share:.0%} of the UNet calls."
