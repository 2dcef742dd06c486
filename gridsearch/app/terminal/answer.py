"""The last lines of a run: the answer, how sure it is, and where to look next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gridsearch.app.terminal.text import escape, out, say
from gridsearch.base.words import parameter_labels, shorten, value_text

if TYPE_CHECKING:  # they import pandas, which a command that prints its help must not wait for
    from gridsearch.results.analysis.answer import Answer, Doubt, Elsewhere, Plateau, Slice
    from gridsearch.results.analysis.window import Disagreement, Window
    from gridsearch.results.results import Results

LIKELIEST, NAMED, ALARMS = 4, 3, 3  # how many ratios, prompts and alarms are shown
MAX_WIDTH = 110  # characters, of all lines but alarms
ALARM = "ALARM"


def show_answer(results: Results, answer: Answer) -> None:
    """Print the answer, how sure it is, and where to look next."""
    from gridsearch.report.grid import savings_text
    from gridsearch.report.page.tables import pair

    show_headline(answer.sentence)
    for line in last_lines(results, answer):
        say(line)
    if answer.weights:  # to be copied whole
        models = [f"{letter} is {name}" for letter, name in zip("AB", pair(results, answer), strict=False)]
        where = f", where {' and '.join(models)}" if models else ""
        say(f"  blocks  to paste into supermerger{where}:")
        say(f"          {answer.weights}")
    if savings := savings_text(results.images):
        say(f"  saved   {savings}")
    show_next(results.folder, answer.file)


def show_headline(sentence: str) -> None:
    """Print the answer in one sentence, bold and folded at the terminal's width."""
    out.print()
    out.print(f"[bold]{escape(sentence)}[/]")


def show_next(folder: Path, file: str) -> None:
    """Print where the answer can be looked at, and the command that writes the merge to `file`, if any."""
    say(f"  report  {folder / 'report.html'}")
    say(f"  sheet   {folder / 'sheet.png'}")
    if file:
        say(f"  export  gridsearch export {shlex.quote(str(folder))} -o {shlex.quote(file)}")


def show_sentence(results: Results, answer: Answer) -> None:
    """Print the answer in one sentence, and the alarms."""
    say(answer.sentence)
    for line in last_lines(results, answer):
        if line.startswith(f"  {ALARM}"):
            say(line)


def last_lines(results: Results, answer: Answer) -> list[str]:
    """Return about ten lines on how sure the answer is and why; none where there is no answer."""
    if answer.best is None:
        return []
    return [
        f"  {label:<8}{text if label == ALARM else shorten(text, MAX_WIDTH - 10)}"
        for label, text in _lines(results, answer, answer.best)
    ]


def _lines(results: Results, answer: Answer, best: Slice) -> Iterator[tuple[str, str]]:
    from gridsearch.results.analysis.certainty import places_text
    from gridsearch.results.analysis.decided import decided_by
    from gridsearch.results.analysis.sensitivity import probe_agreement
    from gridsearch.results.analysis.sentence import render_text
    from gridsearch.results.analysis.trials import told_importances

    if decided := decided_by(results, answer):
        yield "decided", f"by {': '.join(decided)}"
    if best.interval:
        sure = f"{best.interval.level:.0%} sure, over {best.interval.prompts} prompts"
        yield "best in", f"{places_text(best, '{} to {}', ' or ')}, {sure}{best.note and f'; {best.note}'}"
    flat = best.plateau is not None and best.plateau.whole  # then the likeliest means nothing
    if best.doubt.chances and not flat:
        here = best.ratio or 0.0
        likely = sorted(best.doubt.chances, key=lambda one: (-one.chance, abs(one.ratio - here)))
        texts = (f"{value_text(c.ratio)} {c.chance:.0%}" for c in likely[:LIKELIEST] if c.chance >= 0.01)
        yield "chance", f"of being as good as any ratio tried: {', '.join(texts)}"
    if best.plateau:
        yield "equal", _plateau_text(best.plateau)
    if best.elsewhere:
        yield "others", _elsewhere_text(best.elsewhere)
    if best.window:
        yield "window", _window_text(best.window)
    if best.disagreement:
        yield "prompts", _disagreement_text(best.disagreement)
    if best.interval and best.doubt.narrowing and not flat:
        yield "more", _more_text(best.doubt, best.interval.prompts)
    if answer.projection:
        alive = sum(near.survived >= answer.share for near in answer.neighbours)
        yield "nearby", f"{alive} of the {len(answer.neighbours)} trials nearest to it survive"
    if answer.importances:
        labels = parameter_labels(results.parameters)
        shares = [f"{labels[name]} {share:.0%}" for name, share in told_importances(results, answer)[:NAMED]]
        few = "too few trials to say which values matter"
        yield "matters", f"share of the differences between trials: {', '.join(shares)}" if shares else few
    if settings := render_text(answer):
        yield "set", f"draw with {settings}: the checkpoint does not hold it"
    if answer.front:
        yield "front", f"{len(answer.front)} trials that no other beats on both blur and noise"
    if probed := probe_agreement(results):
        yield "before", f"expected {'; '.join(probed)}"
    if answer.confirmed:
        yield "unseen", _held_out_text(results, answer)
    if answer.stopped:
        trials = answer.complete + answer.stopped
        yield "races", f"{answer.stopped} of {trials} trials were stopped because they could not win"
    for check in answer.alarms[:ALARMS]:
        yield ALARM, f"{check.name}? {check.text}"


