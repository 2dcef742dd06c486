"""Checks of a run on itself, in words: whether it can be trusted."""

from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd
import scipy

from gridsearch.base.words import metric_text, setting_text
from gridsearch.render.cases import case_of
from gridsearch.results.analysis.answer import Answer, Confirmation, SanityCheck, Slice, State
from gridsearch.results.analysis.held_out import LEVEL
from gridsearch.results.analysis.identical import ALIKE, drawn_with, identical, made_of, same_weights
from gridsearch.results.analysis.trials import distinct_trials, is_partial
from gridsearch.results.results import Results

SHIFTED = 0.05  # of the verdicts: a repeat that certainly changes more is no repeat
MOST_LISTED = 4  # named in one line

Named = Callable[[int], str]  # a trial in words


def checks(results: Results, answer: Answer, best: Slice) -> tuple[SanityCheck, ...]:
    """Return all checks in the order in which the data flows; one that could not be made says why."""
    trials = distinct_trials(results)
    if trials.empty:
        return ()
    named = partial(trial_text, results, results.trials)  # a trial that was checked may wait again
    known = trials.dropna(subset="weights") if "weights" in trials else trials.iloc[:0].assign(weights="")
    weights = dict(zip(known["trial"].astype(int), known["weights"].astype(str), strict=True))
    rows = trials[["trial", *results.parameters]].to_dict("records")
    merges = {int(row["trial"]): made_of(results.settings, row) for row in rows}  # equal ones may look alike
    found = {
        "The ends are the parents": _parents(results, merges, weights, named),
        "Different values make different merges": _weights_differ(merges, weights, named),
        "Every trial rendered its own images": _images_differ(results, rows, merges, named),
        "A repeat gives the same result": _repeat(results, best, trials, named),
        "The winner holds on other prompts": _held_out(results, answer, best, named),
    }
    return tuple(SanityCheck(name, *said) for name, said in found.items())


def trial_text(results: Results, trials: pd.DataFrame, trial: int) -> str:
    """Return a trial's parameters, as `ratio 0.45`, or its number where it has many."""
    if len(results.parameters) > 3 or not results.parameters:
        return f"trial {trial}"
    row = trials.set_index("trial").loc[trial]
    return ", ".join(setting_text(name, row[name]) for name in results.parameters if pd.notna(row[name]))


def _parents(results: Results, merges: dict, weights: dict, named: Named) -> tuple[State, str]:
    alone = {trial: made for trial, made in merges.items() if isinstance(made, str)}
    if not alone:
        return "not done", "No trial consists of one model alone."
    known = {t: model for t, model in alone.items() if t in weights and model in results.facts.parents}
    if not known:
        return "not done", "No fingerprints of the weights were stored."
    if wrong := sorted(t for t, model in known.items() if weights[t] != results.facts.parents[model]):
        lines = [f"{named(t)} is not {known[t]}, though the recipe says so" for t in wrong[:MOST_LISTED]]
        return "alarm", f"{_capital('; '.join(lines))}."
    said = dict.fromkeys(f"{named(t)} is {model}" for t, model in known.items())
    return "passed", f"{_capital(_some(said))}, bit for bit."


def _weights_differ(merges: dict, weights: dict, named: Named) -> tuple[State, str]:
    if len(weights) < 2:
        return "not done", "No fingerprints of the weights were stored."
    if pairs := same_weights(weights, merges):
        return "alarm", f"{_pairs(pairs, named)} have the same weights."
    count = len({merges[trial] for trial in weights})
    if count < len(weights):
        same = f"The {len(weights)} trials are {count} merges, as some differ only in how they were drawn"
        return "passed", f"{same}; no two merges have the same weights."
    return "passed", f"No two of {count} merges have the same weights."


def _images_differ(results: Results, trials: list[dict], merges: dict, named: Named) -> tuple[State, str]:
    images = results.images
    if images["digest"].isna().all():
        return "not done", "No fingerprints of the images were stored."
    # the first trial of each set of parameters that make one picture
    made = {row["trial"]: str((merges[row["trial"]], drawn_with(results.settings, row))) for row in trials}
    first = {what: trial for trial, what in reversed(made.items())}
    rows = images[images["trial"].isin(first.values())].dropna(subset="digest")
    rows = rows[~rows["verdict"].isin(ALIKE)]
    digests = {
        int(trial): {case_of(row): row["digest"] for row in own.to_dict("records")}
        for trial, own in rows.groupby("trial")
    }
    if pairs := identical(digests):
        return "alarm", f"{_pairs(pairs, named)} rendered the same images, pixel for pixel."
    return "passed", f"No two of {len(digests)} trials rendered the same images."


