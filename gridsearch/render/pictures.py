"""Picture files with the `parameters` text of A1111 inside: how they were made, for people and programs.

    a circle, red
    Negative prompt: blurry
    Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 1, Size: 1024x1024, ...

Outside its last line the format has no escapes, so not every prompt can be read back: A1111 strips every
line, drops empty lines at the beginning, and takes the first line that begins with `Negative prompt:` as the
beginning of the negative one. A text without such a line comes back as `as_kept` makes it. Settings always
come back unchanged.

Extensions may write lines after the settings, of which `Template:` and `Negative Template:` are known.

Sources of the format: A1111's `modules/infotext_utils.py` and `modules/processing.py`, as of 1.10;
sd-dynamic-prompts' `pnginfo_saver.py`.
"""

import io
import itertools
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gridsearch import __version__
from gridsearch.base.embedded import EXIF, USER_COMMENT, embedded_texts, main_text
from gridsearch.base.errors import BadInput
from gridsearch.render.cases import Case
from gridsearch.render.denoise.guidance.text import guidance_text
from gridsearch.render.denoise.hires import hires_text
from gridsearch.render.denoise.sampling import SAMPLERS, SCHEDULES, Sampling

NEGATIVE = "Negative prompt:"
LEAST_SETTINGS = 3  # a last line with fewer belongs to the prompt
# A key of two characters or more, then a JSON text, object or list, or everything up to the next comma. The
# pattern never goes back over text, nor far ahead for an end that is not there, so that a hostile line takes
# no longer than any other.
_JSON = r'"(?:\\.|[^\\"])++"|\{"[^}]{0,9999}+\}|\[\{"[^\]]{0,9999}+\]'
_SETTING = re.compile(rf"[\s\-/]*+(?:(\w[\w \-/]++):\s*+({_JSON}|[^,]*+)(?:,|$)|[\w \-/]*+)")
REDUCED = "Reduced from"
_REDUCED_FROM = re.compile(rf"(?:, |^){REDUCED}: (\d{{1,6}})x(\d{{1,6}})$")

AFTER_SETTINGS = ("Template:", "Negative Template:")  # of sd-dynamic-prompts, after the settings
_SETTINGS_LINE = re.compile(r"\s*Steps:\s*\d+\s*[,|]")

FLOW_MODE, MODE_OF_FLOW, SHIFT = "advanced_sampling_mode", "SD3", "sd3_shift"  # in reForge's text
MAX_INFOTEXT = 1024 * 1024  # characters


@dataclass(frozen=True)
class Infotext:
    """The content of such a text; absent parts are empty, `settings` have A1111's names."""

    prompt: str = ""
    negative: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


# -- the text of an image


def parameters_text(
    case: Case, sampling: Sampling, *, model: str, model_hash: str, recipe: str, place: object
) -> str:
    """Return how an image was rendered, as A1111 writes it, followed by a few settings of our own.

    Args:
        model: a name for the weights.
        model_hash: the first ten digits of the file's SHA-256, as in A1111; "" for weights not in a file.
        recipe: how the weights were merged.
        place: device and precision.
    """
    known = SAMPLERS[sampling.sampler]
    usual = "Uniform" if known.automatic else None
    settings = {
        "Steps": sampling.steps,
        "Sampler": known.name,
        "Schedule type": SCHEDULES.get(sampling.schedule or "", known.schedule) or usual,
        "CFG scale": float(sampling.cfg),
        "Seed": case.seed,
        "Size": f"{sampling.width}x{sampling.height}",
        "Model hash": model_hash or None,
        "Model": model,
        # A1111 leaves it out at 1, which it takes as 2 for SDXL; written always, it is never guessed
        "Clip skip": sampling.clip_skip,
        "RNG": {"cpu": "CPU", "gpu": "NV"}[sampling.rng],
        "Noise Schedule": "Zero Terminal SNR" if sampling.zero_terminal_snr else None,
        "Prediction type": sampling.prediction_type,
        "Zero terminal SNR": sampling.zero_terminal_snr,
        "Timestep spacing": sampling.timestep_spacing,
        "Unconditional": sampling.unconditional,
        "CFG rescale": float(sampling.cfg_rescale),
        **_flow_text(sampling),
        **guidance_text(sampling),
        **hires_text(sampling),
        **_size_conditioning(sampling),
        "Recipe": recipe,
        "Drawn on": place,
        "Version": f"gridsearch {__version__}",
    }
    said = {
        key: _number(value) if isinstance(value, float) else str(value)
        for key, value in settings.items()
        if value is not None
    }
    return as_text(Infotext(case.text, case.negative, said))


def _flow_text(sampling: Sampling) -> dict[str, object]:
    """Return what reForge's Advanced Model Sampling says of rectified flow, whose names are used for it."""
    if sampling.shift is None:
        return {}
    enabled = {"advanced_sampling_enabled": True, FLOW_MODE: MODE_OF_FLOW}
    return {**enabled, SHIFT: float(sampling.shift)}


def _size_conditioning(sampling: Sampling) -> dict[str, str]:
    """Return the sizes that SDXL was told of, where they differ from the picture's own."""
    own = (sampling.width, sampling.height)
    told = {
        "Original size": ((sampling.original_width, sampling.original_height), own),
        "Crop": ((sampling.crop_left, sampling.crop_top), (0, 0)),
        "Target size": ((sampling.target_width, sampling.target_height), own),
    }
    return {key: "x".join(map(_number, value)) for key, (value, usual) in told.items() if value != usual}


def _number(value: float) -> str:
    """Return the number with all its digits, and without `.0`."""
    return str(int(value)) if value == int(value) else repr(value)


