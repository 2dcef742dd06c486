"""The words, numbers and colours that the sheet, the report and the answer share."""

import math
import numbers

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


def is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def value_text(value: object) -> str:
    """A parameter's value: a ratio with two to four decimals (0.60, 0.625), other numbers short."""
    if not is_number(value):
        return str(value)
    if not math.isfinite(value):
        return "–"
    if abs(value) > 1 or isinstance(value, numbers.Integral):
        return f"{value:.5g}"
    text = f"{value:.4f}"
    return text[:-2] + text[-2:].rstrip("0")


def metric_text(value: object) -> str:
    """A measured number with three significant figures; a dash where there is none."""
    if value is None or (is_number(value) and not math.isfinite(value)):
        return "–"
    if not is_number(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def parameter_text(name: str) -> str:
    """A parameter's name as one says it: `ratio`, `cfg`, `second ratio`, `merged ratio [IN04]`."""
    step, is_step, part = name.removeprefix("render.").partition(".")
    if not is_step:
        return step
    number, is_one_of_many, of = part.partition(".")
    return f"{step} {number} [{of}]" if is_one_of_many else f"{step} {number}"


def setting_text(name: str, value: object) -> str:
    """One searched setting in a few words: `v_prediction`, `cfg 4`."""
    if name.endswith("prediction_type"):
        return str(value)
    short = f"{value:g}" if name.startswith("render.") and is_number(value) else value_text(value)
    return f"{parameter_text(name)} {short}"


def slice_text(settings: dict) -> str:
    """The name of a slice: its settings, joined. Empty where nothing but the main parameter is searched."""
    return ", ".join(setting_text(name, value) for name, value in settings.items() if value is not None)


def one_line(text: object) -> str:
    """Prompts hold line breaks and tabs; a label does not."""
    return " ".join(str(text).split())


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def spoken(prompt: str) -> str:
    """A prompt in a picture's alt text, which is read aloud, and stands in the page once a picture."""
    return shorten(prompt, SPOKEN)
