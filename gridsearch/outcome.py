"""What a trial found: a row per image, and what they come to."""

from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass
from typing import Protocol

from gridsearch.render.cases import Case
from gridsearch.score.score import DEFECT_CAP, Score
from gridsearch.score.verdict import Verdict


@dataclass(frozen=True)
class Outcome:
    """What a trial found: a row per image, and how long each part took in seconds."""

    images: list[dict]
    seconds: dict[str, float]

    @property
    def survived(self) -> float:
        """The share of images whose verdict is `ok`."""
        return sum(row["verdict"] == "ok" for row in self.images) / len(self.images)

    @property
    def defect(self) -> float:
        """The mean defect."""
        return sum(row["defect"] for row in self.images) / len(self.images)

    @property
    def value(self) -> float:
        """What the search minimises: images lost, then the mean defect as a fraction of its cap.

        A defect never reaches above its cap, so no mean, however good, outweighs one lost image.
        """
        lost = round((1 - self.survived) * len(self.images))
        return lost + self.defect / DEFECT_CAP


class Stop(Protocol):
    """Why and where drawing was stopped."""

    verdict: str
    reason: str


class Drawn(Protocol):
    """An image as it was drawn."""

    finite: bool
    seconds: float
    trace: Sized  # one entry a call of the UNet
    calls: int
    stop: Stop | None


def case_row(case: Case, prediction_type: str, drawn: Drawn, file: str, film: str | None) -> dict:
    """What an image is: its case, how it came about, and where it is kept, relative to the results folder."""
    return {
        "prompt_id": case.prompt_id,
        "prompt": case.text,
        "seed": case.seed,
        "prediction_type": prediction_type,
        "finite": drawn.finite,
        "seconds": drawn.seconds,
        "unet_calls": len(drawn.trace),
        "unet_calls_saved": drawn.calls - len(drawn.trace),
        "stopped": drawn.stop and drawn.stop.verdict,
        "stopped_because": drawn.stop and drawn.stop.reason,
        "file": file,
        "film": film,
    }


def stop_verdict(row: Mapping) -> Verdict | None:
    """The verdict on an image's denoising, where that was stopped."""
    if not row.get("stopped"):
        return None
    made, saved = row["unet_calls"], row["unet_calls_saved"]
    return Verdict(row["stopped"], f"{row['stopped_because']}; stopped at step {made} of {made + saved}")


def score_row(score: Score) -> dict:
    """What is thought of an image."""
    judged = {"verdict": score.verdict, "defect": score.defect, "dial": score.dial, "reason": score.reason}
    return judged | asdict(score.metrics)


def number(stored: float | None) -> float:
    """A number as it was before it was stored: an undefined one is None there."""
    return float("nan") if stored is None else stored
