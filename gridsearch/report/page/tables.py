"""The report's tables, commands and edges as plain values for its template."""

import os
import shlex
from pathlib import Path, PureWindowsPath

import pandas as pd

from gridsearch.base.words import (
    defect_text,
    metric_text,
    one_line,
    parameter_labels,
    parameter_text,
    percent_text,
    prompt_label,
    setting_text,
    shorten,
    slice_text,
    value_text,
)
from gridsearch.checkpoint.families import KNOWN_FAMILIES
from gridsearch.experiment.composition import model_text
from gridsearch.report.colours import chip
from gridsearch.results.analysis.analyse import best_steps
from gridsearch.results.analysis.answer import Answer, Neighbour, Slice
from gridsearch.results.analysis.certainty import places_text
from gridsearch.results.analysis.posterior import SAME
from gridsearch.results.analysis.sanity import trial_text
from gridsearch.results.analysis.sentence import MOST_NAMED, edge_text, end_text
from gridsearch.results.analysis.trials import ranked, split_slices, whole
from gridsearch.results.analysis.window import EDGE_LEVEL, Window
from gridsearch.results.columns import SET_DISTANCE, TRIALS, number_names
from gridsearch.results.results import Results

MOST_FAILED = 4  # images of the recommended trial that are named
EXAMPLES = 2  # reasons quoted per verdict
MOST_ROWS = 1_000  # of the table of trials: trials.csv has all


def interval_text(found: Slice) -> str:
    return places_text(found, "{}–{}", " or ") if found.interval else found.note


def _span(low: float, high: float) -> str:
    return f"{value_text(low)}–{value_text(high)}"


def window_text(found: Slice) -> str:
    if found.window is None:
        return "nowhere"
    low, high = found.window.low.inside, found.window.high.inside
    return _span(low, high) if low < high else f"{value_text(low)} only"


def _is_alone(window: Window) -> bool:
    """Return whether the window is the only ratio rendered so far."""
    low, high = window.low, window.high
    return low.inside == high.inside and low.outside is None and high.outside is None


def window_ends(window: Window, what: str) -> str:
    """Return what ends a window on both sides, in words."""
    if _is_alone(window):
        return "nothing else is rendered yet"
    ends = ((window.low, "below"), (window.high, "above"))
    return ", ".join(end_text(edge, word, what) for edge, word in ends)


def commands(results: Results, answer: Answer) -> dict[str, str | None]:
    """Return the next commands: `run` to continue or repeat it, `export` where a merge survives."""
    relative = os.path.relpath(results.folder)
    folder = shlex.quote(results.folder.resolve().name if relative.startswith("..") else relative)
    file = results.facts.file  # the page is shared: the folders of a person's machine stay out of it
    file = PureWindowsPath(file).name if Path(file).is_absolute() or PureWindowsPath(file).anchor else file
    run = f"gridsearch run {shlex.quote(file)} --out {folder}"
    export = f"gridsearch export {folder} -o {shlex.quote(answer.file)}" if answer.file else None
    return {"run": run, "export": export}


def pair(results: Results, answer: Answer) -> tuple[str, ...]:
    """Return the two models between which the recommended ratios of all blocks lie; empty without those."""
    models = best_steps(results, answer)[-1].models if answer.weights else ()
    return tuple(model_text(str(name)) for name in models) if len(models) == 2 else ()


def time_note(results: Results, answer: Answer) -> str:
    """Return a sentence on what supermerger merges otherwise at these ratios; empty where it does not."""
    ratio = best_steps(results, answer)[-1].numbers().get("ratio") if answer.weights else None
    text, first, *_ = KNOWN_FAMILIES[results.family].blocks
    if not isinstance(ratio, dict) or ratio.get("time", ratio[text]) == ratio[first]:
        return ""
    ours = "time" if "time" in ratio else text
    return (
        f"Prefer the export, which is what was scored: supermerger merges the time embedding at the ratio of "
        f"{first} ({value_text(ratio[first])}), this run at that of {ours} "
        f"({value_text(ratio.get('time', ratio[text]))})."
    )


