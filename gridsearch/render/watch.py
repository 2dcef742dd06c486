"""Watching images while they are rendered: traces, early abort, and the frames of a film.

Early abort compares a trajectory so far with those of healthy references at the same noise level. Three
outcomes are hopeless: values that are not finite, a prediction that has shrunk to a constant, and one that
has stayed noise or grown far beyond what a VAE can show. A merely pale or garish image is drawn to its end.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# -- traces


@dataclass(frozen=True)
class Trace:
    """Statistics of the clean latents x0 that the UNet predicts for one image: arrays (calls,)."""

    level: np.ndarray  # noise to signal, sigma / alpha, of the UNet's input
    mean: np.ndarray  # over all values of x0, in units of the latents, as is `std`
    std: np.ndarray
    # of x0 shifted by one latent pixel, right and down: near 1 for a picture, 0 for noise, nan for a constant
    autocorrelation: np.ndarray
    finite: np.ndarray  # bool, whether all values of x0 are finite

    def __len__(self) -> int:
        return len(self.level)

    def as_row(self) -> dict[str, list]:
        """Return the trace as plain lists with six digits, to be stored."""
        numbers = {
            name: [float(f"{x:.6g}") if math.isfinite(x) else None for x in values]
            for name, values in vars(self).items()
            if name != "finite"
        }
        return {**numbers, "finite": self.finite.tolist()}


def trace_of(row: Mapping[str, Sequence]) -> Trace:
    """Return the trace from a stored row of `Trace.as_row`."""
    numbers = {name: np.array(row[name], dtype=float) for name in ("level", "mean", "std", "autocorrelation")}
    return Trace(**numbers, finite=np.array(row["finite"], dtype=bool))


def statistics(x0: Tensor) -> Tensor:
    """Return mean, deviation, autocorrelation and finiteness of latents (N, C, h, w): (N, 4), float32.

    The autocorrelation is 1 - E[(a - b)^2] / (2 var) over horizontal and vertical neighbours a, b.
    """
    x0 = x0.float()
    var, mean = torch.var_mean(x0, dim=(1, 2, 3))
    right = (x0[..., :, 1:] - x0[..., :, :-1]).square().mean(dim=(1, 2, 3))
    down = (x0[..., 1:, :] - x0[..., :-1, :]).square().mean(dim=(1, 2, 3))
    correlation = 1 - (right + down) / (4 * var)
    finite = torch.isfinite(var) & torch.isfinite(mean)
    return torch.stack([mean, var.sqrt(), correlation, finite.float()], dim=1)


# -- early abort

FORMED = 1.0  # noise to signal: below it a picture has formed, or will not
FLAT = 0.1  # of the references' typical signal; less is a constant
RUNAWAY = 2.5  # times the largest spread of the references; pictures that recover were seen up to 2.2 times
NOISY = 0.5  # of the references' lowest autocorrelation
CHECK_EVERY = 0.1  # share of the steps between two checks, each of which waits for the device
SIGMAS = 3.0  # times the error of an autocorrelation over that many values of white noise
CHANNELS = 4


@dataclass(frozen=True)
class Expected:
    """The references' predictions at each noise level, from the highest down: arrays of one length."""

    level: np.ndarray  # sigma / alpha
    signal: np.ndarray  # the median of std x sqrt(autocorrelation), the spread without white noise
    spread: np.ndarray  # the largest std
    autocorrelation: np.ndarray  # the lowest one

    def at(self, name: str, level: float) -> float:
        """Return a quantity at any noise level."""
        return float(_interpolated(self, name, level))


def _interpolated(curves: Trace | Expected, name: str, level: float | np.ndarray) -> np.ndarray:
    """Return a quantity at other noise levels, interpolated over their logarithm."""
    return np.interp(np.log(level), np.log(curves.level[::-1]), getattr(curves, name)[::-1])


@dataclass(frozen=True)
class Abort:
    """The reason for stopping the rendering of an image."""

    verdict: str  # "nan", "blank" or "noise"
    reason: str  # a clause
    call: int  # the last UNet call, from 0


