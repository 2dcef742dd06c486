"""The report's words and tables, as plain values for its template."""

import os
import shlex
from pathlib import Path

import pandas as pd

from gridsearch.base.words import metric_text, one_line, parameter_text, shorten, slice_text, value_text
from gridsearch.report.colours import text_on, verdict_colour
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.sentence import survives
from gridsearch.results.analysis.trials import is_partial
from gridsearch.results.columns import TRIALS, number_names
from gridsearch.results.results import Results

EXAMPLES = 2  # reasons quoted per verdict


def facts(results: Results, answer: Answer) -> list[dict]:
    """The answer's numbers, each with a label and a word of explanation."""
    best = answer.best
    if best is None:
        return []
    found = [
        _fact(
            "Sound images",
            f"{round(best.survived * best.images)} of {best.images}",
            f"mean defect {metric_text(round(best.defect, 3))}",
        )
    ]
    if best.interval:
        level = f"{best.interval.level:.0%} sure, over {best.interval.prompts} prompts"
        low, high = round(best.interval.low, 3), round(best.interval.high, 3)
        found.append(_fact("Best lies in", _span(low, high), best.note or level))
    elif best.ratio is not None and not answer.projection:
        found.append(_fact("Best lies in", "unknown", best.note))
    if answer.projection:
        return [*found, _ground(answer), _tied_trials(answer), *_more(answer)]
    if best.ratio is not None:
        found.append(
            _fact(
                "Survives from",
                _window_text(best),
                _ends_text(best) or f"none keeps {answer.share:.0%} of its images",
            )
        )
        found.append(_tied(results, answer))
    return found + _more(answer)


def _more(answer: Answer) -> list[dict]:
    """What more prompts would do, and the winner on prompts that had no part in choosing it."""
    found, best = [], answer.best
    if best.doubt.prompts_needed and best.doubt.prompts_needed > best.interval.prompts:
        width = f"{best.doubt.wanted_width:.3g}"
        about = f"would narrow {best.doubt.width:.3g} to {width}"
        found.append(_fact("Prompts in all", f"about {best.doubt.prompts_needed}", about))
    if answer.confirmed and answer.confirmed[0].trial == best.trial:
        unseen = answer.confirmed[0].held_out
        about = f"are sound, on {unseen.prompts} prompts that had no part in the choice"
        found.append(_fact("On unseen prompts", unseen.sound, about))
    return found


def _ground(answer: Answer) -> dict:
    alive = sum(near.survived >= answer.share for near in answer.neighbours)
    return _fact("Next to it", f"{alive} of {len(answer.neighbours)}", "of the nearest trials survive")


def _tied_trials(answer: Answer) -> dict:
    about = "cannot be told apart" if answer.tied else "every other one that survives is worse"
    return _fact("As good as the best", f"{len(answer.tied)} trials" if answer.tied else "no other", about)


def _fact(label: str, value: str, about: str) -> dict:
    return {"label": label, "value": value, "about": about}


def _span(low: float, high: float) -> str:
    return f"{value_text(low)}–{value_text(high)}"


def _window_text(found: Slice) -> str:
    if found.window is None:
        return "nowhere"
    low, high = found.window.low.inside, found.window.high.inside
    return _span(low, high) if low < high else f"{value_text(low)} only"


def _alone(found: Slice) -> bool:
    """One ratio is all there is: neither side of it was looked at."""
    low, high = found.window.low, found.window.high
    return low.inside == high.inside and low.outside is None and high.outside is None


def _ends_text(found: Slice) -> str:
    if found.window is None:
        return ""
    if _alone(found):
        return "nothing else is rendered yet"
    ends = ((found.window.low, "below"), (found.window.high, "above"))
    return ", ".join(
        f"{edge.verdict} {word}" if edge.verdict else f"the sweep ends {word}" for edge, word in ends
    )


def _tied(results: Results, answer: Answer) -> dict:
    """The tied ratios of the best slice, and how many tie in the others."""
    trials = results.trials.set_index("trial").loc[list(answer.tied)]
    others = [name for name in results.parameters if name != answer.main]
    same = trials.loc[
        [all(row[name] == answer.parameters[name] for name in others) for _, row in trials.iterrows()]
    ]
    values = [value_text(value) for value in sorted(same[answer.main].unique())]
    value = ", ".join(values) if len(values) < 5 else f"{len(values)} in {values[0]}–{values[-1]}"
    elsewhere = len(trials) - len(same)
    about = "cannot be told apart" if values else "every other one that survives is worse"
    about += f"; and {elsewhere} in another mode" if elsewhere else ""
    return _fact("As good as the best", value or "no other", about)


def commands(results: Results, answer: Answer) -> dict[str, str | None]:
    """What to type next: `export` the best merge, where one survives; `run` to go on or to run it again."""
    folder = shlex.quote(_shown(results.folder))
    experiment = shlex.quote(results.file)
    run = f"gridsearch run {experiment} --out {folder}"
    if not survives(answer):
        return {"run": run, "export": None}
    ratio = "" if answer.best.ratio is None else f"-{value_text(answer.best.ratio)}"
    ratio = f"-{answer.best.trial}" if answer.projection else ratio
    merged = shlex.quote(f"{results.name}{ratio}.safetensors")
    return {"run": run, "export": f"gridsearch export {folder} -o {merged}"}


