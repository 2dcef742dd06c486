"""Colours of verdicts and curves, and a prompt as alternative text."""

from gridsearch.base.words import shorten

# Okabe & Ito's palette, which is safe with the common kinds of colour blindness. A verdict's word always
# stands beside its colour. In the order in which verdicts appear along a ratio.
VERDICT_COLOURS = {
    "black": "#1a1a1a",
    "nan": "#8a6d00",
    "blank": "#5f6672",
    "ghost": "#56b4e9",
    "ok": "#009e73",
    "burnt": "#d55e00",
    "noise": "#cc79a7",
}
SPOKEN = 90  # letters of a prompt in an alternative text, which is read aloud
SLICE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def verdict_colour(verdict: str) -> str:
    """Return the colour of a verdict."""
    return VERDICT_COLOURS.get(verdict, "#e69f00")


def chip(verdict: str) -> dict[str, str]:
    """Return a verdict with its colour, and the colour of the word on it."""
    colour = verdict_colour(verdict)
    return {"verdict": verdict, "colour": colour, "ink": text_on(colour)}


def text_on(colour: str) -> str:
    """Return black or white, whichever reads better on `colour` (relative luminance, WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def spoken(prompt: str) -> str:
    """Return a prompt for an alternative text, shortened: the page has one for every picture."""
    return shorten(prompt, SPOKEN)
