"""Prompts down, ratios across: what stands in which cell, for the sheet and for the report alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.base.words import metric_text, one_line, parameter_text, slice_text, value_text
from gridsearch.render.cases import case_id
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import curve_parameter_of, is_projection, split_slices
from gridsearch.results.results import Results


@dataclass(frozen=True)
class CaseRow:
    """A row: one prompt with one seed. Of one that is `held_out` only the leaders are drawn."""

    prompt_id: str
    prompt: str
    seed: int
    held_out: bool = False

    @property
    def id(self) -> str:
        """The case's key."""
        return case_id(self.prompt_id, self.seed)


@dataclass(frozen=True)
class StopPoint:
    """Where and why an image was not drawn to its end."""

    where: str  # "stopped at step 8 of 20"
    reason: str


@dataclass(frozen=True)
class Picture:
    """A cell.

    Attributes:
        file: relative to the results folder, as is `film`.
        stop: where early abort stopped it, and why; None where it was drawn to its end.
        film: None where none was kept.
        blur, noise: in px and in levels; NaN where the image has none to measure.
    """

    file: str
    verdict: str
    reason: str
    defect: float
    stop: StopPoint | None = None
    film: str | None = None
    blur: float = math.nan
    noise: float = math.nan

    @property
    def said(self) -> str:
        """The verdict, its reason, and where it was stopped, unless the reason says so itself."""
        judged = f"{self.verdict}: {self.reason}" if self.reason else self.verdict
        stop = self.stop
        return judged if stop is None or stop.where in judged else f"{judged}\n{stop.where}: {stop.reason}"


@dataclass(frozen=True)
class GridColumn:
    """A trial, or a parent's own renders.

    Attributes:
        heading: the ratio, or the parent's name.
        detail: the lines below: how many survived and the mean defect, or the parent's mode.
        value: the main parameter; None for a parent or where none was searched.
        trial: None for a parent.
        survived: share of `ok` images.
        best, alive: recommended in its slice, where anything survives there; inside its slice's window.
        pictures: by case; a case that was not rendered is absent.
        missing: why the other cases were not rendered, in a word or two and in full.
    """

    heading: str
    detail: tuple[str, ...]
    value: float | None
    trial: int | None
    survived: float
    best: bool
    alive: bool
    pictures: dict[str, Picture]
    missing: tuple[str, str] = ("not rendered", "")

    def why_missing(self, case: CaseRow) -> tuple[str, str]:
        return ("", "") if case.held_out else self.missing


@dataclass(frozen=True)
class Group:
    """Columns under one heading: the references, or one slice."""

    heading: str
    columns: tuple[GridColumn, ...]


@dataclass(frozen=True)
class Grid:
    cases: tuple[CaseRow, ...]
    groups: tuple[Group, ...]


def build_grid(
    results: Results,
    answer: Answer | None = None,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
) -> Grid:
    """The grid of everything rendered so far, references first.

    Args:
        ratios: show only these (each the nearest rendered one); all where None.
        prompts: show only prompts with one of these ids, or with one of these texts inside.

    Raises:
        BadInput: nothing is rendered yet, no rendered ratio is near an asked one, or no prompt matches.
    """
    cases = _cases(results, prompts)
    trials = results.trials[results.trials["trial"].isin(results.images["trial"].unique())]
    slices = split_slices(results, trials)
    found = {tuple(found.settings.items()): found for found in answer.slices} if answer else {}
    if not is_projection(results):
        slices = [
            (settings, _one_per_place(rows, found.get(tuple(settings.items())))) for settings, rows in slices
        ]
    if not cases or not (slices or len(results.references)):
        raise BadInput(
            "There is no image to show yet.", where=results.folder, fix="Let the run finish a trial first."
        )
    if ratios is not None:
        slices = [(settings, _chosen(rows, ratios, results)) for settings, rows in slices]
    name = parameter_text(curve_parameter_of(results) or "trial")
    groups = [
        Group(slice_text(settings) or name, _columns(rows, results, found.get(tuple(settings.items()))))
        for settings, rows in slices
        if len(rows)
    ]
    references = _references(results.references)
    return Grid(cases, tuple([Group("references", references)] * bool(references) + groups))


def _cases(results: Results, prompts: Sequence[str] | None) -> tuple[CaseRow, ...]:
    """In the order of the experiment's prompts, as far as images or references exist; held-out ones last."""
    held_out = results.checks_of("held_out")
    apart = {*results.held_out, *held_out["prompt_id"]}
    rows = pd.concat([results.references, results.images, held_out])
    if rows.empty:
        return ()
    rows = rows.drop_duplicates(["prompt_id", "seed"])
    order = {str(prompt.get("id")): i for i, prompt in enumerate(results.settings.get("prompt", []))}
    cases = [
        CaseRow(str(r.prompt_id), one_line(r.prompt), int(r.seed), r.prompt_id in apart)
        for r in rows.itertuples()
    ]
    cases.sort(key=lambda case: (case.held_out, order.get(case.prompt_id, len(order))))
    if prompts is None:
        return tuple(cases)
    missing = [wanted for wanted in prompts if not any(_matches(case, wanted) for case in cases)]
    if missing:
        ids = ", ".join(dict.fromkeys(case.prompt_id for case in cases))
        raise BadInput(
            f"No prompt matches {missing[0]!r}.",
            where=results.folder,
            fix=f"Use one of {ids}, or words of a prompt.",
        )
    return tuple(case for case in cases if any(_matches(case, wanted) for wanted in prompts))


def _matches(case: CaseRow, wanted: str) -> bool:
    return wanted == case.prompt_id or one_line(wanted).casefold() in case.prompt.casefold()