def expected_of(traces: Sequence[Trace]) -> Expected | None:
    """Return what healthy trajectories have in common; None without any."""
    if not traces:
        return None
    levels = np.unique(np.concatenate([trace.level for trace in traces]))[::-1]
    std = np.array([_interpolated(trace, "std", levels) for trace in traces])
    correlation = np.array([_interpolated(trace, "autocorrelation", levels) for trace in traces])
    signal = std * np.sqrt(np.clip(correlation, 0, None))
    return Expected(levels, np.median(signal, 0), std.max(0), correlation.min(0))


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


# -- recording

FRAMES = 8  # of a film strip


@dataclass(frozen=True)
class WatchSettings:
    """The settings for watching a batch while it is rendered."""

    expected: Expected | None = None  # the healthy trajectories, where they are known
    early_abort: float = 0.0  # share of the calls after which hopeless images are stopped; 0 for never
    film: bool = False  # whether previews are kept
    on_call: Callable[[int, int], None] | None = None  # called with the number of calls done, and of all


UNWATCHED = WatchSettings()


class Recorder:
    """The watcher of one batch; its records stay on the device until they are asked for."""

    def __init__(self, images: int, calls: int, watch: WatchSettings) -> None:
        self._active = list(range(images))  # the image of each row of the batch
        self._places: Tensor | None = None  # the same on the device, once there are fewer
        self._images, self._calls, self._watch = images, calls, watch
        self._levels: list[float] = []
        self._statistics: list[Tensor] = []  # (images, 4) for each call
        self._frames: list[Tensor] = []  # (images, C, h, w)
        self._frame_calls = (
            {round(call) for call in np.linspace(0, calls - 1, FRAMES)} if watch.film else set()
        )
        self._now = torch.empty(0)  # the latest prediction
        self._ended: dict[int, Tensor] = {}  # image -> the clean latent where it was stopped
        self.stops: dict[int, Abort] = {}

    def see(self, call: int, level: float, x0: Tensor) -> None:
        """Take note of the clean latents (N, C, h, w) that a call predicts at a noise level sigma / alpha."""
        if self._watch.on_call is not None:
            self._watch.on_call(call + 1, self._calls)
        self._levels.append(level)
        self._statistics.append(self._all(statistics(x0)))
        self._now = x0
        if call in self._frame_calls:
            self._frames.append(self._all(x0))

    def kept(self, call: int) -> Sequence[int] | None:
        """Return the rows that go on after this call; None for all of them."""
        share = self._watch.early_abort
        if share <= 0 or not is_look(call, self._calls, share):
            return None
        traces = self.traces()
        pixels = self._now.shape[-2] * self._now.shape[-1]
        going = []
        for row, image in enumerate(self._active):
            stop = reason_to_stop(traces[image], self._watch.expected, pixels)
            if stop is None:
                going.append(row)
            else:
                self.stops[image] = stop
                self._ended[image] = self._now[row]
        if len(going) == len(self._active):
            return None
        self._active = [self._active[row] for row in going]
        self._places = torch.tensor(self._active, device=self._now.device)
        return going

    def latents(self, final: Tensor) -> Tensor:
        """Return the latents of all images: the final ones, and of stopped images their last prediction."""
        ended = self._ended | dict(zip(self._active, final, strict=True))
        return torch.stack([ended[image].float() for image in range(self._images)])

    def traces(self) -> list[Trace]:
        """Return the trace of each image as far as it came; waits for the device."""
        found = []
        for rows in torch.stack(self._statistics, dim=1).cpu().double().numpy():
            calls = int((~np.isnan(rows[:, 3])).sum())
            mean, std, correlation, finite = rows[:calls].T
            found.append(Trace(np.array(self._levels[:calls]), mean, std, correlation, finite > 0))
        return found

    def films(self) -> list[Tensor]:
        """Return the predicted clean latents of each image at its frames: (frames, C, h, w)."""
        found = []
        for image, frames in enumerate(torch.stack(self._frames, dim=1)):
            last = self.stops[image].call if image in self.stops else self._calls
            found.append(frames[: sum(call <= last for call in self._frame_calls)])
        return found

    def _all(self, values: Tensor) -> Tensor:
        """Return the rows of the batch at the places of their images; nan for stopped ones."""
        if self._places is None:
            return values
        spread = values.new_full((self._images, *values.shape[1:]), float("nan"))
        spread[self._places] = values
        return spread
