"""The prediction type of a checkpoint, where it was read, and which other sources disagree."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.base.words import is_number
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.keys import EDM_MARKERS, V_PREDICTION_MARKER, ZERO_SNR_MARKER

SCHEDULER = "scheduler_config.json"  # of a diffusers folder
MOST_SCHEDULER_BYTES = 100_000  # real ones have less than 2 kB

FLOW = "flow"  # the velocity of a rectified flow, noise - x0
TYPES = ("epsilon", "v_prediction", "sample", FLOW)

# Schedulers whose mathematics is another, whatever prediction type their config repeats.
_OTHER_MATHEMATICS = {"EDM": "edm", "FlowMatch": FLOW}

MOST_SHIFT = 100.0  # of a rectified flow, as in ComfyUI
NOTHING_SAID = "default: nothing in the file says otherwise"

SIDECAR_BYTES = 20_000  # real ones have less than 5 kB
SIDECAR_BRACKETS = 200  # the time for nested ones grows with the square of their number

_SPELLINGS = {
    "epsilon": ("epsilon", "eps", "eps_pred", "epsilon_prediction"),
    "v_prediction": ("v_prediction", "v", "v_pred", "vpred"),
    "sample": ("sample", "x0", "x0_prediction", "x_prediction"),
    # "sd3" is what SwarmUI understands, which then samples as ComfyUI's ModelSamplingSD3 does.
    FLOW: ("flow", "flow_prediction", "flow_matching", "flow_match", "rectified_flow", "rf", "sd3"),
    # str(None) is what a program writes that has nothing to say.
    "": ("", "none", "null"),
}
_MEANING = {spelling: meaning for meaning, spellings in _SPELLINGS.items() for spelling in spellings}

# SDXL's own configs name a class in place of a parameterization; A1111 reads them so.
# https://github.com/Stability-AI/generative-models, sgm/modules/diffusionmodules/denoiser_scaling.py
_SCALINGS = {"EpsScaling": "epsilon", "VScaling": "v_prediction", "EDMScaling": "edm"}


def takes_zero_snr(prediction_type: str) -> bool:
    """Return whether the noise schedule of this type can be rescaled to end where no signal is left.

    x0 = (x - sigma epsilon) / alpha is undefined at alpha = 0. x0 = alpha x - sigma v is not, nor is x0. The
    schedule of a rectified flow is another, and ends there by itself.
    """
    return prediction_type not in ("epsilon", FLOW)


@dataclass(frozen=True)
class Prediction:
    """A prediction type, where it was read, and which weaker sources disagree, in words.

    And the shift of a rectified flow, where the scheduler config of its folder names one.
    """

    type: str
    source: str
    zero_terminal_snr: bool
    conflicts: tuple[str, ...] = ()
    shift: float | None = None


def prediction_of(checkpoint: Checkpoint, override: str | None = None) -> Prediction:
    """Return the prediction type of a checkpoint to be merged; `override` is that of the experiment file.

    A BadInput if something in or beside the file says that it predicts none of `TYPES`. A word that is not
    known here must not become epsilon in silence, so only `override` outweighs it.
    """
    sayings = _sayings(checkpoint)
    if not override:
        for source, said in sayings.found:
            if said not in TYPES:
                raise BadInput(
                    f"This model predicts neither epsilon, v, x0 nor a flow: {_phrase(source, said)}.",
                    where=checkpoint.path,
                    fix='Leave it out; or, if that is wrong, say prediction_type = "epsilon", '
                    '"v_prediction", "sample" or "flow" beside its path in the experiment file.',
                )
    return _taken(sayings, override)


def read_prediction(checkpoint: Checkpoint) -> Prediction:
    """Return the same for a file that is only inspected: the type may be any word."""
    return _taken(_sayings(checkpoint))


def scheduler_says(folder: Path) -> tuple[str, bool, float | None]:
    """Return the type that a diffusers folder's scheduler config names, "" for none, whether it rescales the
    noise schedule to zero terminal SNR, and the shift of a flow. Anything else than a folder says nothing.
    """
    config = folder / "scheduler" / SCHEDULER
    content = read_json_object(config, MOST_SCHEDULER_BYTES, "file") if config.is_file() else {}
    name = str(content.get("_class_name"))
    other = next((what for start, what in _OTHER_MATHEMATICS.items() if name.startswith(start)), None)
    said = other or meaning(content.get("prediction_type"))
    shift = content.get("shift") if said == FLOW else None
    known = float(shift) if is_number(shift) and 0 < shift <= MOST_SHIFT else None
    return said, content.get("rescale_betas_zero_snr") is True, known


@dataclass(frozen=True)
class _Sayings:
    """Source and type of everything in and beside a file that names a type, the strongest first.

    And why the sidecar cannot be read, empty where it can; whether anything says zero terminal SNR; and the
    shift of a flow.
    """

    found: list[tuple[str, str]]
    trouble: str
    zero_terminal_snr: bool
    shift: float | None


def _taken(sayings: _Sayings, override: str | None = None) -> Prediction:
    """Return what counts: the experiment file's word, else the strongest saying, else epsilon."""
    found = [("experiment file", override), *sayings.found] if override else sayings.found
    source, taken = found[0] if found else (NOTHING_SAID, "epsilon")
    conflicts = [_phrase(lesser, said) for lesser, said in found[1:] if said != taken]
    if sayings.trouble:
        source = "default: nothing that can be read says otherwise" if not found else source
        conflicts.append(sayings.trouble)
    shift = sayings.shift if taken == FLOW else None
    return Prediction(taken, source, sayings.zero_terminal_snr, tuple(conflicts), shift)