def _shown(folder: Path) -> str:
    """As one would type it from here, where it is below here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative


def slice_rows(answer: Answer) -> list[dict]:
    """One row per slice, best first."""
    return [
        {
            "name": slice_text(found.settings),
            "best": value_text(found.ratio) + (f" ({found.parent} itself)" if found.parent else "")
            if found.ratio is not None
            else f"trial {found.trial}",
            "survived": f"{found.survived:.0%}",
            "defect": metric_text(round(found.defect, 3)),
            "interval": _span(round(found.interval.low, 3), round(found.interval.high, 3))
            if found.interval
            else found.note,
            "window": _window_text(found),
            "ends": _ends_text(found),
        }
        for found in answer.slices
    ]


def edges(results: Results, answer: Answer) -> list[str]:
    """For each side of the best slice's window: between which ratios it ends, by what, and who goes first."""
    best = answer.best
    if best is None or best.window is None or _alone(best):
        return []
    texts = {str(row.prompt_id): one_line(row.prompt) for row in results.images.itertuples()}
    found = []
    for edge, side in ((best.window.low, "lower"), (best.window.high, "upper")):
        if edge.outside is None:
            end = value_text(edge.inside)
            found.append(f"The {side} end of the sweep, {end}, still survives: the window may go on.")
            continue
        below, above = (value_text(end) for end in sorted((edge.inside, edge.outside)))
        estimate = " (an estimate: it was stopped early)" if edge.outside in best.estimated else ""
        text = (
            f"The {side} edge lies between {below} and {above}: beyond it, most images are "
            f"“{edge.verdict}”{estimate}."
        )
        if edge.prompt is not None:
            prompt = shorten(texts[edge.prompt], 80)
            text += (
                f" The first prompt to fail is {edge.prompt}, “{prompt}”, at {value_text(edge.prompt_at)}."
            )
        found.append(text)
    return found


def failures(results: Results) -> dict:
    """Counts of every verdict among the images, where along the ratio, and the reasons of typical ones."""
    images = results.images
    rows = []
    for verdict, group in images[images["verdict"] != "ok"].groupby("verdict"):
        ordered = group.sort_values("defect").dropna(subset="reason")
        middle = ordered.iloc[[len(ordered) // 2, len(ordered) - 1]] if len(ordered) else ordered
        colour = verdict_colour(str(verdict))
        rows.append(
            {
                "verdict": str(verdict),
                "colour": colour,
                "ink": text_on(colour),
                "count": len(group),
                "share": f"{len(group) / len(images):.0%}",
                "reasons": list(dict.fromkeys(one_line(reason) for reason in middle["reason"]))[:EXAMPLES],
            }
        )
    rows.sort(key=lambda row: -row["count"])
    failed = int((results.trials["state"] == "FAIL").sum()) if len(results.trials) else 0
    return {
        "rows": rows,
        "sound": int((images["verdict"] == "ok").sum()),
        "images": len(images),
        "trials": failed,
    }


def trial_table(results: Results, answer: Answer) -> dict:
    """All trials, best first, the ones without a result last; numbers as text."""
    table = results.trials.assign(partial=is_partial(results.trials))
    trials = table.sort_values(
        ["partial", "survived", "defect"], ascending=[True, False, True], na_position="last"
    )
    checked = {found.trial: found.held_out for found in answer.confirmed}
    best = answer.best.trial if answer.best else None
    # "survived" has a cell of its own
    numbers = [name for name in number_names(TRIALS, results.scorers) if name != "survived"]
    rows = []
    for _, row in trials.iterrows():
        mark = "best" if row["trial"] == best else "tied" if row["trial"] in answer.tied else ""
        state = "stopped early" if row["state"] == "PRUNED" else row["state"].lower()
        cells = [
            str(row["trial"]),
            mark or state,
            *(_value(row[name]) for name in results.parameters),
        ]
        cells.append(_share_text(row))
        if checked:
            cells.append(checked[row["trial"]].sound if row["trial"] in checked else "–")
        cells += [metric_text(row[name]) for name in numbers]
        rows.append({"mark": mark, "cells": cells})
    names = [parameter_text(name) for name in results.parameters]
    heads = ["trial", "state", *names, "survived", *["unseen"] * bool(checked), *map(_head, numbers)]
    return {"heads": heads, "rows": rows}


def _share_text(trial: pd.Series) -> str:
    """A stopped trial's share is one of the images that it has."""
    if pd.isna(trial["survived"]):
        return "–"
    share = f"{trial['survived']:.0%}"
    return f"{share} of {trial['images']}" if trial["state"] == "PRUNED" else share


def _head(name: str) -> str:
    return f"{name.removeprefix('seconds_')}, s" if name.startswith("seconds_") else name


def _value(value: object) -> str:
    return "–" if pd.isna(value) else value_text(value)
