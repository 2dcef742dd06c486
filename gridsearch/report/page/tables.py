"""The report's facts and tables as plain values for its template."""

import os
import shlex

import pandas as pd

from gridsearch.base.words import metric_text, one_line, parameter_text, shorten, slice_text, value_text
from gridsearch.report.colours import chip
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.sentence import survives
from gridsearch.results.analysis.trials import is_partial
from gridsearch.results.analysis.window import Window
from gridsearch.results.columns import TRIALS, number_names
from gridsearch.results.results import Results

EXAMPLES = 2  # reasons quoted per verdict
MOST_TIED = 4  # ratios that are listed


def facts(results: Results, answer: Answer) -> list[dict]:
    """Return the answer's numbers, each with a label and a word of explanation."""
    best = answer.best
    if best is None:
        return []
    defect = f"mean defect {metric_text(round(best.defect, 3))}"
    found = [_fact("Healthy images", f"{round(best.survived * best.images)} of {best.images}", defect)]
    if best.interval:
        level = f"{best.interval.level:.0%} sure, over {best.interval.prompts} prompts"
        span = _span(round(best.interval.low, 3), round(best.interval.high, 3))
        found.append(_fact("Best between", span, best.note or level))
    elif best.ratio is not None and not answer.projection:
        found.append(_fact("Best between", "unknown", best.note))
    if answer.projection:
        alive = sum(near.survived >= answer.share for near in answer.neighbours)
        near = f"{alive} of {len(answer.neighbours)}"
        found.append(_fact("Nearby", near, "of the nearest trials survive"))
        found.append(_tied_fact(f"{len(answer.tied)} trials" if answer.tied else "", "trial"))
    elif best.ratio is not None and answer.main:
        ends = _ends_text(best) or f"no {parameter_text(answer.main)} keeps {answer.share:.0%} of its images"
        found.append(_fact("Survives between", _window_text(best), ends))
        found.append(_tied(results, answer, answer.main))
    if best.interval and (best.doubt.prompts_needed or 0) > best.interval.prompts:
        about = f"to narrow the interval from {best.doubt.width:.3g} to {best.doubt.wanted_width:.3g}"
        found.append(_fact("Prompts needed", f"about {best.doubt.prompts_needed}", about))
    if answer.confirmed and answer.confirmed[0].trial == best.trial:
        unseen = answer.confirmed[0].held_out
        about = f"are healthy, on {unseen.prompts} held-out prompts"
        found.append(_fact("On held-out prompts", unseen.sound, about))
    return found


def _fact(label: str, value: str, about: str) -> dict:
    return {"label": label, "value": value, "about": about}


def _tied_fact(value: str, kind: str, elsewhere: int = 0) -> dict:
    about = "cannot be distinguished from it" if value else f"every other surviving {kind} is worse"
    about += f"; and {elsewhere} in another mode" if elsewhere else ""
    return _fact("As good as the best", value or f"no other {kind}", about)


def _tied(results: Results, answer: Answer, main: str) -> dict:
    """Return the tied ratios of the best slice, and how many tie in the others."""
    trials = results.trials.set_index("trial").loc[list(answer.tied)]
    others = [name for name in results.parameters if name != main]
    same = trials[
        (trials[others] == pd.Series({name: answer.parameters[name] for name in others})).all(axis=1)
    ]
    values = [value_text(value) for value in sorted(same[main].unique())]
    many = f"{len(values)} in {values[0]}–{values[-1]}" if len(values) > MOST_TIED else ""
    return _tied_fact(many or ", ".join(values), parameter_text(main), len(trials) - len(same))


def _span(low: float, high: float) -> str:
    return f"{value_text(low)}–{value_text(high)}"


def _window_text(found: Slice) -> str:
    if found.window is None:
        return "nowhere"
    low, high = found.window.low.inside, found.window.high.inside
    return _span(low, high) if low < high else f"{value_text(low)} only"


def _is_alone(window: Window) -> bool:
    """Return whether the window is the only ratio rendered so far."""
    low, high = window.low, window.high
    return low.inside == high.inside and low.outside is None and high.outside is None


def _ends_text(found: Slice) -> str:
    if found.window is None:
        return ""
    if _is_alone(found.window):
        return "nothing else is rendered yet"
    ends = ((found.window.low, "below"), (found.window.high, "above"))
    return ", ".join(f"{edge.verdict or 'nothing rendered'} {word}" for edge, word in ends)


def commands(results: Results, answer: Answer) -> dict[str, str | None]:
    """Return the next commands: `run` to continue or repeat it, `export` where a merge survives."""
    relative = os.path.relpath(results.folder)
    folder = shlex.quote(str(results.folder) if relative.startswith("..") else relative)
    run = f"gridsearch run {shlex.quote(results.facts.file)} --out {folder}"
    best = answer.best
    if best is None or not survives(answer):
        return {"run": run, "export": None}
    mark = best.trial if answer.projection else None if best.ratio is None else value_text(best.ratio)
    name = results.name if mark is None else f"{results.name}-{mark}"
    return {"run": run, "export": f"gridsearch export {folder} -o {shlex.quote(f'{name}.safetensors')}"}


