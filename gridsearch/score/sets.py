"""Pictures compared by their features: how alike two are, and how far a set of them is from another set.

Features are what a trained backbone makes of a picture, here of length 1 (`score.scorers.backbone`). They
know what is in a picture and little of how clean it is: a burnt picture may be more like its reference than a
simple sound one, so the verdict comes first.
"""

import base64
import hashlib
from math import inf, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # (N, D), each row of length 1
HASHED = 2_000_000  # bytes of a file: its header, and some of its values


def set_distance(drawn: Features, references: Features) -> float:
    """Return the squared maximum mean discrepancy of two sets, unbiased: about 0, or below, for sets alike.

    The kernel is that of the kernel inception distance (Binkowski et al. 2018, section 4), (a·b / D + 1)^3,
    of features scaled to the length √D, so that those of CLIP and DINOv2 count alike: (cosine + 1)^3, from 0
    to 8. It needs no covariance, as Frechet's distance does, so a trial's few pictures are enough. It is nan
    where a set has fewer than two.
    """
    if min(len(drawn), len(references)) < 2:
        return nan
    within = _mean_of_pairs(drawn) + _mean_of_pairs(references)
    return float(within - 2 * _kernel(drawn, references).mean())


def _mean_of_pairs(features: Features) -> float:
    """Return the mean kernel of different pictures of one set."""
    kernel, count = _kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _kernel(a: Features, b: Features) -> NDArray[np.float64]:
    return np.asarray((a @ b.T + 1) ** 3)


def likeness(one: NDArray[np.float64], others: Features) -> float:
    """Return the mean cosine between a picture's features (D,) and those of others; nan without others."""
    return float((others @ one).mean()) if len(others) else nan


def backbone_key(folder: Path) -> str:
    """Return eight hex digits that tell a checked backbone from others, of its config and its weights."""
    known = hashlib.sha256()
    for file in sorted((folder / "config.json", *folder.glob("*.safetensors"))):
        with file.open("rb") as opened:
            known.update(opened.read(HASHED) + str(file.stat().st_size).encode())
    return known.hexdigest()[:8]


def packed(features: NDArray) -> str:
    """Return features (D,) as a text to store, in half precision: two bytes each."""
    return base64.b64encode(np.asarray(features, "<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> NDArray[np.float64] | None:
    """Return the features (D,) in a stored text, of length 1; None where it holds none."""
    try:
        features = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(float)
    except ValueError:
        return None
    length = np.linalg.norm(features)
    return features / length if 0 < length < inf else None
