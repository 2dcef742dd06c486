"""The answer's figures for the page: a few cards under the answer, and a table of all further down."""

from collections.abc import Iterator

import pandas as pd

from gridsearch.base.words import count_text, defect_text, parameter_text, value_text
from gridsearch.report.page.tables import interval_text, window_ends, window_text
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.certainty import how_sure, ruled_out_text
from gridsearch.results.analysis.decided import decided_by
from gridsearch.results.analysis.optimum import MARGIN
from gridsearch.results.analysis.ranking import AS_GOOD
from gridsearch.results.analysis.sanity import trial_text
from gridsearch.results.analysis.sensitivity import probe_agreement
from gridsearch.results.analysis.sentence import half_text
from gridsearch.results.analysis.trials import whole
from gridsearch.results.columns import WITHOUT_TASTE
from gridsearch.results.results import Results
from gridsearch.score.taste import Taste, taste_text

MOST_TIED = 4  # ratios that are listed

Fact = tuple[str, str, str]  # a label, the value, and a word of explanation


def cards(results: Results, answer: Answer) -> list[Fact]:
    """Return what a reader asks first: how sure it is, how many are healthy, where, what else to take."""
    best = answer.best
    if best is None:
        return []
    found = []
    if sure := how_sure(answer):  # the sentence above says the rest
        text = ruled_out_text(answer, answer.rivals) if answer.rivals and answer.rivals.others else sure[1]
        found.append(("How sure", sure[0], text))
    sound = f"{round(best.survived * best.images)} of {best.images}"
    found.append(("Healthy images", sound, _others(answer, best)))
    if answer.projection and answer.neighbours:
        alive = sum(near.survived >= answer.share for near in answer.neighbours)
        about = (
            f"of the trials nearest to it survive: {half_text(answer)} of their images or more are healthy"
        )
        found.append(("Nearby", f"{alive} of {len(answer.neighbours)}", about))
    elif best.ratio is not None and answer.main and not answer.projection:
        what = parameter_text(answer.main)
        ends = f"no {what} keeps {answer.share:.0%} of its images"
        if best.window:
            ends = f"{half_text(answer)} of the images or more are healthy; {window_ends(best.window, what)}"
        found.append(("Survives between", window_text(best), ends))
    if answer.tied:
        more = f"and {answer.rivals.open} more may be" if answer.rivals and answer.rivals.open else ""
        about = f"{more or 'as far as these images tell'}: choose by eye"
        found.append(("As good", _tied_text(results, answer), about))
    return found


def _others(answer: Answer, best: Slice) -> str:
    """Return what is known of images that had no say."""
    if answer.confirmed and answer.confirmed[0].trial == best.trial:
        unseen = answer.confirmed[0].held_out
        return f"and {unseen.sound} on {count_text(unseen.prompts, 'prompt')} that had no say in the choice"
    if best.elsewhere:
        return f"expect {best.elsewhere.survived:.0%} on other prompts"
    return "of the recommended trial"


def _tied_text(results: Results, answer: Answer) -> str:
    """Return what is as good: the ratios of the best slice, and how many tie in others; or the trials."""
    if answer.projection or not answer.main:
        names = ", ".join(map(str, answer.tied))
        count = count_text(len(answer.tied), "trial")
        return count if len(answer.tied) > MOST_TIED else f"{count}: {names}"
    trials = results.trials.set_index("trial").loc[list(answer.tied)]
    others = {name: answer.parameters[name] for name in results.parameters if name != answer.main}
    same = trials[(trials[list(others)] == pd.Series(others)).all(axis=1)]
    values = [value_text(value) for value in sorted(same[answer.main].unique())]
    many = f"{len(values)} in {values[0]}–{values[-1]}" if len(values) > MOST_TIED else ", ".join(values)
    left = len(trials) - len(same)
    return " and ".join(filter(None, (many, f"{left} in another mode" if left else "")))


# -- all of them


def all_facts(results: Results, answer: Answer) -> list[Fact]:
    """Return the figures behind the answer, each with its meaning."""
    best = answer.best
    return [*_numbers(results, answer, best)] if best else []


def _numbers(results: Results, answer: Answer, best: Slice) -> Iterator[Fact]:
    about = "how far its images are from healthy on average: 0 is healthy, larger is worse"
    yield "Mean defect", defect_text(best.defect), about
    if decided := decided_by(results, answer):
        yield "Decided by", *decided
    if best.interval:
        level = f"{best.interval.level:.0%} sure, over {best.interval.prompts} prompts"
        about = f"where the best {parameter_text(answer.main or 'ratio')} lies for all prompts of this kind"
        yield "Best between", interval_text(best), "; ".join(filter(None, (about, level, best.note)))
    if best.interval and (best.doubt.prompts_needed or 0) > best.interval.prompts:
        about = f"to narrow that from {best.doubt.width:.3g} to {best.doubt.wanted_width:.3g}"
        yield "Prompts needed", f"about {best.doubt.prompts_needed}", about
    if best.elsewhere:
        other = best.elsewhere
        about = f"of the images are healthy, {other.level:.0%} sure; {other.survived:.0%} is expected"
        yield "On other prompts", f"{other.low:.0%} to {other.high:.0%}", about
    if answer.tied:
        about = (
            f"{AS_GOOD:.0%} sure that the mean loss is worse by {MARGIN:g} at most; "
            "an image's loss is its defect on a scale from 0 to 1, and 1 more if it failed"
        )
        yield "As good", _tied_text(results, answer), about
    if answer.confirmed and answer.confirmed[0].trial == best.trial:
        unseen = answer.confirmed[0].held_out
        about = f"are healthy, on {count_text(unseen.prompts, 'prompt')} that had no say"
        yield "On held-out prompts", unseen.sound, about
    if probed := probe_agreement(results):
        yield "Before drawing", f"expected {probed[0]}", probed[1]
    if results.facts.taste:
        yield _taste(results, Taste(**results.facts.taste))


def _taste(results: Results, taste: Taste) -> Fact:
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
