"""The words, numbers and colours that the sheet, the report and the answer share."""

from gridsearch.base.words import shorten

# Okabe & Ito's palette, told apart with any of the common colour blindnesses. A verdict's word always
# stands beside its colour. Ordered as they appear along a ratio.
VERDICT_COLOURS = {
    "black": "#1a1a1a",
    "nan": "#8a6d00",
    "blank": "#5f6672",
    "ghost": "#56b4e9",
    "ok": "#009e73",
    "burnt": "#d55e00",
    "noise": "#cc79a7",
}
UNKNOWN_VERDICT = "#e69f00"
SPOKEN = 90  # letters of a prompt in an alt text
SLICE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def verdict_colour(verdict: str) -> str:
    return VERDICT_COLOURS.get(verdict, UNKNOWN_VERDICT)


def text_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour` (relative luminance, WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def spoken(prompt: str) -> str:
    """A prompt in a picture's alt text, which is read aloud, and stands in the page once a picture."""
    return shorten(prompt, SPOKEN)
