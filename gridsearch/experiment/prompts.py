"""The prompts of an experiment, written in it or in files that it names."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gridsearch.base.errors import BadInput
from gridsearch.experiment.lora_tags import require_no_loras
from gridsearch.experiment.prompt_files import FilePrompt, prompts_in
from gridsearch.experiment.recipe import Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import Table, all_different
from gridsearch.render.cases import Case
from gridsearch.render.prompt.emphasis import require_plain_prompt

MAX_ID = 100  # characters
MAX_PROMPT_LENGTH = 20_000  # characters: ten times the longest prompts of web UIs


def _unwritten(value: object) -> object:
    raise ValueError("this comes from prompt files and cannot be set in the experiment")


class Prompt(Table):
    """A text and the seeds it is rendered with; each pair is a case.

    An empty text draws unconditional pictures. Instead of a text it may name a `file`; reading the experiment
    makes a prompt of each text in there. `origin` is the text's place in the file, `others` its other
    settings there; neither is kept.
    """

    text: str = Field(default="", max_length=MAX_PROMPT_LENGTH)
    file: str | None = Field(default=None, pattern=r"^[^\x00]+$", exclude=True)
    negative: str = Field(default="", max_length=MAX_PROMPT_LENGTH)
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1), AfterValidator(all_different)
    ] = (1,)
    id: str = Field(default="", pattern=r"^[\w-]*$", max_length=MAX_ID)
    held_out: bool = False  # kept apart from the search, to confirm its leaders
    origin: Annotated[str, BeforeValidator(_unwritten)] = Field(default="", exclude=True, repr=False)
    others: Annotated[dict[str, str], BeforeValidator(_unwritten)] = Field(
        default_factory=dict, exclude=True, repr=False
    )

    @model_validator(mode="after")
    def _has_a_text_or_a_file(self) -> Self:
        if ("text" in self.model_fields_set) == (self.file is not None):
            raise ValueError('give it either a text = "..." or a file = "prompts.txt"')
        return self


def read_prompts(prompts: Sequence[Prompt], recipe: Recipe, base: Path, source: object) -> tuple[Prompt, ...]:
    """Return the prompts of the experiment, with those of its prompt files in place of the files.

    Args:
        recipe: the merge that they are drawn with, to which LoRAs in a prompt would be added.
        base: the folder that relative file names start from.
        source: the experiment's file.

    Raises:
        BadInput: a prompt file is wrong, two prompts would render the same image, or one would mean something
            else here than in a web UI.
    """
    found: list[tuple[str, Prompt]] = []
    for i, prompt in enumerate(prompts, start=1):
        if prompt.file is None:
            found.append((f"{source}, [[prompt]] {i}", prompt))
            continue
        for said in prompts_in(prompt.file, base):
            kept = {"origin": said.place, "others": dict(said.others)}
            found.append((said.place, _from_file(prompt, said).model_copy(update=kept)))
    for place, prompt in found:
        require_no_loras(prompt.text, recipe, place)
        require_no_loras(prompt.negative, recipe, place)
        require_plain_prompt(prompt.text, place)
        require_plain_prompt(prompt.negative, place, negative=True)
    _require_different(found)
    return tuple(prompt for _, prompt in found)


def _require_different(prompts: Sequence[tuple[str, Prompt]]) -> None:
    """Refuse prompts with the same id, and cases that would render the same picture."""
    by_id: dict[str, str] = {}
    by_case: dict[tuple[str, str, int], str] = {}
    for place, prompt in prompts:
        if prompt.id in by_id:
            raise BadInput(f"Two prompts have the id {prompt.id!r}.", where=f"{by_id[prompt.id]} and {place}")
        by_id[prompt.id] = place
        for seed in prompt.seeds:
            case = (prompt.text, prompt.negative, seed)
            if case in by_case:
                where, why = f"{by_case[case]} and {place}", f"Its text is {prompt.text[:60]!r}."
                fix = "Remove one of them: it would be rendered twice and count twice."
                raise BadInput(f"A prompt is listed twice with seed {seed}.", where=where, why=why, fix=fix)
            by_case[case] = place


def _from_file(prompt: Prompt, said: FilePrompt) -> Prompt:
    """Return a prompt of a file; what the file does not say comes from its `[[prompt]]`."""
    try:
        return Prompt(
            text=said.text,
            negative=prompt.negative if said.negative is None else said.negative,
            seeds=prompt.seeds if said.seed is None else (said.seed,),
            id=f"{prompt.id}-{said.name}",
            held_out=prompt.held_out,
        )
    except pydantic.ValidationError as error:
        raise bad_key(error, said.place, {"": Prompt}) from None


def cases_of(prompts: Iterable[Prompt]) -> tuple[Case, ...]:
    """Return every prompt with every one of its seeds, in order."""
    return tuple(Case(p.id, p.text, p.negative, seed) for p in prompts for seed in p.seeds)