def edges(results: Results, answer: Answer) -> list[str]:
    """Return sentences on both ends of the best slice's window: where, what ends it, what fails first."""
    best = answer.best
    if best is None or best.window is None or _is_alone(best.window):
        return []
    texts = {str(row.prompt_id): prompt_label(row.prompt) for row in results.images.itertuples()}
    found = []
    for edge, side in ((best.window.low, "lower"), (best.window.high, "upper")):
        end = value_text(edge.inside)
        said = f"The {side} end of the search, {end}, still survives: the window may extend beyond it."
        if edge.outside is not None:
            below, above = (value_text(end) for end in sorted((edge.inside, edge.outside)))
            verdict = f"“{edge.verdict}”"
            if edge.outside in best.estimated:
                verdict += " (an estimate: that trial was stopped early)"
            said = f"The {side} edge lies between {below} and {above}: what fails beyond is mostly {verdict}."
            said += f" On other prompts of this kind it lies in {edge_text(edge)} ({EDGE_LEVEL:.0%} sure)."
            if edge.prompt is not None:
                prompt = f"{edge.prompt}, “{shorten(texts[edge.prompt], 80)}”"
                said += (
                    f" On this side, the first image to fail is of {prompt}, at {value_text(edge.prompt_at)}."
                )
        found.append(said)
    if failed := _failed_at_best(results, best):
        found.insert(0, failed)
    return found


def _failed_at_best(results: Results, best: Slice) -> str:
    """Return which images of the recommended trial failed, in a sentence; empty where none did."""
    rows = results.images[(results.images["trial"] == best.trial) & (results.images["verdict"] != "ok")]
    if rows.empty:
        return ""
    told = [
        f"{row.prompt_id}, seed {row.seed} ({row.verdict})" for row in rows.head(MOST_FAILED).itertuples()
    ]
    left = len(rows) - len(told)
    listed = "; ".join(told) + (f"; and {left} more" if left else "")
    fail = "1 image fails" if len(rows) == 1 else f"{len(rows)} images fail"
    return f"At {value_text(best.ratio)} itself, {fail}: {listed}."


def slice_rows(results: Results, answer: Answer) -> list[dict]:
    """Return a row per slice, the best first; each with the trial whose own images are better, if one is."""
    rows = []
    trials = {tuple(settings.items()): rows for settings, rows in split_slices(results, whole(results))}
    for found in answer.slices:
        itself = f" ({found.parent} itself)" if found.parent else ""
        best = f"trial {found.trial}" if found.ratio is None else value_text(found.ratio) + itself
        ends = window_ends(found.window, parameter_text(answer.main or "trial")) if found.window else ""
        texts = {"interval": interval_text(found), "window": window_text(found), "ends": ends}
        texts["but"] = (
            _taller(found, trials[tuple(found.settings.items())]) if found.ratio is not None else ""
        )
        rows.append({"found": found, "name": slice_text(found.settings), "best": best} | texts)
    return rows


def _taller(found: Slice, trials: pd.DataFrame) -> str:
    """Return which ratio of a slice has better images than the one to take; empty where none has."""
    first = ranked(trials).iloc[0]
    more = first["survived"] - found.survived
    if more < -SAME or (more <= SAME and first["defect"] >= found.defect - SAME):
        return ""
    figures = f"{percent_text(first['survived'])}, defect {defect_text(first['defect'])}"
    return f"{value_text(first['at'])} by itself: {figures}"


def leader_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the leaders that were checked, each with its values on both sets of prompts."""
    lucky = answer.unmasked.trial if answer.unmasked else None
    best = answer.best.trial if answer.best else None
    marks = {best: "recommended", lucky: "won by luck"}
    rows = []
    for found in answer.confirmed:
        name, mark = trial_text(results, results.trials, found.trial), marks.get(found.trial, "")
        rows.append({"found": found, "name": name, "mark": mark, "best": found.trial == best})
    return rows


def front_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the trials on the front of blur and noise."""
    best = answer.best.trial if answer.best else None
    return [
        {
            "point": point,
            "best": point.trial == best,
            "mark": ", ".join(["recommended"] * (point.trial == best) + ["knee"] * point.knee),
            "parameters": _values(results, answer, point.trial),
        }
        for point in answer.front
    ]


