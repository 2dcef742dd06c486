"""Early abort: whether an image that is still being rendered has failed, by its trajectory so far.

A trajectory is compared with those of healthy references at the same noise level. Three outcomes are
hopeless: values that are not finite, a prediction that has shrunk to a constant, and one that has stayed
noise or grown far beyond what a VAE can show. A merely pale or garish image is rendered to its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridsearch.render.watch.trace import Trace

FORMED = 1.0  # noise to signal: below it a picture has formed, or will not
FLAT = 0.1  # of the references' typical signal; less is a constant
RUNAWAY = 2.5  # times the largest spread of the references; pictures that recover were seen up to 2.2 times
NOISY = 0.5  # of the references' lowest autocorrelation
CHECK_EVERY = 0.1  # share of the steps between two checks, each of which waits for the device
SIGMAS = 3.0  # times the error of an autocorrelation over that many values of white noise
CHANNELS = 4


@dataclass(frozen=True)
class Expected:
    """The references' predictions at each noise level, from the highest down: arrays of one length.

    Attributes:
        level: sigma / alpha.
        signal: the median of std x sqrt(autocorrelation), the spread without white noise.
        spread: the largest std.
        autocorrelation: the lowest one.
    """

    level: np.ndarray
    signal: np.ndarray
    spread: np.ndarray
    autocorrelation: np.ndarray

    def at(self, name: str, level: float) -> float:
        """Return a quantity at any noise level, interpolated over its logarithm."""
        log = np.log(self.level[::-1])
        return float(np.interp(np.log(level), log, getattr(self, name)[::-1]))


@dataclass(frozen=True)
class Abort:
    """The reason for stopping the rendering of an image.

    Attributes:
        verdict: "nan", "blank" or "noise".
        reason: a clause.
        call: the last UNet call, from 0.
    """

    verdict: str
    reason: str
    call: int


def expected_of(traces: Sequence[Trace]) -> Expected | None:
    """Return what healthy trajectories have in common; None without any."""
    if not traces:
        return None
    levels = np.unique(np.concatenate([trace.level for trace in traces]))[::-1]
    std, correlation = (_on(levels, traces, name) for name in ("std", "autocorrelation"))
    signal = std * np.sqrt(np.clip(correlation, 0, None))
    return Expected(levels, np.median(signal, 0), std.max(0), correlation.min(0))


def _on(levels: np.ndarray, traces: Sequence[Trace], name: str) -> np.ndarray:
    """Return a quantity of every trace at common noise levels: (traces, levels)."""
    log = np.log(levels)
    return np.array([np.interp(log, np.log(t.level[::-1]), getattr(t, name)[::-1]) for t in traces])


def is_look(call: int, calls: int, share: float) -> bool:
    """Return whether to check after this call: first at `share` of the calls, then every CHECK_EVERY."""
    looks = np.arange(share, 1 - CHECK_EVERY / 2, CHECK_EVERY)
    return call + 1 in {int(np.ceil(look * calls)) for look in looks}


def reason_to_stop(trace: Trace, expected: Expected | None, values: int) -> Abort | None:
    """Return why a trajectory so far is hopeless; None where it is not.

    Args:
        expected: without it, only values that are not finite are hopeless.
        values: the number of latent pixels, h x w.
    """
    call = len(trace) - 1
    if not trace.finite.all():
        return Abort("nan", "the predicted picture has values that are not finite", call)
    if expected is None:
        return None
    level, std, correlation = trace.level[-1], trace.std[-1], trace.autocorrelation[-1]
    typical, spread, least = (expected.at(name, level) for name in ("signal", "spread", "autocorrelation"))
    if std > RUNAWAY * spread:
        return Abort("noise", f"its latents vary by {std:.2g}, the references' by {spread:.2g} at most", call)
    if level > FORMED:
        return None
    error = SIGMAS / (CHANNELS * values) ** 0.5
    most = std * max(correlation + error, 0.0) ** 0.5 if std > 0 else 0.0
    if most < FLAT * typical:
        return Abort("blank", f"its latents hold {most:.2g} at most, the references' {typical:.2g}", call)
    if correlation + error < NOISY * least and std > typical:  # weaker noise may still fade to one tone
        why = f"neighbouring latents correlate by {correlation:.2f}, the references' by {least:.2f} at least"
        return Abort("noise", why, call)
    return None
