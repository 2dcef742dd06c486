"""The answer in words: a sentence for people who merge models."""

import re

from gridsearch.base.words import parameter_text, setting_text, value_text
from gridsearch.experiment.composition import model_text
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.certainty import GUESS, how_sure, places_text, runner_up_text
from gridsearch.results.analysis.window import Window, WindowEdge
from gridsearch.score.score import SURVIVES

MOST_NAMED = 4  # values in a headline; where more were searched, the trial's number stands for them


def sentence(answer: Answer, ends: str = "") -> str:
    """Return the parameters to take, how sure that is, where the merge survives.

    Args:
        ends: a sentence on what lies at the end of what was tried; empty where nothing does.
    """
    best = answer.best
    if best is None:
        return _nothing(answer)
    if survives(answer):
        itself = f", which is {model_text(best.parent)} itself" if best.parent else ""
        text = f"{take_text(answer)}{itself}: {_healthy(best)}"
    else:
        least = f"{_named(answer, best)}{mode_text(best.settings)}{_of(answer)}, where {_healthy(best)}"
        what = parameter_text(answer.main) if answer.main else "trial"
        text = f"No {what} keeps {answer.share:.0%} of its images healthy; the least bad is {least}"
    if best.survived:
        text += f"; {_doubt(answer, best)}"
    text += f"{_survival(answer, best)}.{_capital(runner_up_text(answer))}{ends}"
    text += f"{luck_text(answer)}{human_text(answer)}"
    if answer.finished:
        return text
    return f"So far, with {answer.complete} of {answer.planned} trials: {text[0].lower()}{text[1:]}"


def _nothing(answer: Answer) -> str:
    if answer.finished and answer.stopped:
        tried = "the only trial was" if answer.stopped == 1 else f"all {answer.stopped} trials were"
        return f"Nothing survives: {tried} stopped because too few images were healthy."
    return f"No answer yet: none of the {answer.planned} trials is complete."


def survives(answer: Answer) -> bool:
    return answer.best is not None and answer.best.survived >= answer.share


def half_text(answer: Answer) -> str:
    """Return the share of images from which something survives, in words."""
    return "half" if answer.share == SURVIVES else f"{answer.share:.0%}"


def take_text(answer: Answer) -> str:
    """Return the parameters to take, and what they make the merge of."""
    return f"{headline_text(answer)}{_of(answer)}"


def headline_text(answer: Answer) -> str:
    """Return the headline: the parameters to take."""
    best = answer.best
    if best is None:
        return "No answer yet"
    values = f"{_named(answer, best)}{mode_text(best.settings)}"
    if answer.projection and len(answer.parameters) <= MOST_NAMED:
        values = ", ".join(setting_text(name, value) for name, value in answer.parameters.items())
    return f"{'Take' if survives(answer) else 'Least bad:'} {values}"


def _of(answer: Answer) -> str:
    return f" ({answer.composition})" if answer.composition else ""


def lede_text(answer: Answer) -> str:
    """Return the sentence as it reads under its headline, which it need not repeat."""
    text = answer.sentence.removeprefix(f"{take_text(answer)}: ")
    return text[0].upper() + text[1:]


def render_text(answer: Answer) -> str:
    """Return the recommended render settings, which no checkpoint holds, as `cfg 7`; empty without any."""
    searched = answer.parameters.items()
    return ", ".join(setting_text(name, value) for name, value in searched if name.startswith("render."))


def file_text(name: str, answer: Answer) -> str:
    """Return what the recommended merge's file may be called, after its run; empty where nothing survives."""
    best = answer.best
    if best is None or not survives(answer):
        return ""
    marks = [setting_text(key, value) for key, value in answer.parameters.items() if value is not None]
    if len(marks) > MOST_NAMED:
        marks = [f"trial {best.trial}"]
    elif len(marks) == 1 and best.ratio is not None:  # one number alone needs no name
        marks = [value_text(best.ratio)]
    return "-".join([name, *(re.sub(r"[^\w.+-]+", "-", mark) for mark in marks)]) + ".safetensors"


def luck_text(answer: Answer) -> str:
    """Return a sentence on a winner by luck, to follow another; empty where there was none."""
    if answer.unmasked is None or answer.best is None:
        return ""
    trial, instead = answer.unmasked.trial, answer.unmasked.instead
    on_others = {found.trial: found.held_out for found in answer.confirmed}
    lucky, kept = on_others[trial].sound, on_others[instead].sound
    named = answer.unmasked.named
    whose = "the recommended trial" if answer.best.trial == instead else "the best trial there"
    return (
        f" {named[:1].upper()}{named[1:]} won on the selection prompts by luck: on the held-out prompts, "
        f"{lucky} of its images are healthy, compared with {kept} of {whose}."
    )


def human_text(answer: Answer) -> str:
    """Return a sentence on a person's preference, to follow another; empty where none was asked."""
    human = answer.human
    if human is None:
        return ""
    if human.winner is None:
        return f" You judged {human.pairs} blind pairs. {human.note}"
    found = human.preference(human.winner)
    equal = f", with {found.ties} tie{'s' if found.ties > 1 else ''}" if found.ties else ""
    return (
        f" You preferred it in {found.wins} of its {found.pairs} blind pairs{equal} "
        f"({found.chance:.0%} sure that you like it best of {len(human.trials)}). {human.note}".rstrip()
    )


