"""The settings to draw a merge with: those to set by hand, and those that its file carries by itself."""

from gridsearch.base.words import setting_text
from gridsearch.checkpoint.ldm.keys import V_PREDICTION_MARKER, ZERO_SNR_MARKER
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results

ALWAYS = ("cfg", "sampler", "steps")  # named whether the experiment says them or not
PREDICTION, ZERO_SNR = "prediction_type", "zero_terminal_snr"
# Told with the size, carried by the file, or following from these.
NOT_BY_HAND = (PREDICTION, ZERO_SNR, "width", "height", "timestep_spacing")


def by_hand(results: Results, answer: Answer) -> str:
    """Return the settings of the best trial that no checkpoint holds, as `cfg 7, euler, 20 steps`."""
    rows = {row["setting"]: row for row in results.facts.drawing.get("settings", ())}
    values = {name: row["value"] for name, row in rows.items()}
    chosen = {
        name.removeprefix("render."): value
        for name, value in answer.parameters.items()
        if name.startswith("render.")
    }
    asked = [name for name, row in rows.items() if row["source"] == "the experiment"]
    named = dict.fromkeys([*(name for name in ALWAYS if name in values), *asked, *chosen])
    texts = [_said(name, (values | chosen)[name]) for name in named if name not in NOT_BY_HAND]
    if "width" in values and "height" in values:
        texts.append(f"{values['width']} × {values['height']} px")
    mode = _mode(results, answer)
    if texts and mode not in ("epsilon", "v_prediction"):  # no key marks them
        texts.append(f"prediction type {mode}")
    return ", ".join(texts)


def carried(results: Results, answer: Answer) -> str:
    """Return a sentence on what the exported file tells web UIs by itself; empty where it needs not."""
    if _mode(results, answer) != "v_prediction":
        return ""
    rows = {row["setting"]: row["value"] for row in results.facts.drawing.get("settings", ())}
    what, keys = "v_prediction", f"key {V_PREDICTION_MARKER}"
    if rows.get(ZERO_SNR) == "True":
        what, keys = f"{what} and zero terminal SNR", f"keys {V_PREDICTION_MARKER} and {ZERO_SNR_MARKER}"
    return f"The exported file itself tells A1111, Forge and ComfyUI to draw with {what} ({keys})."


def _mode(results: Results, answer: Answer) -> str:
    """Return the prediction type in which the best trial was drawn."""
    assert answer.best is not None
    own = results.images.loc[results.images["trial"] == answer.best.trial, PREDICTION]
    return str(own.iloc[0])


def _said(name: str, value: object) -> str:
    if name == "sampler":
        return str(value)
    return f"{value} steps" if name == "steps" else setting_text(f"render.{name}", value)
