"""Cases: one prompt with one seed each, and the key by which a case is known everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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


def prompt_of(case: str) -> str:
    """Return the id of the prompt of the case with this key."""
    return case.rpartition("_s")[0]
