"""The certainty of an answer, in a word, and what that is based on."""

from gridsearch.base.words import count_text, parameter_text, setting_text, slice_text, value_text
from gridsearch.results.analysis.answer import Answer, Rivals, Slice
from gridsearch.results.analysis.optimum import RELIABLE_PROMPTS

GUESS, ROUGH, SURE = "a guess", "fairly sure", "sure"
WIDE, NARROW = 1 / 3, 1 / 8  # of the range that was tried: an interval of more is a guess, of less sure


def how_sure(answer: Answer) -> tuple[str, str] | None:
    """Return a word, and what it is based on; None where nothing is recommended or no number was searched.

    A guess: one prompt, an interval over a third of what was tried, or half of the other trials of a search
    over many values may be as good. It is never sure with few prompts, or where another curve's best is as
    good.
    """
    best = answer.best
    if best is None:
        return None
    if answer.rivals is not None:
        return _of_many(answer, best, answer.rivals)
    if answer.main is None or best.ratio is None:
        return None
    if best.interval is None:
        return GUESS, best.note
    what, prompts = parameter_text(answer.main), best.interval.prompts
    if best.plateau is not None and best.plateau.whole:
        return SURE, f"any {what} that survives is as good ({best.plateau.level:.0%}), by {prompts} prompts"
    text = f"the best {what} lies {places_text(best, 'between {} and {}', ' or ')}"
    text = f"{text} ({best.interval.level:.0%}), by {prompts} prompts{_more(best, prompts)}"
    other = runner_up_text(answer)
    if other:
        text = f"with {slice_text(best.settings)}, {text}; {other}"
    few = prompts < RELIABLE_PROMPTS or bool(other)
    share = _share(best)
    return GUESS if share > WIDE else ROUGH if few or share > NARROW else SURE, text


def runner_up_text(answer: Answer) -> str:
    """Return that another curve's best is as good or nearly, `with cfg 2, ratio 0.50 is ...`; or nothing."""
    other = next((one for one in answer.slices if one.trial == answer.runner_up), None)
    if other is None or answer.best is None:
        return ""
    apart = {name: value for name, value in other.settings.items() if value != answer.best.settings[name]}
    good = "is as good" if other.trial in answer.tied else "is nearly as good"
    if answer.main is None or other.ratio is None:
        return f"{slice_text(apart)} {good}"
    return f"with {slice_text(apart)}, {setting_text(answer.main, other.ratio)} {good}"


def _share(best: Slice) -> float:
    """Return how much of the range that was tried the interval is; 1 where two prompts give no chances."""
    tried = [one.ratio for one in best.doubt.chances]
    if not tried:
        return 1.0
    return sum(one.high - one.low for one in best.doubt.places) / (max(tried) - min(tried))


def _more(best: Slice, have: int) -> str:
    needed = (best.doubt.prompts_needed or 0) - have
    if needed <= 0 or not best.doubt.width:
        return ""
    narrower = f"narrow that to {best.doubt.wanted_width:.2g}"
    if abs((best.doubt.wanted_width or 0.0) / best.doubt.width - 0.5) < 1e-6:
        narrower = "halve that"
    return f"; about {count_text(needed, 'more prompt')} would {narrower}"


def _of_many(answer: Answer, best: Slice, rivals: Rivals) -> tuple[str, str]:
    """Return how sure the best of many values is: how many others may be as good, and what would tell."""
    if not rivals.others:
        return GUESS, "nothing to compare it with yet"
    text = f"judging by {count_text(best.images, 'image')} each, "
    text += ruled_out_text(answer, rivals) + _as_good_text(answer, rivals)
    if answer.complete <= len(answer.parameters):
        text += f"; {count_text(answer.complete, 'trial')} for {len(answer.parameters)} values is little"
    if rivals.open and rivals.more_prompts:
        half = f"decide half of those {rivals.open}" if rivals.open > 1 else "tell which is better"
        text += f"; about {count_text(rivals.more_prompts, 'more prompt')} would {half}"
    few = rivals.prompts < RELIABLE_PROMPTS
    if rivals.prompts < 2 or 2 * rivals.open > rivals.others or (few and rivals.open):
        return GUESS, text
    return ROUGH if few or rivals.open else SURE, text


def ruled_out_text(answer: Answer, rivals: Rivals) -> str:
    """Return how many of the other trials of many values are surely worse: `only 2 of ... are ruled out`."""
    others, worse = rivals.others, rivals.others - len(answer.tied) - rivals.open
    if others == 1:
        return "the other trial " + (
            "is as good" if answer.tied else "may be as good" if rivals.open else "is worse"
        )
    if worse == others:
        return f"all {others} other trials are ruled out"
    ruled = "none" if not worse else f"{'only ' if 2 * worse < others else ''}{worse}"
    return f"{ruled} of the {others} other trials {'are' if worse > 1 else 'is'} ruled out"


def _as_good_text(answer: Answer, rivals: Rivals) -> str:
    """Return how many of several other trials are as good, and how many may be; empty where none is."""
    equal = len(answer.tied)
    good = f"{equal} {'is' if equal == 1 else 'are'} as good" if equal else ""
    may = f"{rivals.open} may be{'' if equal else ' as good'}" if rivals.open else ""
    told = " and ".join(filter(None, (good, may)))
    return f": {told}" if told and rivals.others > 1 else ""


def places_text(best: Slice, form: str, joint: str) -> str:
    """Return where the best may lie, each place in this form."""
    places = best.doubt.places or (best.interval,)
    return joint.join(
        form.format(*(value_text(round(end, 3)) for end in (p.low, p.high))) for p in places if p
    )
