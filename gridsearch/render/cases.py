"""What is drawn: a case is one prompt with one seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Case:
    """One prompt with one seed."""

    prompt_id: str
    text: str
    negative: str
    seed: int

    @property
    def id(self) -> str:
        """A name that a file can have."""
        return case_id(self.prompt_id, self.seed)


def case_id(prompt_id: str, seed: int) -> str:
    return f"{prompt_id}_s{seed}"


class Prompt(Protocol):
    """A text and the seeds it is drawn with."""

    id: str
    text: str
    negative: str
    seeds: tuple[int, ...]


def cases_of(prompts: Iterable[Prompt]) -> tuple[Case, ...]:
    """Every prompt with every one of its seeds, in order."""
    return tuple(
        Case(prompt.id, prompt.text, prompt.negative, seed) for prompt in prompts for seed in prompt.seeds
    )


class Tokenizer(Protocol):
    """CLIP's, as transformers has it."""

    model_max_length: int

    def __call__(self, text: str, truncation: bool) -> object: ...


def cut_prompts(prompts: Iterable[Prompt], tokenizer: Tokenizer) -> list[str]:
    """A note for each prompt that is longer than the text encoders read."""
    found = []
    for prompt in prompts:
        for text in (prompt.text, prompt.negative):
            cut = len(tokenizer(text, truncation=False).input_ids) - tokenizer.model_max_length
            if cut > 0:
                found.append(f"The last {cut} tokens of prompt {prompt.id} are cut off: {text[:40]!r}...")
    return found
