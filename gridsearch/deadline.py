"""When a run has to be done, as it is said on the command line."""

import time
from datetime import datetime, timedelta

from gridsearch.errors import BadInput


def deadline(hours: float | None, until: str | None) -> float | None:
    """The earlier of both limits, in `time.time()` seconds."""
    limits = []
    if hours is not None:
        limits.append(time.time() + hours * 3600)
    if until is not None:
        try:
            clock = datetime.strptime(until, "%H:%M")
        except ValueError:
            raise BadInput(
                f"{until!r} is no time of day.", where="--until", fix="Write it as 07:30."
            ) from None
        now = datetime.now()
        end = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
        limits.append((end if end > now else end + timedelta(days=1)).timestamp())
    return min(limits, default=None)
