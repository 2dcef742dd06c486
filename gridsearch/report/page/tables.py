"""The report's facts and tables as plain values for its template."""

import os
import shlex

import pandas as pd

from gridsearch.base.words import (
    metric_text,
    one_line,
    parameter_labels,
    parameter_text,
    prompt_label,
    setting_text,
    shorten,
    slice_text,
    value_text,
)
from gridsearch.report.colours import chip
from gridsearch.report.figures.landscape import LOSS
from gridsearch.results.analysis.analyse import best_steps
from gridsearch.results.analysis.answer import Answer, Neighbour, Slice
from gridsearch.results.analysis.decided import decided_by
from gridsearch.results.analysis.optimum import MARGIN
from gridsearch.results.analysis.ranking import AS_GOOD
from gridsearch.results.analysis.sanity import trial_text
from gridsearch.results.analysis.sensitivity import probe_agreement
from gridsearch.results.analysis.sentence import MOST_NAMED, edge_text, end_text, places_text, survives
from gridsearch.results.analysis.trials import ranked, whole
from gridsearch.results.analysis.window import EDGE_LEVEL, Window
from gridsearch.results.columns import SET_DISTANCE, TRIALS, WITHOUT_TASTE, number_names
from gridsearch.results.results import Results
from gridsearch.score.score import SURVIVES
from gridsearch.score.taste import Taste, taste_text

EXAMPLES = 2  # reasons quoted per verdict
MOST_ROWS = 1_000  # of the table of trials: trials.csv has all
MOST_TIED = 4  # ratios that are listed


def facts(results: Results, answer: Answer) -> list[tuple[str, str, str]]:
    """Return the answer's numbers, each as a label, the value and a word of explanation."""
    best = answer.best
    if best is None:
        return []
    sound = f"{round(best.survived * best.images)} of {best.images}"
    found = [("Healthy images", sound, f"mean defect {metric_text(round(best.defect, 3))}")]
    if decided := decided_by(results, answer):
        found.append(("Decided by", *decided))
    if best.interval:
        level = f"{best.interval.level:.0%} sure, over {best.interval.prompts} prompts"
        found.append(("Best between", _interval_text(best), best.note or level))
    elif best.ratio is not None and not answer.projection:
        found.append(("Best between", "unknown", best.note))
    if best.elsewhere:
        other = best.elsewhere
        about = f"healthy on other prompts, {other.level:.0%} sure; {other.survived:.0%} is expected"
        found.append(("Elsewhere", f"{other.low:.0%}–{other.high:.0%}", about))
    if answer.projection:
        alive = sum(near.survived >= answer.share for near in answer.neighbours)
        near = f"{alive} of {len(answer.neighbours)}"
        about = f"of the nearest trials survive: {half_text(answer)} of their images or more are healthy"
        found.append(("Nearby", near, about))
        found.append(_tied_fact(f"{len(answer.tied)} trials" if answer.tied else "", "trial"))
    elif best.ratio is not None and answer.main:
        what = parameter_text(answer.main)
        ends = f"{half_text(answer)} of the images or more are healthy; {_ends_text(best, what)}"
        ends = ends if best.window else f"no {what} keeps {answer.share:.0%} of its images"
        found.append(("Survives between", _window_text(best), ends))
        found.append(_tied(results, answer, answer.main))
    if best.interval and (best.doubt.prompts_needed or 0) > best.interval.prompts:
        about = f"to narrow the interval from {best.doubt.width:.3g} to {best.doubt.wanted_width:.3g}"
        found.append(("Prompts needed", f"about {best.doubt.prompts_needed}", about))
    if answer.confirmed and answer.confirmed[0].trial == best.trial:
        unseen = answer.confirmed[0].held_out
        about = f"are healthy, on {unseen.prompts} held-out prompts"
        found.append(("On held-out prompts", unseen.sound, about))
    if probed := probe_agreement(results):
        found.append(("Probe", f"expected {probed[0]}", probed[1]))
    if results.facts.taste:
        found.append(_taste_fact(results, Taste(**results.facts.taste)))
    return found


def half_text(answer: Answer) -> str:
    """Return the share of images from which something survives, in words."""
    return "half" if answer.share == SURVIVES else f"{answer.share:.0%}"


