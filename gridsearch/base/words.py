"""Numbers, sizes and times as text."""

import math
import numbers
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TypeGuard


def size(count: float) -> str:
    """Return a number of bytes as text: `6.94 GB`, `12.3 MB`."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """Return a number of seconds as text: `3 h 20 min`, `4 min`, `40 s`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; True and False are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def value_text(value: object) -> str:
    """Return a parameter's value as text: ratios with two to four decimals (0.60, 0.625), others short."""
    if not is_number(value):
        return str(value)
    if not math.isfinite(value):
        return "–"
    if abs(value) > 1 or isinstance(value, numbers.Integral):
        return f"{value:.5g}"
    text = f"{value:.4f}"
    return text[:-2] + text[-2:].rstrip("0")


def count_text(count: int, noun: str) -> str:
    """Return a number of things: `1 image`, `4 images`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent_text(share: float) -> str:
    """Return a share as text, of a small one that it is not 0: `34%`, `under 1%`."""
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


def metric_text(value: object) -> str:
    """Return a measured number with three significant figures; a dash where there is none."""
    if value is None or (is_number(value) and not math.isfinite(value)):
        return "–"
    if not is_number(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def defect_text(defect: float) -> str:
    """Return a defect with three significant figures, and no more than three decimals."""
    return metric_text(defect if abs(defect) >= 1 else round(defect, 3))


def parameter_text(name: str) -> str:
    """Return a parameter's name for people: `ratio`, `cfg`, `second ratio`, `merged ratio [IN04]`."""
    step, is_step, part = name.removeprefix("render.").partition(".")
    if not is_step:
        return step
    number, is_one_of_many, of = part.partition(".")
    return f"{step} {number} [{of}]" if is_one_of_many else f"{step} {number}"


def parameter_labels(names: Collection[str]) -> dict[str, str]:
    """Return the parameters' names for people: a ratio of a block is called by the block alone, if one is."""
    blocks = {name: name.rpartition(".")[2] for name in names if ".ratio." in name}
    count = Counter(blocks.values())
    return {
        name: blocks[name] if count[blocks.get(name, "")] == 1 else parameter_text(name) for name in names
    }


def setting_text(name: str, value: object, label: str = "") -> str:
    """Return one searched setting in a few words: `v_prediction`, `cfg 4`, `epoch6`.

    Args:
        label: what the parameter is called; usually `parameter_text`.
    """
    part = name.rpartition(".")[2]
    if part in ("prediction_type", "method") or part.startswith("model_"):
        return str(value)
    if name == "components.vae":
        return f"VAE {value}"
    return f"{label or parameter_text(name)} {setting_value_text(name, value)}"


def setting_value_text(name: str, value: object) -> str:
    """Return the value of a searched setting: `4`, `0.40`."""
    return f"{value:g}" if name.startswith("render.") and is_number(value) else value_text(value)


def slice_text(settings: dict) -> str:
    """Return a slice's name, its settings joined; empty where only the main parameter is searched."""
    return ", ".join(setting_text(name, value) for name, value in settings.items() if value is not None)


def one_line(text: object) -> str:
    """Return the text without line breaks and tabs, as a label needs it."""
    return " ".join(str(text).split())


def prompt_labels(prompts: Iterable[object]) -> dict[object, str]:
    """Return each prompt's label, without the parts between commas that all of them share."""
    labels = {prompt: prompt_label(prompt) for prompt in prompts}
    parts = {prompt: label.split(", ") for prompt, label in labels.items()}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    own = {prompt: ", ".join(p for p in all_of if p not in shared) for prompt, all_of in parts.items()}
    return {prompt: own[prompt] or label for prompt, label in labels.items()}


def prompt_label(prompt: object) -> str:
    """Return a prompt as a label needs it, where an empty one has words too."""
    return one_line(prompt) or "(empty prompt)"


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
