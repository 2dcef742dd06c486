"""LoRAs that a prompt names as web UIs do, in angle brackets, as adapter steps in TOML to paste."""

import re
from collections.abc import Iterator, Sequence

from gridsearch.base.errors import BadInput
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Recipe
from gridsearch.render.prompt.emphasis import WHY_NO_NETWORK, Lora, loras_in

MOST_LETTERS = 40  # of a name that is made here
NAMELESS = "lora"


def require_no_loras(text: str, recipe: Recipe, where: object) -> None:
    """Refuse a prompt with LoRA tags; the fix of the BadInput is the steps that do the same, in TOML."""
    if not (loras := loras_in(text)):
        return
    tables, steps = _tables(loras, recipe)
    if tables and recipe.adapters:
        places = f"write this under [adapters]:\n{_indented(tables)}\n  and this at the end of the file"
    else:
        places = "put this at the end of the experiment file"
        steps = [*(["[adapters]", *tables] if tables else []), *steps]
    what = f"The prompt names {'a LoRA' if len(loras) == 1 else 'LoRAs'}: {', '.join(x.tag for x in loras)}"
    raise BadInput(
        " ".join(what.split()),
        where=where,
        why=WHY_NO_NETWORK,
        fix=f"Remove it from the prompt, and {places}:\n{_indented(steps)}",
    )


def _tables(loras: Sequence[Lora], recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return lines for the table of adapters, and those of a step for each LoRA."""
    steps = {step.name for step in recipe.merge}
    taken = {*recipe.models, *recipe.adapters, *steps, MERGED, VAE_FILE, "render"}
    files = {path.stem: name for name, path in recipe.adapters.items()}
    tables, lines, last = [], [], recipe.merge[-1].name
    for lora in loras:
        if not (adapter := files.get(lora.name)):
            adapter = files[lora.name] = _free(lora.name, taken)
            tables.append(f"{adapter} = {_quoted(f'{lora.name}.safetensors')}")
        step = _free(f"with-{lora.name}", taken)
        lines += ["[[merge]]", f'name = "{step}"', 'method = "adapter"']
        lines += [f"models = [{_quoted(last)}, {_quoted(adapter)}]", f"ratio = {_ratio(lora, recipe)}"]
        last = step
    return tables, lines


def _ratio(lora: Lora, recipe: Recipe) -> str:
    if lora.te == lora.unet:
        return repr(lora.te)
    vae = "vae = 0.0, " if MERGED in recipe.vae_sources() else ""  # every merged weight needs one
    return f"{{ {vae}te = {lora.te!r}, unet = {lora.unet!r} }}"


def _free(name: str, taken: set[str]) -> str:
    """Return a name like this that is a key of TOML without quotes, and that nothing else has yet."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:MOST_LETTERS].strip("-") or NAMELESS
    free = next(tried for tried in _numbered(plain) if tried not in taken)
    taken.add(free)
    return free


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