def as_text(text: Infotext) -> str:
    """Write the text that `read_parameters` reads back, within the limits above."""
    lines = [text.prompt]
    if text.negative:
        lines.append(f"{NEGATIVE} {text.negative}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in text.settings.items()))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """Return the value, as JSON where it has to be: A1111 looks for comma, colon and line end only."""
    plain = value and value == value.strip() and not set(value) & set(',:"\n')
    return value if plain else json.dumps(value, ensure_ascii=False)


# -- reading


def read_parameters(text: str) -> Infotext:
    """Parse a `parameters` text as A1111 does, without the templates after it; any text can be parsed."""
    lines = _without_templates(text.strip()).split("\n")
    settings = _settings(lines[-1])
    if settings:
        del lines[-1]
    lines = [line.strip() for line in lines]
    middle = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = [line.removeprefix(NEGATIVE).strip() for line in lines[middle:]]
    return Infotext(as_kept("\n".join(lines[:middle])), as_kept("\n".join(negative)), settings)


def _without_templates(text: str) -> str:
    """Return the text up to the templates of dynamic prompts, where these follow a line of settings."""
    lines = text.split("\n")
    for i, (line, following) in enumerate(itertools.pairwise(lines), start=1):
        if (
            following.startswith(AFTER_SETTINGS)
            and is_settings_line(line)
            and not is_settings_line(lines[-1])
        ):
            return "\n".join(lines[:i])
    return text


def is_settings_line(line: str) -> bool:
    """Return whether a line is A1111's settings: it begins with the steps, and has two more."""
    return bool(_SETTINGS_LINE.match(line)) and bool(_settings(line))


def _settings(line: str) -> dict[str, str]:
    """Return the settings of a line, between commas or, after the steps, pipes; empty where it has few."""
    begin = _SETTINGS_LINE.match(line)
    if begin and begin[0].endswith("|"):
        parts = [part.partition(":") for part in line.split("|")]
        found = [(key.strip(), value.strip()) for key, colon, value in parts if colon]
    else:
        found = [(key, value) for key, value in _SETTING.findall(line) if key]
    return {key: _unquoted(value) for key, value in found} if len(found) >= LEAST_SETTINGS else {}


def as_kept(text: str) -> str:
    """Return the form in which a prompt is kept: lines stripped, no empty ones at the beginning."""
    return "\n".join(line.strip() for line in text.split("\n")).lstrip("\n")


def _unquoted(value: str) -> str:
    if value[:1] != '"' or value[-1:] != '"':
        return value
    try:
        # JSON can hold half a character, which no file and no terminal accepts
        return json.loads(value).encode("utf-8", "replace").decode("utf-8")
    except ValueError:  # some other program's idea of a quote
        return value


# -- from a picture


def embedded_text(path: Path) -> str:
    """Return the text in a PNG's `parameters`, or in another's EXIF user comment; empty without any.

    Raises:
        BadInput: no such file, not a picture, damaged or too large.
    """
    return within_limit(main_text(embedded_texts(path)), path)


def within_limit(text: str, where: Path) -> str:
    """Return a picture's text, or refuse it where it is too long to be parsed."""
    if len(text) > MAX_INFOTEXT:
        raise BadInput(f"The text in the picture is too long: {len(text):,} characters.", where=where)
    return text


def reduced_from(path: Path) -> tuple[int, int] | None:
    """Return the (width, height) of a picture before an earlier version made it smaller; None where none did.

    Raises:
        BadInput: as `embedded_text`.
    """
    found = _REDUCED_FROM.search(embedded_text(path))
    return (int(found[1]), int(found[2])) if found else None


# -- writing pictures

# Measured in docs/disk.md: beyond WebP's method 0 each percent costs much time. PNG's default level, 6, takes
# 0.30 s for 1024 x 1024 pixels, and level 4 takes 0.12 s for 5% more bytes.
PNG_LEVEL = 4
WEBP_EFFORT = {"method": 0, "quality": 0}  # to make a lossless file small
MAX_WEBP_SIDE = 16_383  # pixels of a side, by the format
_LONG, _UNDEFINED = 4, 7  # types of EXIF's values


def png_bytes(pixels: np.ndarray, parameters: str) -> bytes:
    """Return pixels (H, W, 3) uint8 as a PNG file with a `parameters` text.

    It is a tEXt chunk, which most programs read, where Latin-1 is enough, and otherwise iTXt.
    """
    info = PngInfo()
    info.add_text("parameters", parameters)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info, compress_level=PNG_LEVEL)
    return buffer.getvalue()


def webp_bytes(pixels: np.ndarray, parameters: str) -> bytes:
    """Return pixels (H, W, 3) uint8 as a lossless WebP file with a `parameters` text as EXIF user comment."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, exif=_exif(parameters), **WEBP_EFFORT)
    return buffer.getvalue()


def _exif(text: str) -> bytes:
    """Return EXIF data with just a user comment, in a form that piexif, and so A1111, can read.

    Laid out by hand, because Pillow gives the comment another type than the standard (CIPA DC-008) does,
    which piexif cannot read. Numbers and text are big-endian.
    """
    comment = b"UNICODE\0" + text.encode("utf-16-be")
    header = b"Exif\0\0MM\0*" + struct.pack(">I", 8)
    to_exif = struct.pack(">HHHIII", 1, EXIF, _LONG, 1, 26, 0)  # one entry, which points past this table
    entry = struct.pack(">HHHIII", 1, USER_COMMENT, _UNDEFINED, len(comment), 44, 0)
    return header + to_exif + entry + comment


ENCODERS = {"png": png_bytes, "webp": webp_bytes}
