"""Cases: one prompt with one seed each, and the key by which a case is known everywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Case:
    """One prompt with one seed."""

    prompt_id: str
    text: str
    negative: str
    seed: int

    @property
    def id(self) -> str:
        """The case's key."""
        return case_id(self.prompt_id, self.seed)


def case_id(prompt_id: str, seed: int) -> str:
    """Return the key of a case, as `p1_s42`; it is also part of its images' file names."""
    return f"{prompt_id}_s{seed}"


def case_of(row: Mapping[str, Any]) -> str:
    """Return the key of the case that an image's row belongs to."""
    return case_id(row["prompt_id"], row["seed"])


class PromptLike(Protocol):
    """A text and the seeds it is rendered with."""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def negative(self) -> str: ...

    @property
    def seeds(self) -> tuple[int, ...]: ...


def cases_of(prompts: Iterable[PromptLike]) -> tuple[Case, ...]:
    """Return every prompt with every one of its seeds, in order."""
    return tuple(
        Case(prompt.id, prompt.text, prompt.negative, seed) for prompt in prompts for seed in prompt.seeds
    )
