"""Oracles of the toy's pictures, none of which a scorer of the package knows.

One is the toy's own (`experiments/toy/evaluate.py`): an unbiased kernel distance to pictures like those that
it was trained on. It is not told what a picture should show. The other knows just that: a small network that
is trained here to tell the shapes apart.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.content import pair  # noqa: F401 - which finds the toy's scripts

import data  # isort: skip
import evaluate  # isort: skip

Oracle = Callable[[np.ndarray, Sequence[str]], float]  # (N, H, W, 3) uint8, captions -> less is better
LEARNT, HELD_OUT = (4096, 6_000), (1024, 7_000)  # how many pictures, and their first seed: none of the toy's
ROUNDS, BATCH, RATE = 6, 64, 3e-3
WIDTHS = (3, 16, 32, 64, 96)


def whole_oracle() -> Oracle:
    """The toy's own oracle."""
    distance = evaluate.Oracle()
    return lambda pictures, captions: distance(pictures)


def shape_oracle() -> Oracle:
    """The mean chance that a picture is not of its caption's shape, by a network that learns them first."""
    torch.manual_seed(0)
    layers = [
        layer
        for inner, width in pairwise(WIDTHS)
        for layer in (nn.Conv2d(inner, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
    ]
    network = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 8))
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    pictures, labels = (torch.from_numpy(a) for a in _examples(*LEARNT))
    for _ in range(ROUNDS):
        for chosen in torch.randperm(len(labels)).split(BATCH):
            loss = cross_entropy(network(pictures[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    unseen, truth = (torch.from_numpy(a) for a in _examples(*HELD_OUT))
    with torch.no_grad():
        right = (network(unseen).argmax(1) == truth).float().mean()
    print(f"the oracle of shapes is right on {right:.1%} of {len(truth)} held-out pictures", flush=True)

    @torch.no_grad()
    def wrong(pictures: np.ndarray, captions: Sequence[str]) -> float:
        chances = network(torch.from_numpy(data.to_signed(pictures))).softmax(1)
        asked = torch.tensor([data.CAPTIONS.index(caption) for caption in captions])
        return 1 - float(chances.gather(1, asked[:, None]).mean())

    return wrong


def _examples(count: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    pictures, labels = data.draw_many(count, first_seed)
    return data.to_signed(pictures), labels