def _taste_fact(results: Results, taste: Taste) -> tuple[str, str, str]:
    """Return how well the person's taste is known, and its say: which trial would lead without it."""
    trials = whole(results)
    if not taste.knows or trials.empty:
        return "Your taste", "not known yet", taste_text(taste)
    leaders = [
        trials.sort_values(["survived", by], ascending=[False, True]).iloc[0]["trial"]
        for by in ("defect", WITHOUT_TASTE)
    ]
    say = "the same trial leads without it"
    if leaders[0] != leaders[1]:
        names = [trial_text(results, results.trials, int(trial)) for trial in leaders]
        say = f"with it {names[0]} leads, without it {names[1]} would"
    return "Your taste", f"{taste.right} of {taste.tested}", f"held-out pairs guessed; {say}"


def _tied_fact(value: str, kind: str, elsewhere: int = 0) -> tuple[str, str, str]:
    about = f"a mean loss worse by {MARGIN:g} at most, {AS_GOOD:.0%} sure. {LOSS}"
    about = about if value else "none is known to be"
    about += f" And {elsewhere} in another mode." if elsewhere else ""
    return "As good as the best", value or f"no other {kind}", about


def _tied(results: Results, answer: Answer, main: str) -> tuple[str, str, str]:
    """Return the tied ratios of the best slice, and how many tie in the others."""
    trials = results.trials.set_index("trial").loc[list(answer.tied)]
    others = {name: answer.parameters[name] for name in results.parameters if name != main}
    same = trials[(trials[list(others)] == pd.Series(others)).all(axis=1)]
    values = [value_text(value) for value in sorted(same[main].unique())]
    many = f"{len(values)} in {values[0]}–{values[-1]}" if len(values) > MOST_TIED else ""
    return _tied_fact(many or ", ".join(values), parameter_text(main), len(trials) - len(same))


def _interval_text(found: Slice) -> str:
    return places_text(found, "{}–{}", " or ") if found.interval else found.note


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


def _ends_text(found: Slice, what: str) -> str:
    if found.window is None:
        return ""
    if _is_alone(found.window):
        return "nothing else is rendered yet"
    ends = ((found.window.low, "below"), (found.window.high, "above"))
    return ", ".join(end_text(edge, word, what) for edge, word in ends)


def commands(results: Results, answer: Answer) -> dict[str, str | None]:
    """Return the next commands: `run` to continue or repeat it, `export` where a merge survives."""
    relative = os.path.relpath(results.folder)
    folder = shlex.quote(str(results.folder) if relative.startswith("..") else relative)
    run = f"gridsearch run {shlex.quote(results.facts.file)} --out {folder}"
    best = answer.best
    if best is None or not survives(answer):
        return {"run": run, "export": None}
    mark = f"trial-{best.trial}" if answer.projection else None
    if best.ratio is not None and not answer.projection:
        mark = value_text(best.ratio)
        if len(results.parameters) > 1:  # a bare number would pass for any of them
            mark = f"{parameter_text(answer.main or 'ratio').replace(' ', '-')}-{mark}"
    name = results.name if mark is None else f"{results.name}-{mark}"
    return {"run": run, "export": f"gridsearch export {folder} -o {shlex.quote(f'{name}.safetensors')}"}


def pair(results: Results, answer: Answer) -> tuple[str, ...]:
    """Return the two models between which the recommended ratios of all blocks lie; empty without those."""
    models = best_steps(results, answer)[-1].models if answer.weights else ()
    return tuple(map(str, models)) if len(models) == 2 else ()


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
                said += f" The first image to fail is of {prompt}, at {value_text(edge.prompt_at)}."
        found.append(said)
    return found


def slice_rows(answer: Answer) -> list[dict]:
    """Return a row per slice, the best first."""
    rows = []
    for found in answer.slices:
        itself = f" ({found.parent} itself)" if found.parent else ""
        best = f"trial {found.trial}" if found.ratio is None else value_text(found.ratio) + itself
        ends = _ends_text(found, parameter_text(answer.main or "trial"))
        texts = {"interval": _interval_text(found), "window": _window_text(found), "ends": ends}
        rows.append({"found": found, "name": slice_text(found.settings), "best": best} | texts)
    return rows


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
