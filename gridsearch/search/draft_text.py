"""The text of a first experiment: commented TOML, from what the headers of its models say."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic

from gridsearch.base.errors import BadInput
from gridsearch.base.words import size
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.inspect import printable
from gridsearch.checkpoint.ldm.recognise import family_of, has_vae
from gridsearch.checkpoint.prediction import FLOW
from gridsearch.experiment.prompt_files import prompts_in
from gridsearch.experiment.prompt_notes import used_and_said
from gridsearch.experiment.render_table import Render
from gridsearch.merge.parents import Parents
from gridsearch.render.denoise.hires import hires_said

# Prompts of different kinds, as a merge meets them: people, places, photographs, line art, light and dark.
USUAL_PROMPTS = {
    "portrait": "1girl, silver hair, red scarf, snow, upper body",
    "landscape": "a lighthouse on a cliff at dusk, oil painting",
    "photograph": "photo of an old sailor, soft window light",
    "flat": "flat icon of a fox on a white background",
    "night": "night market in the rain, neon signs, wide shot",
    "macro": "a bowl of ramen on a wooden table, macro",
    "action": "two knights fighting in a burning village",
    "sketch": "pencil sketch of a bicycle",
}
MODES = ("v_prediction", "epsilon", "sample", FLOW)


@dataclass(frozen=True)
class Wishes:
    """The answers of the person who asks for an experiment.

    Attributes:
        prompts: prompt files and pictures; without any, `USUAL_PROMPTS`.
        prediction_type: of the merges, one of `MODES` or "both"; None for that of the models.
        one_of: whether one of the models after the first is chosen, rather than all merged.
        config: component configs of models that are smaller than SDXL.
    """

    prompts: Sequence[str] = ()
    prediction_type: str | None = None
    one_of: bool = False
    vae: Path | None = None
    config: Path | None = None


@dataclass(frozen=True)
class ModelsFound:
    """The models of an experiment to be written, opened, by names made of those of their files."""

    parents: Parents
    config: Path | None

    @property
    def family(self) -> Family:
        """Return the family of the models."""
        return family_of(self.parents.first)

    @property
    def modes(self) -> tuple[str, ...]:
        """Return what the models predict, in the order in which merges are more likely drawn."""
        types = {prediction.type for prediction in self.parents.predictions.values()}
        return tuple(mode for mode in MODES if mode in types)


def draft_text(found: ModelsFound, wishes: Wishes, file: Path, fitting: tuple[int, int, int]) -> str:
    """Return the text of an experiment in `file`; `fitting`: side in px, steps, seeds of a prompt."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", file.stem).strip("-._") or "merge"
    lines = [
        "# Written by gridsearch init. Change what you like, then:",
        f"#   gridsearch plan {file.name}   checks everything, and says how long the run will take",
        f"#   gridsearch run {file.name}    runs it; you can stop and resume it at any time",
        *_rows(("name", _quoted(name), f"the results will be in results/{name}")),
        "",
        *_model_lines(found, file),
        "",
        *_merge_lines(found, wishes, file),
        "",
        *_render_lines(found, wishes, fitting, file),
        "",
        *_prompt_lines(wishes, fitting[2], file),
        *_search_lines(found, wishes),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _from(file: Path, path: Path) -> str:
    """Return how a path is written in an experiment file, from whose folder it starts."""
    try:
        return _quoted(Path(os.path.relpath(path, file.parent)).as_posix())
    except ValueError:  # on another drive
        return _quoted(path.absolute().as_posix())


def _model_lines(found: ModelsFound, file: Path) -> Iterator[str]:
    yield "[models]"
    rows = []
    for name, checkpoint in found.parents.checkpoints.items():
        predicts = found.parents.predictions[name]
        said = f"{size(checkpoint.bytes)}, {', '.join(checkpoint.dtypes)}, predicts {predicts.type}"
        said += ", zero terminal SNR" if predicts.zero_terminal_snr else ""
        said += "" if has_vae(checkpoint) else ", no VAE"
        key = name if name.isascii() else _quoted(name)
        rows.append((key, _from(file, checkpoint.path), f"{said} ({printable(predicts.source)})"))
    yield from _rows(*rows)
    for name, predicts in found.parents.predictions.items():
        if predicts.conflicts:
            yield f"# {name}: {printable(' and '.join(predicts.conflicts))}. To overrule, write it as"
            yield f'#   {name} = {{ path = "...", prediction_type = "epsilon" }}'


def _rows(*rows: tuple[str, str, str]) -> Iterator[str]:
    """Yield keys, values and comments, each in a column of its own."""
    width = max(len(key) for key, _, _ in rows)
    lines = [f"{key.ljust(width)} = {value}" for key, value, _ in rows]
    width = max((len(line) for line, (_, _, said) in zip(lines, rows, strict=True) if said), default=0)
    for line, (_, _, said) in zip(lines, rows, strict=True):
        yield f"{line.ljust(width)}   # {said}" if said else line


def _merge_lines(found: ModelsFound, wishes: Wishes, file: Path) -> Iterator[str]:
    first, *others = found.parents.checkpoints
    searched = "ratio  = { low = 0.0, high = 1.0, step = 0.01 }"
    if wishes.one_of and len(others) > 1:
        yield f"# {first} * (1 - ratio) + one of the others * ratio: which one is searched, too"
        yield from (
            "[[merge]]",
            f"models = [{_quoted(first)}, [{', '.join(map(_quoted, others))}]]",
            searched,
        )
    else:
        for number, other in enumerate(others, start=1):
            step = "merged" if other == others[-1] else f"merged-{number}"
            if number > 1:
                yield ""
            yield f"# {step} = {first} * (1 - ratio) + {other} * ratio"
            yield "[[merge]]"
            if step != "merged":
                yield f"name   = {_quoted(step)}"
            yield from (f"models = [{_quoted(first)}, {_quoted(other)}]", searched)
            first = step
    yield "# Other methods, ratios per block, LoRAs, and more models: docs/recipes.md"
    if vae := _vae(found, wishes, file):
        yield from ("", "[components]", f"vae = {vae}")


def _vae(found: ModelsFound, wishes: Wishes, file: Path) -> str | None:
    """Return the VAE's source where the first model has none, or another was asked for."""
    if wishes.vae:
        return _from(file, wishes.vae)
    models = found.parents.checkpoints
    owners = [name for name, checkpoint in models.items() if has_vae(checkpoint)]
    if owners[:1] == [next(iter(models))]:
        return None
    if not owners:
        raise BadInput("None of the models has a VAE.", fix="Name a file of one: --vae FILE.")
    return f"{_quoted(owners[0])}   # {next(iter(models))} has none"


def _render_lines(
    found: ModelsFound, wishes: Wishes, fitting: tuple[int, int, int], file: Path
) -> Iterator[str]:
    side, steps, _ = fitting
    mode = wishes.prediction_type or found.modes[0]
    if mode not in (*MODES, "both"):
        raise BadInput(f"There is no prediction type {mode!r:.60}.", fix=f"Give {', '.join(MODES)} or both.")
    both = found.modes if len(found.modes) > 1 else ("v_prediction", "epsilon")
    written = f"[{', '.join(map(_quoted, both))}]" if mode == "both" else _quoted(mode)
    hint = "both are tried" if mode == "both" else f"the models predict {' and '.join(found.modes)}"
    if mode != "both" and len(found.modes) == 1:
        hint = "as the models predict"
    trained = [name for name, one in found.parents.predictions.items() if one.zero_terminal_snr]
    rows = [("prediction_type", written, hint)]
    if mode != "epsilon":
        how = f"{' and '.join(trained)} was trained so" if trained else "none of the models trained so"
        rows.append(("zero_terminal_snr", str(bool(trained)).lower(), how))
    values: dict[str, object] = {
        "sampler": "euler",
        "steps": steps,
        "cfg": 5.0,
        "width": side,
        "height": side,
    }
    known = _settings_said(wishes.prompts, file)
    rows += [
        (name, _value(value), "of the image" if name in known else "")
        for name, value in (values | known).items()
    ]
    if found.config:
        rows.append(
            ("config", _from(file, found.config), f"the models are smaller than {found.family.title}")
        )
    yield "# The settings of your web UI; each of them moves the best ratio. All of them: docs/web-uis.md"
    yield "[render]"
    yield from _rows(*rows)


def _value(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _settings_said(prompts: Sequence[str], file: Path) -> dict[str, object]:
    """Return the settings of the first of the given pictures, as far as they are known here."""
    others: Mapping[str, str] = next(
        (one.others for prompt in prompts for one in prompts_in(prompt, Path()) if one.others), {}
    )
    said = {name: text for name, (_, text) in used_and_said(others, Render()).items() if text}
    width, _, height = said.get("size", "").partition("x")
    asked = {"steps": said.get("steps"), "cfg": said.get("CFG"), "sampler": said.get("sampler")}
    asked |= {"width": width, "height": height, "rng": said.get("rng"), **hires_said(others)[0]}
    found: dict[str, object] = {}
    for name, text in asked.items():
        try:
            value = (
                float(text or "") if name == "cfg" else int(text or "") if text and text.isdecimal() else text
            )
            found |= {name: getattr(Render.model_validate({name: value}), name)} if value else {}
        except (ValueError, pydantic.ValidationError):
            continue  # what is not known here: `plan` tells of it
    return found


def _prompt_lines(wishes: Wishes, seeds: int, file: Path) -> Iterator[str]:
    yield "# With one prompt the best ratio is a guess, with eight an estimate, with sixteen a good one. Take"
    yield "# what you usually render. Of eight or more, a quarter is held out: it only checks the answer."
    for prompt in wishes.prompts:
        yield "[[prompt]]"
        yield from (f"file = {_from(file, Path(prompt))}", f"seeds = {[*range(1, seeds + 1)]}", "")
    for number, (name, text) in enumerate(() if wishes.prompts else USUAL_PROMPTS.items(), start=1):
        yield from ("[[prompt]]", f"id    = {_quoted(name)}", f"text  = {_quoted(text)}")
        yield from (f"seeds = {[10 * number + seed for seed in range(1, seeds + 1)]}", "")


def _search_lines(found: ModelsFound, wishes: Wishes) -> Iterator[str]:
    yield "[search]"
    if wishes.one_of or len(found.parents.checkpoints) == 2:
        yield 'sampler = "window"   # finds both edges of the ratios that survive, then the best between them'
    else:
        yield from ('sampler = "gp"   # for two or more ratios at once', "trials  = 60")
