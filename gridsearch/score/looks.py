"""The looks that the gate judges beside the band: where a picture clips, its tones, shapes, detail."""

from collections.abc import Sequence
from functools import reduce
from math import nan, sqrt

import numpy as np
import scipy

from gridsearch.score.layers import (
    coherence,
    energies,
    evenness,
    pooled,
    quiet,
    roughness,
    shapes,
    spans,
    sparseness,
    strength,
)

CLIPPED_LOW, CLIPPED_HIGH = 8, 247  # a channel value at or beyond these counts as clipped
FLAT_RANGE = 8.0  # levels; a place is flat where the luma of 5 × 5 pixels spans no more
STEEP = 20.0  # levels a pixel; an edge is steeper
LEAST_EDGE = 4  # pixels; a smaller one is a speck
DARK, LIGHT = 40.0, 215.0  # luma; between them are the middle tones
OCTAVES = 5  # details of 2, 4, 8, 16 and 32 px
POOLED_PIXELS = 16  # pixels a side, over which detail is pooled


def looks_of(rgb: np.ndarray, luma: np.ndarray) -> dict[str, float]:
    """Return the looks of a working copy, by the names that `Metrics` has for them.

    Args:
        rgb: uint8 (H, W, 3).
        luma: float32 (H, W).
    """
    flat = spans(luma, 2) <= FLAT_RANGE
    channels = [np.ascontiguousarray(rgb[..., channel]) for channel in range(3)]  # far faster than (H, W, 3)
    red, green, blue = (channel.astype(np.float32) for channel in channels)
    opponents = red - green, (red + green) / 2 - blue
    tones = np.quantile(luma[::2, ::2], (0.02, 0.98))
    saturation = reduce(np.maximum, channels) - reduce(np.minimum, channels)
    return (
        _clipping(channels, flat)
        | _details(luma, *opponents)
        | _edges(luma, saturation)
        | {
            "darkest": float(tones[0]),
            "brightest": float(tones[1]),
            "middle_tones": float(((luma > DARK) & (luma < LIGHT)).mean()),
            "saturation": float(saturation.mean()),
            "flat": float(flat.mean()),
            "shapes": shapes((red, green, blue)),
            "roughness": roughness(luma),
            "colour_shapes": shapes(opponents),
        }
    )


def _clipping(channels: Sequence[np.ndarray], flat: np.ndarray) -> dict[str, float]:
    """Return the shares of flat white and black, as paper and night are, and of what clips otherwise."""
    low, high = [c <= CLIPPED_LOW for c in channels], [c >= CLIPPED_HIGH for c in channels]
    white, black = reduce(np.logical_and, high), reduce(np.logical_and, low)
    ground = (white | black) & flat  # paper or night
    clipped = np.zeros(flat.shape, np.uint8)  # channels of each pixel
    for end in (*low, *high):
        clipped += end
    any_clips = clipped > 0
    borders = (any_clips[1:] != any_clips[:-1]).sum() + (any_clips[:, 1:] != any_clips[:, :-1]).sum()
    return {
        "ragged": float(borders) / flat.size,
        "white": float((white & flat).mean()),
        "black": float((black & flat).mean()),
        "clipped_picture": float((clipped * ~ground).mean()) / 3,
        "clipped_detail": float((clipped * ~flat).mean()) / 3,
        "clipped_colour": float((clipped * ~(white | black)).mean()) / 3,
        "primaries": float((reduce(np.logical_or, low) & reduce(np.logical_or, high)).mean()),
    }


def _details(luma: np.ndarray, red_green: np.ndarray, yellow_blue: np.ndarray) -> dict[str, float]:
    found = list(energies(luma, OCTAVES))
    blocks = [pooled(energy, _block(level)) for level, energy in enumerate(found[:3], start=1)]
    colours = list(zip(energies(red_green, 3), energies(yellow_blue, 3), strict=True))
    rest = [quiet(pooled(a + b, _block(level))) for level, (a, b) in enumerate(colours, start=1)]
    return {
        "detail_2": strength(found[0]),
        "detail_4": strength(found[1]),
        "detail_8": strength(found[2]),
        "detail_32": strength(found[4]),
        "quiet_2": quiet(blocks[0]),
        "quiet_4": quiet(blocks[1]),
        "quiet_8": quiet(blocks[2]),
        "evenness_4": evenness(blocks[1]),
        "evenness_8": evenness(blocks[2]),
        "sparseness_4": sparseness(found[1]),
        "colour_4": strength(colours[1][0] + colours[1][1]),
        "colour_quiet_4": rest[1],
        "colour_quiet_8": rest[2],
    }


def _block(level: int) -> tuple[int, int]:
    edge = max(POOLED_PIXELS >> level, 2)
    return edge, edge


def _edges(luma: np.ndarray, saturation: np.ndarray) -> dict[str, float]:
    """Return how much lies on edges, how long and straight those are, and whether the colour lies on them."""
    none = {"steep": 0.0, "edge_length": nan, "edge_colour": nan, "coherence": nan}
    if min(luma.shape) < 2:
        return none
    down, across = np.diff(luma, axis=0)[:, :-1], np.diff(luma, axis=1)[:-1]
    steep = down**2 + across**2 > STEEP**2
    labels, _ = scipy.ndimage.label(steep, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:].astype(np.float64)
    sizes = sizes[sizes >= LEAST_EDGE]
    if not sizes.size or steep.all():
        return none | {"steep": float(steep.mean())}
    colour = saturation[:-1, :-1]
    on_edges = int((colour * steep).sum(dtype=np.int64))
    elsewhere = int(colour.sum(dtype=np.int64)) - on_edges
    count = int(np.count_nonzero(steep))
    return {
        "steep": float(steep.mean()),
        "edge_length": float((sizes**2).sum() / sizes.sum()) / sqrt(luma.size),
        "edge_colour": on_edges / count - elsewhere / (steep.size - count),
        "coherence": coherence(down, across),
    }
