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


class PromptLike(Protocol):
    """A text and the seeds it is drawn with."""

    id: str
    text: str
    negative: str
    seeds: tuple[int, ...]


def cases_of(prompts: Iterable[PromptLike]) -> tuple[Case, ...]:
    """Every prompt with every one of its seeds, in order."""
    return tuple(
        Case(prompt.id, prompt.text, prompt.negative, seed) for prompt in prompts for seed in prompt.seeds
    )
