"""Recording a batch while it is rendered: its traces and previews, and which images are stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridsearch.render.watch.abort import Abort, Expected, is_look, reason_to_stop
from gridsearch.render.watch.trace import Trace, statistics

FRAMES = 8  # of a film strip


@dataclass(frozen=True)
class WatchSettings:
    """The settings for watching a batch while it is rendered.

    Attributes:
        expected: the healthy trajectories, where they are known.
        early_abort: the share of the calls after which hopeless images are stopped; 0 for never.
        film: whether previews are kept.
        on_call: called with the number of calls done, and of all.
    """

    expected: Expected | None = None
    early_abort: float = 0.0
    film: bool = False
    on_call: Callable[[int, int], None] | None = None


UNWATCHED = WatchSettings()


class Recorder:
    """The `denoise.Watcher` of one batch; its records stay on the device until they are asked for."""

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
        if self._watch.on_call is not None:
            self._watch.on_call(call + 1, self._calls)
        self._levels.append(level)
        self._statistics.append(self._all(statistics(x0)))
        self._now = x0
        if call in self._frame_calls:
            self._frames.append(self._all(x0))

    def kept(self, call: int) -> Sequence[int] | None:
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
        table = torch.stack(self._statistics, dim=1).cpu().double().numpy()
        return [self._trace(rows) for rows in table]

    def films(self) -> list[Tensor]:
        """Return the predicted clean latents of each image at its frames: (frames, C, h, w)."""
        frames = torch.stack(self._frames, dim=1)
        return [image[: self._frame_count(index)] for index, image in enumerate(frames)]

    def _frame_count(self, image: int) -> int:
        last = self.stops[image].call if image in self.stops else self._calls
        return sum(call <= last for call in self._frame_calls)

    def _trace(self, rows: np.ndarray) -> Trace:
        calls = int((~np.isnan(rows[:, 3])).sum())
        mean, std, correlation, finite = rows[:calls].T
        return Trace(np.array(self._levels[:calls]), mean, std, correlation, finite > 0)

    def _all(self, values: Tensor) -> Tensor:
        """Return the rows of the batch at the places of their images; nan for stopped ones."""
        if self._places is None:
            return values
        spread = values.new_full((self._images, *values.shape[1:]), float("nan"))
        spread[self._places] = values
        return spread
