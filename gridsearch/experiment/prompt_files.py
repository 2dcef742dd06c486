"""Prompts from files: text files with one prompt a line, and pictures that hold their own prompt.

A line is a prompt, or, where it begins with `--`, options as A1111's script "Prompts from file or textbox"
takes them: `--prompt "a cat" --negative_prompt "dog" --seed 5 --steps 20`. A picture has the text of the
program that made it (`programs`). Other settings in either are kept but not used: `[render]` applies to all.
"""

import fnmatch
import glob
import os
import re
import shlex
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from gridsearch.base.embedded import TEXT_SUFFIXES
from gridsearch.base.errors import BadInput, nearest
from gridsearch.base.files import from_home, near_name
from gridsearch.experiment.programs.read import read_picture

TEXTS = (".txt",)
MAX_PROMPT_FILE_BYTES = 2_000_000  # some ten thousand prompts
MAX_LINE = 50_000  # characters: two prompts of the greatest length, and options
MAX_PROMPTS_IN_FILES = 10_000  # of a file or folder
MOST_ENTRIES = 50_000  # files and folders that a pattern may look through
MAX_STEM = 40  # characters of a picture's name in an id

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
    """A prompt read from a file; what the file does not say is None."""

    place: str  # file and line, for people: `prompts.txt line 3`
    name: str  # the same as a part of an id, different for each prompt of one `[[prompt]]`
    text: str
    negative: str | None = None
    seed: int | None = None
    others: Mapping[str, str] = field(default_factory=dict)  # settings, under the names that the file has


def prompts_in(file: str, base: Path) -> list[FilePrompt]:
    """Read the prompts of a text file, a picture, a folder of pictures, or a pattern (`*.png`).

    Args:
        file: a relative path starts at `base`.

    Raises:
        BadInput: there is none, or one cannot be read; it names the file and the line.
    """
    path = base / from_home(file)
    try:
        if path.is_file() and path.suffix.lower() in TEXTS:
            return _in_text(path, file)
        pictures = _pictures(path, file, base)
        return [_in_picture(one, name, base) for one, name in zip(pictures, _names(pictures), strict=True)]
    except OSError as error:
        raise BadInput("The prompt file cannot be read.", where=path, why=str(error)) from None


# -- texts


def _in_text(path: Path, shown: str) -> list[FilePrompt]:
    with path.open("rb") as opened:
        data = opened.read(MAX_PROMPT_FILE_BYTES + 1)
    if len(data) > MAX_PROMPT_FILE_BYTES:
        raise BadInput(f"A prompt file has at most {MAX_PROMPT_FILE_BYTES:,} bytes.", where=path)
    try:
        text = data.decode("utf-8-sig")  # Windows' Notepad puts a mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput("The prompt file is not UTF-8.", where=f"{path} line {line}", why=str(error)) from None
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    if sum(map(bool, lines)) > MAX_PROMPTS_IN_FILES:
        raise BadInput(f"A prompt file has at most {MAX_PROMPTS_IN_FILES:,} prompts.", where=path)
    found = [_in_line(line, f"{shown} line {i}", str(i)) for i, line in enumerate(lines, 1) if line]
    if not found:
        raise BadInput("The prompt file is empty.", where=path, fix="Write one prompt per line.")
    return found


def _in_line(line: str, place: str, name: str) -> FilePrompt:
    if len(line) > MAX_LINE:
        raise BadInput(f"A line has at most {MAX_LINE:,} characters.", where=place)
    if not line.startswith("--"):
        return FilePrompt(place, name, line)
    said = _options(line, place)
    if "prompt" not in said:
        raise BadInput("The line has no prompt.", where=place, fix='Add --prompt "...".')
    seed = _seed(said.pop("seed", None), place)
    return FilePrompt(place, name, said.pop("prompt"), said.pop("negative_prompt", None), seed, said)


def _options(line: str, place: str) -> dict[str, str]:
    """Return the options of a line, split as a shell would."""
    try:
        words = deque(shlex.split(line))
    except ValueError as error:
        fix = "Put a text with ' in it between double quotes, and write \\\" for a double quote in it."
        what = "The options on this line cannot be parsed."
        raise BadInput(what, where=place, why=str(error), fix=fix) from None
    found: dict[str, str] = {}
    while words:
        option = words.popleft()
        name = option.removeprefix("--")
        if name not in OPTIONS or name == option:
            fix = f"The nearest known option is --{nearest(name, OPTIONS)}."
            raise BadInput(f"Unknown option {option[:60]!r}.", where=place, fix=fix)
        values: list[str] = []
        while words and not words[0].startswith("--") and (name in TEXT_OPTIONS or not values):
            values.append(words.popleft())
        if not values:
            raise BadInput(f"--{name} has no value.", where=place)
        found[name] = " ".join(values)
        try:
            OPTIONS[name](found[name])
        except ValueError:
            raise BadInput(f"--{name} takes a number, not {found[name][:60]!r}.", where=place) from None
    return found


