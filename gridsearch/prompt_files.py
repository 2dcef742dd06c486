"""Prompts that stand in files: one a line of a text, or in pictures that say how they were drawn.

A line is a prompt, or, where it begins with `--`, options as A1111's script "Prompts from file or textbox"
takes them: `--prompt "a cat" --negative_prompt "dog" --seed 5 --steps 20`. A picture has A1111's `parameters`
text. What they say beside prompt, negative prompt and seed is kept but not used: `[render]` holds for all.
"""

import glob
import re
import shlex
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gridsearch.errors import BadInput
from gridsearch.files import from_home
from gridsearch.nearest import nearest
from gridsearch.render.infotext import parameters_of, read_parameters

TEXTS = (".txt",)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MAX_BYTES = 2_000_000  # of a text: some ten thousand prompts
MAX_STEM = 40  # characters of a picture's name in an id
SEEDS = range(2**63)

# The options that A1111's script knows (scripts/prompts_from_file.py, as of 1.10), and what their values are.
OPTIONS = {
    **dict.fromkeys(("prompt", "negative_prompt", "prompt_for_display", "styles", "sampler_name"), str),
    **dict.fromkeys(("sd_model", "outpath_samples", "outpath_grids"), str),
    **dict.fromkeys(("restore_faces", "tiling", "do_not_save_samples", "do_not_save_grid"), str),
    **dict.fromkeys(("seed", "subseed", "seed_resize_from_h", "seed_resize_from_w", "sampler_index"), int),
    **dict.fromkeys(("batch_size", "n_iter", "steps", "width", "height"), int),
    **dict.fromkeys(("cfg_scale", "subseed_strength"), float),
}
TEXT_OPTIONS = ("prompt", "negative_prompt")  # the words up to the next option, quoted or not


@dataclass(frozen=True)
class FilePrompt:
    """A prompt of a file. What the file does not say is None.

    Attributes:
        place: where it stands, for people: `prompts.txt line 3`.
        name: the same in letters, digits, `-` and `_`, unlike any other of its `[[prompt]]`.
        others: all else it says, by the names that the file has for it.
    """

    place: str
    name: str
    text: str
    negative: str | None = None
    seed: int | None = None
    others: Mapping[str, str] = field(default_factory=dict)


def prompts_in(file: str, base: Path) -> list[FilePrompt]:
    """The prompts in a text, a picture, the pictures of a folder, or those that a pattern (`*.png`) names.

    Args:
        file: a relative path starts at `base`.

    Raises:
        BadInput: there is none, or one cannot be read: file, line and what is wrong with it.
    """
    path = base / from_home(file)
    try:
        if path.is_file() and path.suffix.lower() in TEXTS:
            return _in_text(path, file)
        pictures = _pictures(path, file, base)
        return [
            _in_picture(picture, _shown(picture, base), name)
            for picture, name in zip(pictures, _names(pictures), strict=True)
        ]
    except OSError as error:
        raise BadInput("The prompt file cannot be read.", where=path, why=str(error)) from None


def require_different(cases: Iterable[tuple[str, str, tuple]]) -> None:
    """Refuse ids and pictures that there are twice.

    Args:
        cases: for each prompt its place, its id, and its (text, negative, seed) once for each seed.
    """
    by_id: dict[str, str] = {}
    by_case: dict[tuple, str] = {}
    for place, name, drawn in cases:
        if name in by_id:
            raise BadInput(f"Two prompts have the id {name!r}.", where=f"{by_id[name]} and {place}")
        by_id[name] = place
        for case in drawn:
            if case in by_case:
                raise BadInput(
                    f"A prompt with seed {case[2]} is there twice.",
                    where=f"{by_case[case]} and {place}",
                    why=f"its text is {case[0][:60]!r}",
                    fix="Remove one: it would be drawn twice, and count twice.",
                )
            by_case[case] = place


# -- texts


def _in_text(path: Path, shown: str) -> list[FilePrompt]:
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"A prompt file has at most {MAX_BYTES:,} bytes.", where=path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")  # Windows' Notepad puts a mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput("The prompt file is not UTF-8.", where=f"{path} line {line}", why=str(error)) from None
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    found = [_in_line(line, f"{shown} line {i}", str(i)) for i, line in enumerate(lines, 1) if line]
    if not found:
        raise BadInput("The prompt file is empty.", where=path, fix="Write one prompt a line.")
    return found


