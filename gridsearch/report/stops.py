"""Early abort in words: where an image was stopped, and what that saved."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gridsearch.report.labels import one_line


@dataclass(frozen=True)
class Stop:
    """Where and why an image was not drawn to its end."""

    where: str  # "stopped at step 8 of 20"
    reason: str


def stop_of(row: Any) -> Stop | None:
    """Of a row of the images; None where it was drawn to its end, or nothing is known of that."""
    if not isinstance(row.stopped, str):
        return None
    made = int(row.unet_calls)
    where = f"stopped at step {made} of {made + int(row.unet_calls_saved)}"
    return Stop(where, one_line(row.stopped_because))


def savings_text(images: pd.DataFrame) -> str:
    """How many images early abort stopped, and its share of the UNet calls; empty where it saved nothing.

    Images of an earlier version, which did not count calls, are left out.
    """
    counted = images.dropna(subset=["unet_calls", "unet_calls_saved"])
    saved, made = counted["unet_calls_saved"].sum(), counted["unet_calls"].sum()
    if not saved:
        return ""
    share = saved / (made + saved)
    percent = f"{share:.0%}" if share >= 0.005 else "under 1%"
    stopped = int((counted["unet_calls_saved"] > 0).sum())
    return f"Early abort stopped {stopped} of {len(counted)} images and saved {percent} of the UNet calls."