def neighbour_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the best trial and those nearest to it, where many values are searched at once."""
    best = answer.best
    if not answer.projection or best is None:
        return []
    nearest = [Neighbour(best.trial, 0.0, best.survived, best.defect), *answer.neighbours]
    return [{"near": near, "parameters": _values(results, answer, near.trial)} for near in nearest]


def _values(results: Results, answer: Answer, trial: int) -> str:
    """Return a trial's values in words, only those that matter most where there are many."""
    row = results.trials.set_index("trial").loc[trial]
    ranked = [name for name, _ in answer.importances] or list(results.parameters)
    names = ranked[:MOST_NAMED] if len(results.parameters) > MOST_NAMED else results.parameters
    left = len(results.parameters) - len(names)
    labels = parameter_labels(results.parameters)
    said = ", ".join(setting_text(name, row[name], labels[name]) for name in names if not pd.isna(row[name]))
    return said + (f" and {left} more" if left else "")


def failures(results: Results) -> dict:
    """Return how many images got each verdict, the reasons of typical ones, and how many trials failed."""
    images = results.images
    rows = []
    for verdict, group in images[images["verdict"] != "ok"].groupby("verdict"):
        ordered = group.sort_values("defect").dropna(subset="reason")
        typical = ordered.iloc[[len(ordered) // 2, len(ordered) - 1]] if len(ordered) else ordered
        reasons = list(dict.fromkeys(one_line(reason) for reason in typical["reason"]))[:EXAMPLES]
        counts = {"count": len(group), "share": len(group) / len(images), "reasons": reasons}
        rows.append(chip(str(verdict)) | counts)
    return {
        "rows": sorted(rows, key=lambda row: -row["count"]),
        "sound": int((images["verdict"] == "ok").sum()),
        "images": len(images),
        "trials": int((results.trials["state"] == "FAIL").sum()) if len(results.trials) else 0,
    }


def trial_table(results: Results, answer: Answer) -> dict:
    """Return the trials, the best first and those without a result last, with numbers as text."""
    trials = ranked(results.trials)
    checked = {found.trial: found.held_out.sound for found in answer.confirmed}
    best = answer.best.trial if answer.best else None
    asked = [name for name in (*results.scorers, SET_DISTANCE) if name in trials]
    # "survived" has a cell of its own
    numbers = [name for name in number_names(TRIALS, asked) if name != "survived"]
    values_last = len(results.parameters) > MOST_NAMED  # the figures would be out of sight
    rows = []
    for _, row in trials.head(MOST_ROWS).iterrows():
        mark = "best" if row["trial"] == best else "as good" if row["trial"] in answer.tied else ""
        state = "stopped early" if row["state"] == "PRUNED" else row["state"].lower()
        values = ["–" if pd.isna(row[name]) else value_text(row[name]) for name in results.parameters]
        unseen = [checked.get(row["trial"], "–")] if checked else []
        measured = [_share_text(row), *unseen, *(metric_text(row[name]) for name in numbers)]
        cells = [*measured, *values] if values_last else [*values, *measured]
        rows.append({"mark": mark, "cells": [str(row["trial"]), mark or state, *cells]})
    labels = list(parameter_labels(results.parameters).values())
    measured = ["healthy", *["unseen"] * bool(checked)]
    for name in numbers:
        measured.append(f"{name.removeprefix('seconds_')}, s" if name.startswith("seconds_") else name)
    heads = ["trial", "state", *(measured + labels if values_last else labels + measured)]
    return {"heads": heads, "rows": rows, "left_out": max(len(trials) - MOST_ROWS, 0)}


def _share_text(trial: pd.Series) -> str:
    """Return the share of survivors; of a stopped trial with the number of images that it has."""
    if pd.isna(trial["survived"]):
        return "–"
    share = f"{trial['survived']:.0%}"
    return f"{share} of {trial['images']}" if trial["state"] == "PRUNED" else share