def _in_line(line: str, place: str, name: str) -> FilePrompt:
    if not line.startswith("--"):
        return FilePrompt(place, name, line)
    said = _options(line, place)
    if not said.get("prompt"):
        raise BadInput("The line has no prompt.", where=place, fix='Add --prompt "...".')
    seed = _seed(said.pop("seed", None), place)
    return FilePrompt(place, name, said.pop("prompt"), said.pop("negative_prompt", None), seed, said)


def _options(line: str, place: str) -> dict[str, str]:
    """Option -> value, split as a shell would."""
    try:
        words = deque(shlex.split(line))
    except ValueError as error:
        fix = 'Put a text with \' in it between two ", and write \\" for a " in it.'
        raise BadInput("The options cannot be told apart.", where=place, why=str(error), fix=fix) from None
    found: dict[str, str] = {}
    while words:
        option = words.popleft()
        name = option.removeprefix("--")
        if name not in OPTIONS or name == option:
            fix = f"The nearest known option is --{nearest(name, OPTIONS)}."
            raise BadInput(f"Unknown option {option[:60]!r}.", where=place, fix=fix)
        values = []
        while words and not words[0].startswith("--") and (name in TEXT_OPTIONS or not values):
            values.append(words.popleft())
        if not values:
            raise BadInput(f"--{name} has no value.", where=place)
        found[name] = _checked(name, " ".join(values), place)
    return found


def _checked(name: str, value: str, place: str) -> str:
    try:
        OPTIONS[name](value)
    except ValueError:
        raise BadInput(f"--{name} takes a number, got {value[:60]!r}.", where=place) from None
    return value


def _seed(value: str | None, place: str) -> int | None:
    """A seed of its own; none where it is not said, or is -1: a random one."""
    if value is None or not value.strip() or value.strip() == "-1":
        return None
    try:
        seed = int(value)
    except ValueError:
        seed = -1
    if seed not in SEEDS:
        raise BadInput(
            f"{value[:60]!r} is no seed.", where=place, fix="A seed is a number from 0 to 2^63 - 1."
        )
    return seed


# -- pictures


def _pictures(path: Path, pattern: str, base: Path) -> list[Path]:
    """The pictures that a path or pattern names, in the order of their names."""
    if path.is_file():
        if path.suffix.lower() not in PICTURES:
            kinds = ", ".join([*TEXTS, *PICTURES])
            raise BadInput("This kind of file has no prompts.", where=path, fix=f"Give one of {kinds}.")
        return [path]
    if path.is_dir():
        names = list(path.iterdir())
    else:
        pattern = str(from_home(pattern))
        names = [base / name for name in glob.glob(pattern, root_dir=base, recursive=True)]
    found = sorted(p for p in names if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not found:
        kinds = ", ".join(PICTURES)
        if path.is_dir():
            raise BadInput("The folder has no pictures.", where=path, fix=f"Pictures are {kinds}.")
        fix = f"Name a .txt, a picture ({kinds}), or a folder or pattern of pictures."
        raise BadInput("There is no such prompt file.", where=path, fix=fix)
    return found


def _in_picture(path: Path, place: str, name: str) -> FilePrompt:
    text = parameters_of(path)
    if text is None:
        fix = "Give the file as the web UI saved it, or write the prompt into a .txt."
        raise BadInput("The picture does not say how it was drawn.", where=path, fix=fix)
    said = read_parameters(text)
    if not said.prompt:
        raise BadInput("The picture's prompt is empty.", where=path)
    others = dict(said.settings)
    seed = _seed(others.pop("Seed", None), place)
    return FilePrompt(place, name, said.prompt, said.negative or None, seed, others)


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def _names(paths: list[Path]) -> Iterator[str]:
    """Their stems as parts of an id: safe in a file's name, and different even where case does not count."""
    taken: set[str] = set()
    for path in paths:
        stem = unicodedata.normalize("NFC", path.stem)
        safe = "".join(c if c.isalpha() or c.isdecimal() or c == "_" else "-" for c in stem)[:MAX_STEM]
        names = (safe if i == 1 else f"{safe}-{i}" for i in range(1, len(paths) + 1))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        yield name