def mode_text(settings: dict) -> str:
    """Return the other settings of a slice, to follow a noun: ` in v_prediction mode with epoch6`."""
    parts = [_setting(name, value) for name, value in settings.items() if value is not None]
    return "".join(sorted(parts, key=lambda part: not part.startswith(" in")))


def _setting(name: str, value: object) -> str:
    if name.endswith("prediction_type"):
        return f" in {value} mode"
    if name == "components.vae":
        return f" with the VAE of {value}"
    return f" {'by' if name.endswith('.method') else 'with'} {setting_text(name, value)}"


def _named(answer: Answer, best: Slice) -> str:
    if answer.main is None or answer.projection:
        return f"trial {best.trial}"
    return setting_text(answer.main, best.ratio)


def _healthy(best: Slice) -> str:
    healthy = round(best.survived * best.images)
    if best.images == 1:
        return f"its only image is {'' if healthy else 'not '}healthy"
    if healthy == best.images:
        return f"all {healthy} images are healthy"
    return f"{healthy} of {best.images} images {'is' if healthy == 1 else 'are'} healthy"


def _doubt(answer: Answer, best: Slice) -> str:
    if answer.projection:
        return _doubt_of_many(answer)
    if best.interval is None or answer.main is None:
        return best.note
    what, plateau = parameter_text(answer.main), best.plateau
    if plateau is not None and plateau.whole:
        ends = f"from {value_text(plateau.low)} to {value_text(plateau.high)}"
        equal = f"nothing differs by more than {plateau.margin:g} in the mean loss ({plateau.level:.0%} sure)"
        advice = f", so take any {what}, or this one for its distance from the ends"
        return f"{ends} {equal}{advice if survives(answer) else ''}"
    lies = f"the best {what} lies {places_text(best, 'between {} and {}', ' or ')} ({_level(best)})"
    sure = how_sure(answer)
    if sure and sure[0] == GUESS and _holds_window(best):
        return f"this is {GUESS}: {best.interval.prompts} prompts tell only that {lies}"
    return lies


def _capital(text: str) -> str:
    """Return words as a sentence, to follow another; nothing of nothing."""
    return f" {text[0].upper()}{text[1:]}." if text else ""


def _holds_window(best: Slice) -> bool:
    """Return whether the interval holds all that survives."""
    low, high = (best.window.low.inside, best.window.high.inside) if best.window else (0.0, 0.0)
    return low < high and [one.low <= low and one.high >= high for one in best.doubt.places] == [True]


def _doubt_of_many(answer: Answer) -> str:
    """Return how sure the best of a search over many values is, of which there is no interval."""
    sure = how_sure(answer)
    text = f"this is {sure[0]}: {sure[1]}" if sure else ""
    if not answer.confirmed:
        return text
    unseen = answer.confirmed[0].held_out
    return f"{text}; on {unseen.prompts} held-out prompts {unseen.sound} images are healthy"


def _level(best: Slice) -> str:
    return f"{best.interval.level:.0%} sure" if best.interval else ""


def _survival(answer: Answer, best: Slice) -> str:
    if best.window is None:
        return ""
    low, high = best.window.low, best.window.high
    narrow, first, last = low.inside == high.inside, value_text(low.inside), value_text(high.inside)
    rule = f"(at least {half_text(answer)} of its images are healthy)"
    text = f", and the merge survives {rule} {f'at {first} only' if narrow else f'from {first} to {last}'}"
    if low.outside is None and high.outside is None:  # one place alone is no window
        return "" if narrow else text + ", the whole range"
    ends = [
        end_text(edge, word, parameter_text(answer.main or "ratio"))
        for edge, word in ((low, "below"), (high, "above"))
    ]
    text += f" on these prompts ({', '.join(ends)}){_all_prompts(best.window)}"
    again = [f"{value_text(one.low.inside)} to {value_text(one.high.inside)}" for one in best.others]
    return text + (f"; it survives again from {' and from '.join(again)}" if again else "")


def end_text(edge: WindowEdge, word: str, what: str) -> str:
    """Return what ends a window below or above: `burnt above`, or `0.80 is the highest ratio tried`."""
    if edge.outside is not None:
        return f"{edge.verdict} {word}"
    return f"{value_text(edge.inside)} is the {'lowest' if word == 'below' else 'highest'} {what} tried"


def _all_prompts(window: Window) -> str:
    """Return what this says of all prompts, to follow what holds of those that were drawn."""
    if not window.sure:
        return "; these prompts are too few to tell for others"
    return (
        f"; on other prompts of this kind that range begins at {edge_text(window.low)} "
        f"and ends at {edge_text(window.high)}"
    )


def edge_text(edge: WindowEdge) -> str:
    """Return where an edge lies for all prompts: an interval, or the end of what was tried."""
    least, most = value_text(edge.least), value_text(edge.most)
    return least if edge.least == edge.most else f"{least}–{most}"