def _seed(value: str | None, place: str) -> int | None:
    """Return the prompt's own seed; None where there is none, or -1, which means a random one."""
    if value is None or value.strip() in ("", "-1"):
        return None
    try:
        seed = int(value)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        fix = "Use a whole number from 0 to 2^63 - 1."
        raise BadInput(f"{value[:60]!r} is not a seed.", where=place, fix=fix)
    return seed


# -- pictures


def _pictures(path: Path, pattern: str, base: Path) -> list[Path]:
    """Return the pictures that a path or a pattern names, in the order of their names."""
    if path.is_file():
        if path.suffix.lower() not in TEXT_SUFFIXES:
            kinds = ", ".join([*TEXTS, *TEXT_SUFFIXES])
            raise BadInput("This kind of file cannot hold prompts.", where=path, fix=f"Use one of {kinds}.")
        return [path]
    names = list(path.iterdir()) if path.is_dir() else _matching(from_home(pattern), base)
    found = sorted({p for p in names if p.suffix.lower() in TEXT_SUFFIXES and p.name[0] != "."})
    if len(found) > MAX_PROMPTS_IN_FILES:
        what = f"There are more than {MAX_PROMPTS_IN_FILES:,} pictures."
        raise BadInput(what, where=path, fix="Name fewer of them.")
    if not found:
        kinds = ", ".join(TEXT_SUFFIXES)
        if path.is_dir():
            raise BadInput("There are no pictures in this folder.", where=path, fix=f"They end in {kinds}.")
        fix = near_name(path) or f"Name a .txt file, a picture ({kinds}), a folder of pictures or a pattern."
        raise BadInput("There is no such prompt file.", where=path, fix=fix)
    return found


def _matching(pattern: Path, base: Path) -> list[Path]:
    """Return the files that a pattern names, hidden ones left out; `**` stands for any number of folders.

    `glob` would search the whole disk if the pattern says so, and follow links in circles.

    Raises:
        BadInput: it would look through too many files.
    """
    looked_at = count(1)

    def inside(folder: Path, deep: bool = False) -> Iterator[Path]:
        for place, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in (*folders, *files):
                if next(looked_at) > MOST_ENTRIES:
                    fix = "Name a folder nearer to the pictures."
                    raise BadInput("The pattern matches too many files.", where=pattern, fix=fix)
                if not name.startswith("."):
                    yield Path(place, name)
            if not deep:
                return

    start, parts = (Path(pattern.anchor), pattern.parts[1:]) if pattern.anchor else (base, pattern.parts)
    places = {start}
    for part in parts:
        if part == "**":
            below = [path for place in places for path in inside(place, deep=True)]
            places |= {path for path in below if path.is_dir() and not path.is_symlink()}
        elif glob.has_magic(part):
            places = {p for place in places for p in inside(place) if fnmatch.fnmatch(p.name, part)}
        else:
            places = {place / part for place in places}
    return sorted(path for path in places if path.is_file())


def _in_picture(path: Path, name: str, base: Path) -> FilePrompt:
    said = read_picture(path)
    if not said.prompt and "Steps" not in said.settings:  # nor is it known that it was drawn with none
        raise BadInput("The picture's prompt is empty.", where=path)
    place = str(path.relative_to(base) if path.is_relative_to(base) else path)
    others = dict(said.settings)
    seed = _seed(others.pop("Seed", None), place)
    return FilePrompt(place, name, said.prompt, said.negative or None, seed, others)


def _names(paths: list[Path]) -> Iterator[str]:
    """Yield each file's stem as a part of an id: safe in file names, and unique without regard to case."""
    taken: set[str] = set()
    for path in paths:
        stem = unicodedata.normalize("NFC", path.stem)
        safe = "".join(c if c.isalpha() or c.isdecimal() or c == "_" else "-" for c in stem)[:MAX_STEM]
        names = (safe if i == 1 else f"{safe}-{i}" for i in range(1, len(paths) + 1))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        yield name
