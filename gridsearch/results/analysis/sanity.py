"""Can the run be trusted? Each check of `gridsearch.results.analysis.identical` as a line of words."""

from collections.abc import Iterable
from functools import partial

import pandas as pd

from gridsearch.base.words import metric_text, setting_text
from gridsearch.results.analysis import identical
from gridsearch.results.analysis.answer import Answer, SanityCheck
from gridsearch.results.analysis.held_out import LEVEL
from gridsearch.results.analysis.trials import counted, drawn_with, is_partial, made_of
from gridsearch.results.results import Results

SHIFTED = 0.05  # of the verdicts: a repeat that certainly changes more is no repeat
LISTED = 4  # named in one line


def checks(results: Results, answer: Answer) -> tuple[SanityCheck, ...]:
    """All checks in the order in which the data flows; one that could not be made says why."""
    trials = counted(results)
    if trials.empty:
        return ()
    named = partial(trial_text, results, results.trials)  # a trial that was checked may wait again
    weights = _weights(trials)
    return (
        _parents(results, trials, weights, named),
        _weights_differ(results, trials, weights, named),
        _images_differ(results, trials, named),
        _repeat(results, answer, trials, named),
        _held_out(results, answer, named),
    )


def trial_text(results: Results, trials: pd.DataFrame, trial: int) -> str:
    """A trial by its parameters: `ratio 0.45`; by its number where they are many."""
    if len(results.parameters) > 3 or not results.parameters:
        return f"trial {trial}"
    row = trials.set_index("trial").loc[trial]
    return ", ".join(setting_text(name, row[name]) for name in results.parameters if pd.notna(row[name]))


def _weights(trials: pd.DataFrame) -> dict[int, str]:
    if "weights" not in trials:
        return {}
    known = trials.dropna(subset="weights")
    return dict(zip(known["trial"].astype(int), known["weights"].astype(str), strict=True))


def _merges(results: Results, trials: pd.DataFrame) -> dict[int, str | tuple]:
    """What each trial merged; of two equal ones, neither weights nor images need differ."""
    rows = trials[["trial", *results.parameters]].to_dict("records")
    return {int(row["trial"]): made_of(results.settings, row) for row in rows}


def _parents(results: Results, trials: pd.DataFrame, weights: dict, named) -> SanityCheck:
    name = "The ends are the parents"
    alone = {trial: made for trial, made in _merges(results, trials).items() if isinstance(made, str)}
    if not alone:
        return SanityCheck(name, "not done", "No trial is one model alone.")
    known = {t: model for t, model in alone.items() if t in weights and model in results.parents}
    if not known:
        return SanityCheck(name, "not done", "No fingerprints of the weights were kept.")
    if wrong := identical.not_the_parent(weights, known, results.parents):
        text = "; ".join(f"{named(t)} is not {known[t]}, though the recipe says so" for t in wrong[:LISTED])
        return SanityCheck(name, "alarm", f"{_capital(text)}.")
    said = dict.fromkeys(f"{named(t)} is {model}" for t, model in known.items())
    return SanityCheck(name, "passed", f"{_capital(_some(said))}, bit for bit.")


def _weights_differ(results: Results, trials: pd.DataFrame, weights: dict, named) -> SanityCheck:
    name = "Every merge is its own"
    if len(weights) < 2:
        return SanityCheck(name, "not done", "No fingerprints of the weights were kept.")
    merges = {trial: made for trial, made in _merges(results, trials).items() if trial in weights}
    if pairs := identical.same_weights(weights, merges):
        return SanityCheck(name, "alarm", f"{_pairs(pairs, named)} have the same weights.")
    return SanityCheck(
        name, "passed", f"{len(set(merges.values()))} different merges have different weights."
    )


def _images_differ(results: Results, trials: pd.DataFrame, named) -> SanityCheck:
    name = "Every trial drew its own images"
    images = results.images
    if "digest" not in images or images["digest"].isna().all():
        return SanityCheck(name, "not done", "No fingerprints of the images were kept.")
    merges = _merges(results, trials)
    shown = trials[["trial", *results.parameters]].to_dict("records")
    made = [str((merges[row["trial"]], drawn_with(results.settings, row))) for row in shown]
    first = trials.assign(made=made).drop_duplicates("made")
    rows = images[images["trial"].isin(first["trial"])].dropna(subset="digest")
    rows = rows[~rows["verdict"].isin(identical.ALIKE)]
    digests = {int(trial): _by_case(own, "digest") for trial, own in rows.groupby("trial")}
    if pairs := identical.identical(digests):
        return SanityCheck(name, "alarm", f"{_pairs(pairs, named)} drew the same images, pixel for pixel.")
    return SanityCheck(name, "passed", f"No two of {len(digests)} trials drew the same images.")