def _repeat(results: Results, best: Slice, trials: pd.DataFrame, named: Named) -> tuple[State, str]:
    again = results.checks_of("repeat")
    if again.empty:
        return "not done", "No trial was rendered a second time."
    trial = int(again["trial"].iloc[0])
    first = results.images[results.images["trial"] == trial]
    pairs = first.merge(again, on=["prompt_id", "seed"], suffixes=("", "_again"))
    if pairs.empty:
        return "not done", "The repeat has no prompt and seed in common with the trial."
    same = int((pairs["digest"].notna() & (pairs["digest"] == pairs["digest_again"])).sum())
    text = f"{_capital(named(trial))} rendered again: {same} of {len(pairs)} images are the same"
    if same == len(pairs):
        return "passed", f"{text}, pixel for pixel."
    floor = float((pairs["defect"] - pairs["defect_again"]).abs().mean())
    text += f", defects differ by {metric_text(round(floor, 4))} on average"
    changed = int((pairs["verdict"] != pairs["verdict_again"]).sum())
    if has_shifted(changed, len(pairs)):
        return "alarm", f"{text}, and {changed} verdicts changed, so no ranking can be trusted."
    if changed:
        text += f"; verdicts changed: {changed}"
    if below := _below(best, trials, floor):
        text += f"; too close to the best to distinguish: {_some(map(named, below))}"
    return "passed", f"{text}."


def has_shifted(changed: int, images: int) -> bool:
    """Return whether an exact binomial test refutes that no more than `SHIFTED` of the verdicts change.

    One change alone never does: an image may stand on the edge of two verdicts.
    """
    return changed > 1 and float(scipy.stats.binom.sf(changed - 1, images, SHIFTED)) < LEVEL


def _below(best: Slice, trials: pd.DataFrame, floor: float) -> list[int]:
    """Return the whole trials as sound as the best whose mean defect is within the floor of its."""
    rows = trials[~is_partial(trials)]
    near = (rows["defect"] - best.defect).abs() < floor
    near &= (rows["survived"] == best.survived) & (rows["trial"] != best.trial)
    return [int(trial) for trial in rows.loc[near, "trial"]]


def _held_out(results: Results, answer: Answer, best: Slice, named: Named) -> tuple[State, str]:
    if answer.unmasked:
        lucky, instead = named(answer.unmasked.trial), named(answer.unmasked.instead)
        taken = answer.unmasked.instead == best.trial  # a person may have chosen one that ties with it
        is_better = "is recommended instead" if taken else "does better"
        return "alarm", f"{_capital(lucky)} does not hold; {instead} {is_better}."
    if not results.facts.held_out and not answer.confirmed:
        return "not done", "No prompt was held out."
    if not answer.confirmed:
        return "not done", "The leaders have not been rendered on them yet."
    first = answer.confirmed[0]
    if first.trial != best.trial:
        return "not done", "The best trial was not rendered on them, only earlier leaders were."
    words = f"{first.held_out.sound} images are healthy on {first.held_out.prompts} held-out prompts"
    chosen = f"{first.selection.sound} on the prompts that chose it"
    text = f"{_capital(named(first.trial))}: {words}, {chosen}"
    # the best of equals is the luckiest of them, and falls back: Bonferroni over those it might have been
    if first.fell * (1 + len(answer.tied)) < LEVEL:
        return "alarm", f"{text}. No other leader does better on the held-out prompts, so they may be harder."
    return "passed", f"{text}. {_visible_text(first)}"


def _visible_text(first: Confirmation) -> str:
    """Return what so few prompts can show, since a check that can show nothing is passed too."""
    if first.visible is None:
        return "One prompt alone cannot show that a winner was lucky."
    needed = f"{first.visible:.2g} in the mean loss, where a failed image counts 1 to 2"
    return f"So few prompts would hardly show a fall of less than {needed}."


def _pairs(pairs: list, named: Named) -> str:
    return _capital(_some(f"{named(a)} and {named(b)}" for a, b in pairs))


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    left = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return ("; " if any("," in text for text in texts) else ", ").join(texts[:MOST_LISTED]) + left


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