def _plateau_text(found: Plateau) -> str:
    ends = f"{value_text(found.low)} to {value_text(found.high)}"
    text = f"{ends} draw equally well, within {found.margin:g} of the loss"
    if not found.more_prompts:
        return f"{text} ({found.level:.0%} sure)"
    return f"{text} ({found.level:.0%} sure); {found.more_prompts} more prompts would show such a difference"


def _elsewhere_text(found: Elsewhere) -> str:
    expected = f"on other prompts, expect {found.survived:.0%} of the images to be healthy"
    return f"{expected} ({found.low:.0%} to {found.high:.0%}, {found.level:.0%} sure)"


def _window_text(window: Window) -> str:
    text = f"{value_text(window.low.inside)} to {value_text(window.high.inside)}"
    ends = [
        f"{edge.prompt} at {value_text(edge.prompt_at)} {side}"
        for edge, side in ((window.low, "below"), (window.high, "above"))
        if edge.prompt is not None
    ]
    return f"{text}; first failed images: {', '.join(ends)}" if ends else text


def _disagreement_text(found: Disagreement) -> str:
    text = f"taken alone, their best ratios lie between {value_text(found.low)} and {value_text(found.high)}"
    odd = [view for view in found.prompts if view.stands_out]
    named = [f"{view.prompt} {view.stands_out}" for view in odd[:NAMED]]
    if len(odd) > NAMED:
        named.append(f"and {len(odd) - NAMED} more stand out")
    return "; ".join([text, *named])


def _more_text(doubt: Doubt, have: int) -> str:
    """Return how many prompts more than those that there are would narrow the interval as wanted."""
    now, wanted, finest, needed = doubt.width, doubt.wanted_width, doubt.finest, doubt.prompts_needed
    assert now is not None
    assert wanted is not None
    assert finest is not None
    if needed is None:
        return f"no number of prompts narrows it to {wanted:.3g}: the values tried are {finest:.3g} apart"
    if needed <= have:
        asked = "asked" if now <= wanted and wanted > finest else "the values tried allow"
        return f"the interval is {now:.3g} wide, as narrow as {asked}"
    prompts = "1 more prompt" if needed == have + 1 else f"{needed - have} more prompts"
    return f"about {prompts} would narrow the interval from {now:.3g} to {wanted:.3g}"


def _held_out_text(results: Results, answer: Answer) -> str:
    """Return each leader's share of sound images on held-out prompts, and on the prompts that chose it."""
    trials = results.trials.set_index("trial")
    place = answer.main if answer.main and not answer.projection else None
    parts = []
    for found in answer.confirmed[:NAMED]:
        name = value_text(trials[place][found.trial]) if place else f"trial {found.trial}"
        unseen, chosen = (of.sound.replace(" of ", "/") for of in (found.held_out, found.selection))
        parts.append(f"{name} {unseen} ({chosen})")
    prompts = answer.confirmed[0].held_out.prompts
    return f"healthy on {prompts} held-out prompts (on the search prompts): {', '.join(parts)}"