def slice_rows(answer: Answer) -> list[dict]:
    """Return a row per slice, the best first."""
    rows = []
    for found in answer.slices:
        itself = f" ({found.parent} itself)" if found.parent else ""
        interval = found.interval
        rows.append(
            {
                "name": slice_text(found.settings),
                "best": f"trial {found.trial}" if found.ratio is None else value_text(found.ratio) + itself,
                "survived": f"{found.survived:.0%}",
                "defect": metric_text(round(found.defect, 3)),
                "interval": _span(round(interval.low, 3), round(interval.high, 3))
                if interval
                else found.note,
                "window": _window_text(found),
                "ends": _ends_text(found),
            }
        )
    return rows


def edges(results: Results, answer: Answer) -> list[str]:
    """Return sentences on both ends of the best slice's window: where, what ends it, what fails first."""
    best = answer.best
    if best is None or best.window is None or _is_alone(best.window):
        return []
    texts = {str(row.prompt_id): one_line(row.prompt) for row in results.images.itertuples()}
    found = []
    for edge, side in ((best.window.low, "lower"), (best.window.high, "upper")):
        if edge.outside is None:
            end = value_text(edge.inside)
            found.append(
                f"The {side} end of the search, {end}, still survives: the window may extend beyond it."
            )
            continue
        below, above = (value_text(end) for end in sorted((edge.inside, edge.outside)))
        estimate = " (an estimate: that trial was stopped early)" if edge.outside in best.estimated else ""
        first = ""
        if edge.prompt is not None:
            prompt = shorten(texts[edge.prompt], 80)
            first = (
                f" The first prompt to fail is {edge.prompt}, “{prompt}”, at {value_text(edge.prompt_at)}."
            )
        found.append(
            f"The {side} edge lies between {below} and {above}: beyond it, most images are "
            f"“{edge.verdict}”{estimate}.{first}"
        )
    return found


def failures(results: Results) -> dict:
    """Return how many images got each verdict, the reasons of typical ones, and how many trials failed."""
    images = results.images
    rows = []
    for verdict, group in images[images["verdict"] != "ok"].groupby("verdict"):
        ordered = group.sort_values("defect").dropna(subset="reason")
        typical = ordered.iloc[[len(ordered) // 2, len(ordered) - 1]] if len(ordered) else ordered
        reasons = list(dict.fromkeys(one_line(reason) for reason in typical["reason"]))[:EXAMPLES]
        counts = {"count": len(group), "share": f"{len(group) / len(images):.0%}", "reasons": reasons}
        rows.append(chip(str(verdict)) | counts)
    return {
        "rows": sorted(rows, key=lambda row: -row["count"]),
        "sound": int((images["verdict"] == "ok").sum()),
        "images": len(images),
        "trials": int((results.trials["state"] == "FAIL").sum()) if len(results.trials) else 0,
    }


def trial_table(results: Results, answer: Answer) -> dict:
    """Return all trials, the best first and those without a result last, with numbers as text."""
    trials = results.trials.assign(partial=is_partial(results.trials)).sort_values(
        ["partial", "survived", "defect"], ascending=[True, False, True], na_position="last"
    )
    checked = {found.trial: found.held_out.sound for found in answer.confirmed}
    best = answer.best.trial if answer.best else None
    # "survived" has a cell of its own
    numbers = [name for name in number_names(TRIALS, results.scorers) if name != "survived"]
    rows = []
    for _, row in trials.iterrows():
        mark = "best" if row["trial"] == best else "tied" if row["trial"] in answer.tied else ""
        state = "stopped early" if row["state"] == "PRUNED" else row["state"].lower()
        values = ("–" if pd.isna(row[name]) else value_text(row[name]) for name in results.parameters)
        unseen = [checked.get(row["trial"], "–")] if checked else []
        cells = [str(row["trial"]), mark or state, *values, _share_text(row), *unseen]
        rows.append({"mark": mark, "cells": cells + [metric_text(row[name]) for name in numbers]})
    names = [parameter_text(name) for name in results.parameters]
    heads = ["trial", "state", *names, "survived", *["unseen"] * bool(checked), *map(_head, numbers)]
    return {"heads": heads, "rows": rows}


def _share_text(trial: pd.Series) -> str:
    """Return the share of survivors; of a stopped trial with the number of images that it has."""
    if pd.isna(trial["survived"]):
        return "–"
    share = f"{trial['survived']:.0%}"
    return f"{share} of {trial['images']}" if trial["state"] == "PRUNED" else share


def _head(name: str) -> str:
    return f"{name.removeprefix('seconds_')}, s" if name.startswith("seconds_") else name