def _by_case(images: pd.DataFrame, column: str) -> dict[str, object]:
    return {f"{row['prompt_id']} {row['seed']}": row[column] for _, row in images.iterrows()}


def _repeat(results: Results, answer: Answer, trials: pd.DataFrame, named) -> SanityCheck:
    name = "A repeat gives the same"
    again = results.checks_of("repeat")
    if again.empty:
        return SanityCheck(name, "not done", "No trial was drawn a second time.")
    trial = int(again["trial"].iloc[0])
    found = identical.repeat(_drawn(results.images[results.images["trial"] == trial]), _drawn(again))
    if found is None:
        return SanityCheck(name, "not done", "The repeat has no image of the same prompt and seed.")
    text = f"{_capital(named(trial))} drawn again: {found.identical} of {found.images} images are the same"
    if found.identical == found.images:
        return SanityCheck(name, "passed", f"{text}, pixel for pixel.")
    text += f", defects differ by {metric_text(round(found.floor, 4))} on average"
    if found.changes_more_than(SHIFTED, LEVEL):
        changed = found.images - found.verdicts
        return SanityCheck(
            name, "alarm", f"{text}, and {changed} verdicts changed: no ranking holds at that."
        )
    if found.verdicts < found.images:
        text += f"; verdicts changed: {found.images - found.verdicts}"
    below = _below(answer, trials, found.floor)
    text += f"; nearer to the best than that, and so not told from it: {_some(map(named, below))}" * bool(
        below
    )
    return SanityCheck(name, "passed", f"{text}.")


def _drawn(images: pd.DataFrame) -> dict[str, tuple]:
    digests = images["digest"] if "digest" in images else pd.Series(None, images.index, dtype=object)
    rows = images.assign(digest=digests.where(digests.notna(), None))
    return {
        f"{row['prompt_id']} {row['seed']}": (row["digest"], row["verdict"], row["defect"])
        for _, row in rows.iterrows()
    }


def _below(answer: Answer, trials: pd.DataFrame, floor: float) -> list[int]:
    """The whole trials as sound as the best whose mean defect is within the floor of its."""
    rows = trials[~is_partial(trials)]
    near = (rows["defect"] - answer.best.defect).abs() < floor
    near &= (rows["survived"] == answer.best.survived) & (rows["trial"] != answer.best.trial)
    return [int(trial) for trial in rows.loc[near, "trial"]]


def _held_out(results: Results, answer: Answer, named) -> SanityCheck:
    name = "The winner holds on other prompts"
    if answer.unmasked:
        lucky, instead = named(answer.unmasked.trial), named(answer.unmasked.instead)
        taken = answer.unmasked.instead == answer.best.trial  # a person may have chosen one that ties with it
        is_better = "is recommended instead" if taken else "does better"
        return SanityCheck(name, "alarm", f"{_capital(lucky)} does not; {instead} {is_better}.")
    if not answer.confirmed:
        why = "The leaders are not drawn on them yet." if results.held_out else "No prompt was kept apart."
        return SanityCheck(name, "not done", why)
    first = answer.confirmed[0]
    if first.trial != answer.best.trial:
        return SanityCheck(
            name, "not done", "The best trial is not drawn on them; a trial that led before is."
        )
    words = f"{first.held_out.sound} images are sound on {first.held_out.prompts} prompts kept apart"
    chosen = f"{first.selection.sound} on those that chose it"
    text = f"{_capital(named(first.trial))}: {words}, {chosen}"
    # the best of equals is the luckiest of them, and falls back: Bonferroni over those it might have been
    if first.fell * (1 + len(answer.tied)) < LEVEL:
        return SanityCheck(
            name, "alarm", f"{text}. No other leader does better on them, so they may be harder."
        )
    return SanityCheck(name, "passed", f"{text}.")


def _pairs(pairs: list, named) -> str:
    return _capital(_some(f"{named(a)} and {named(b)}" for a, b in pairs))


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    left = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return ("; " if any("," in text for text in texts) else ", ").join(texts[:LISTED]) + left


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