def _one_per_place(trials: pd.DataFrame, found: Slice | None) -> pd.DataFrame:
    """One trial per place on the curve: the recommended one, else a complete one, then the latest."""
    ranks = {"best": trials["trial"] == (found and found.trial), "complete": trials["state"] == "COMPLETE"}
    ordered = trials.assign(**ranks).sort_values(["at", *ranks, "trial"])
    return ordered.drop_duplicates("at", keep="last")


def _chosen(trials: pd.DataFrame, ratios: Sequence[float], results: Results) -> pd.DataFrame:
    """The rendered places nearest to the asked ones: at most half a usual step, or 5% of the range, away."""
    places = trials["at"].to_numpy()
    span = float(np.ptp(places)) or 1.0
    step = float(np.median(np.diff(places))) if len(places) > 1 else span
    nearest = []
    for ratio in ratios:
        at = int(np.abs(places - ratio).argmin())
        if abs(places[at] - ratio) > min(step / 2, 0.05 * span) + 1e-9:
            rendered = ", ".join(value_text(place) for place in places)
            raise BadInput(
                f"No rendered ratio is near {value_text(ratio)}.",
                where=results.folder,
                fix=f"Rendered are {rendered}.",
            )
        nearest.append(at)
    return trials.iloc[sorted(set(nearest))]


def _columns(trials: pd.DataFrame, results: Results, found: Slice | None) -> tuple[GridColumn, ...]:
    pictures = dict(list(results.images[results.images["trial"].isin(trials["trial"])].groupby("trial")))
    held_out = dict(list(results.checks_of("held_out").groupby("trial")))
    searched = curve_parameter_of(results) is not None
    return tuple(
        GridColumn(
            heading=value_text(row["at"]) if searched else str(row["trial"]),
            detail=_detail(row, pictures[row["trial"]]),
            value=float(row["at"]) if searched else None,
            trial=int(row["trial"]),
            survived=float((pictures[row["trial"]]["verdict"] == "ok").mean()),
            best=found is not None and found.trial == row["trial"] and found.survived > 0,
            alive=found is not None and _inside(row["at"], found),
            pictures=_pictures(pictures[row["trial"]])
            | (_pictures(held_out[row["trial"]]) if row["trial"] in held_out else {}),
            missing=_missing(row),
        )
        for _, row in trials.iterrows()
    )


def _detail(trial: pd.Series, images: pd.DataFrame) -> tuple[str, ...]:
    sound = int((images["verdict"] == "ok").sum())
    unfinished = {"COMPLETE": "", "PRUNED": ", stopped"}.get(trial["state"], " …")
    defect = metric_text(round(float(images["defect"].mean()), 2))
    return f"{sound}/{len(images)} ok{unfinished}", f"defect {defect}"


def _missing(trial: pd.Series) -> tuple[str, str]:
    """Why a trial lacks images."""
    if trial["state"] != "PRUNED":
        return "not rendered", ""
    reason = trial.get("reason")
    return "stopped", one_line(reason) if isinstance(reason, str) else "it could not win"


def _inside(place: float, found: Slice) -> bool:
    window = found.window
    return window is not None and window.low.inside <= place <= window.high.inside


def _references(references: pd.DataFrame) -> tuple[GridColumn, ...]:
    if references.empty:
        return ()
    return tuple(
        GridColumn(
            heading=str(model),
            detail=(str(rows["prediction_type"].iloc[0]),),
            value=None,
            trial=None,
            survived=float((rows["verdict"] == "ok").mean()),
            best=False,
            alive=True,
            pictures=_pictures(rows),
        )
        for model, rows in references.groupby("model", sort=False)
    )


def _pictures(rows: pd.DataFrame) -> dict[str, Picture]:
    return {
        case_id(row.prompt_id, int(row.seed)): Picture(
            file=str(row.file),
            verdict=str(row.verdict),
            reason="" if pd.isna(row.reason) else one_line(row.reason),
            defect=float(row.defect),
            stop=stop_of(row),
            film=row.film if isinstance(row.film, str) else None,
            blur=_number(row.blur),
            noise=_number(row.noise),
        )
        for row in rows.itertuples()
    }


def _number(value: object) -> float:
    return math.nan if pd.isna(value) else float(value)


def evenly(count: int, most: int, kept: int | None) -> list[int]:
    """At most `most` of so many places, ascending: both ends, `kept`, and evenly spaced ones between."""
    last = count - 1
    if count <= most:
        return list(range(count))
    chosen = {round(i * last / (most - 1)) for i in range(most)}
    if kept is not None and kept not in chosen:  # in the place of its neighbour
        chosen = chosen - {min(chosen - {0, last}, key=lambda i: abs(i - kept))} | {kept}
    return sorted(chosen)


def stop_of(row: Any) -> StopPoint | None:
    """Of a row of the images; None where it was drawn to its end, or nothing is known of that."""
    if not isinstance(row.stopped, str):
        return None
    made = int(row.unet_calls)
    where = f"stopped at step {made} of {made + int(row.unet_calls_saved)}"
    return StopPoint(where, one_line(row.stopped_because))


def savings_text(images: pd.DataFrame) -> str:
    """How many images early abort stopped, and its share of the UNet calls; empty where it saved nothing.

    Images of an earlier version, which did not count calls, are left out.
    """
    counted = images.dropna(subset=["unet_calls", "unet_calls_saved"])
    saved, made = counted["unet_calls_saved"].sum(), counted["unet_calls"].sum()
    if not saved:
        return ""
    share = saved / (made + saved)
    percent = f"{share:.0%}" if share >= 0.005 else "under 1%"
    stopped = int((counted["unet_calls_saved"] > 0).sum())
    return f"Early abort stopped {stopped} of {len(counted)} images and saved {percent} of the UNet calls."