def _sayings(checkpoint: Checkpoint) -> _Sayings:
    """Return them in the order: sidecar YAML, a folder's scheduler config, marker keys, modelspec.

    The marker keys `v_pred` and `ztsnr` are what ComfyUI, A1111 and Forge read.
    """
    sidecar, trouble = _sidecar(checkpoint)
    scheduler, rescaled, shift = scheduler_says(checkpoint.path)
    found = [("sidecar YAML", meaning(sidecar)), (SCHEDULER, scheduler)]
    found += [(f"marker key {marker}", "edm") for marker in EDM_MARKERS if marker in checkpoint.tensors][:1]
    if V_PREDICTION_MARKER in checkpoint.tensors:
        found.append((f"marker key {V_PREDICTION_MARKER}", "v_prediction"))
    # The spec's name, and the one that ComfyUI's checkpoint saver writes.
    process = meaning(checkpoint.metadata.get("modelspec.noise_process"))
    for key in ("modelspec.prediction_type", "modelspec.predict_key"):
        found.append((key, _of_process(process, meaning(checkpoint.metadata.get(key)))))
    zero_terminal_snr = rescaled or ZERO_SNR_MARKER in checkpoint.tensors
    return _Sayings([(source, said) for source, said in found if said], trouble, zero_terminal_snr, shift)


def _of_process(process: str, said: str) -> str:
    """Return the type of a word beside which `modelspec.noise_process` stands, as SushiUI writes both."""
    if said == "velocity":
        return {FLOW: FLOW, "ddpm": "v_prediction"}.get(process, said)
    return f"{said} of a flow" if said and process == FLOW != said else said


def _phrase(source: str, said: str) -> str:
    return f"{source} says {said}" if source.startswith("modelspec.") else f"the {source} says {said}"


def meaning(said: Any) -> str:
    """Return one of `TYPES` for a word that means it, "" for none, else the word itself.

    It comes from somebody else's file and goes to the terminal: only its printable beginning is kept.
    """
    word = str(said or "").strip().lower().replace("-", "_").replace(" ", "_")
    printable = "".join(letter for letter in word[:40] if letter.isprintable())
    return _MEANING.get(word, printable or "something unreadable")


def _sidecar(checkpoint: Checkpoint) -> tuple[str, str]:
    """Return the type that an A1111 sidecar names by `parameterization` or SDXL's scaling class, and why it
    cannot be read; either may be empty.

    All its values are read as texts: YAML's dates, numbers and merged tables can raise, or grow without end.
    """
    if checkpoint.path.is_dir():
        return "", ""  # a folder says it in its scheduler config
    path = checkpoint.path.with_suffix(".yaml")
    unreadable = f"its sidecar {path.name} cannot be read"
    try:
        if not path.is_file():
            return "", ""
        if path.stat().st_size > SIDECAR_BYTES:
            return "", f"{unreadable}: it has over {SIDECAR_BYTES:,} bytes"
        text = path.read_text("utf-8-sig")
        if text.count("[") + text.count("{") > SIDECAR_BRACKETS:
            return "", f"{unreadable}: it has over {SIDECAR_BRACKETS} brackets"
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except UnicodeDecodeError:
        return "", f"{unreadable}: it is not UTF-8"
    except (yaml.YAMLError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        return "", f"{unreadable}: it is not YAML" + ("" if line is None else f", line {line + 1}")
    except OSError as error:
        return "", f"{unreadable}: {error.strerror}"
    try:
        params = content["model"]["params"]
        if "parameterization" in params:
            return _text(params["parameterization"]), ""
        target = params["denoiser_config"]["params"]["scaling_config"]["target"]
    except (KeyError, TypeError):
        return "", ""
    name = _text(target).rpartition(".")[2]
    return _SCALINGS.get(name, name), ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
