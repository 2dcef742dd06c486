"""A person's judgements of blind pairs, attributes of a study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gridsearch.results.columns import Integer, Text

JUDGEMENT = "judgement "  # begins an attribute of a study, which is a judgement
Choice = Literal["first", "second", "equal"]


@dataclass(frozen=True)
class Judgement:
    """One blind pair: the images of a case by two trials, the first's on the left.

    `time` is ISO 8601 with its time zone, `session` the seed of the session. Each judgement is an attribute
    of its own, so that a run which goes on beside it writes none of them over.
    """

    first: Integer
    second: Integer
    prompt_id: Text
    seed: Integer
    answer: Choice
    time: Text
    session: Integer


def judgements_in(attrs: Mapping[str, Any]) -> dict[str, dict | None]:
    """Return the attributes of a study that are judgements; None is one that was taken back."""
    return {key: value for key, value in attrs.items() if key.startswith(JUDGEMENT)}


def judgements_of(attrs: Mapping[str, Any]) -> tuple[Judgement, ...]:
    """Return the judgements among a study's attributes, in the order in which they were made."""
    kept = [(key, said) for key, said in judgements_in(attrs).items() if said is not None]
    return tuple(Judgement(**said) for _, said in sorted(kept, key=lambda one: (one[1]["time"], one[0])))
