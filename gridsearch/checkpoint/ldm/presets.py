"""Supermerger's presets of ratios per block: from a block's place to its weight.

They are named, and have the values, as in `mbwpresets.txt` (https://github.com/hako-mikan/sd-webui-supermerger).
They are made for the 25 blocks of SD 1.5, IN00 to IN11, M00 and OUT00 to OUT11; another family has some of
those (`Family.preset_places`).
"""

import math
from collections.abc import Callable

from gridsearch.checkpoint.family import Family

OTHERS = 25  # blocks of SD 1.5, without BASE
LACKED = "IN09 to IN11 and OUT09 to OUT11"  # those of them that SDXL does not have


def _smoothstep(x: float) -> float:
    return x * x * (3 - 2 * x)


def _folded(x: float) -> float:
    """Return a number as a mirror between 0 and 1 throws it back: 1.2 is 0.8, 2.2 is 0.2."""
    return 1 - abs(1 - x % 2)


def _wrap(blocks: int) -> Callable[[float], float]:
    """Return 1 for so many blocks, half of them at either end."""
    return lambda x: float(min(x, 1 - x) * (OTHERS - 1) < blocks / 2 - 0.5)


def _from(first: int, last: int, weight: float = 1.0) -> Callable[[float], float]:
    """Return a weight for the blocks of these places among the 25."""
    return lambda x: weight * (first <= round(x * (OTHERS - 1)) <= last)


def _folded_after(times: int) -> Callable[[float], float]:
    return lambda x: _folded(times * _smoothstep(x))


def _folded_before(times: int) -> Callable[[float], float]:
    return lambda x: _smoothstep(_folded(times * x))


def _reversed(rising: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: 1 - rising(x)


_RISING: dict[str, Callable[[float], float]] = {
    "SMOOTHSTEP": _smoothstep,
    **{f"SMOOTHSTEP*{n}": _folded_after(n) for n in (2, 3, 4)},
    **{f"SMOOTHSTEP/{n}": _folded_before(n) for n in (2, 3, 4)},
}
PRESETS: dict[str, Callable[[float], float]] = {
    "GRAD_V": lambda x: abs(1 - 2 * x),
    "GRAD_A": lambda x: 1 - abs(1 - 2 * x),
    "FLAT_25": lambda x: 0.25,
    "FLAT_75": lambda x: 0.75,
    **{f"WRAP{n:02}": _wrap(n) for n in (8, 12, 14, 16)},
    "MID12_50": _from(5, 18, 0.5),
    "OUT07": _from(18, 24),
    "OUT12": _from(13, 24),
    "COSINE": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "REVERSE_COSINE": lambda x: (1 - math.cos(math.pi * x)) / 2,
    **_RISING,
    **{
        name.replace(
            "SMOOTHSTEP", "REVERSE-SMOOTHSTEP" if name == "SMOOTHSTEP" else "R_SMOOTHSTEP"
        ): _reversed(rising)
        for name, rising in _RISING.items()
    },
}


def preset_weights(name: str, family: Family) -> list[float]:
    """Return a preset's weights of a family's blocks: 0 for BASE, as all of them have it."""
    return [0.0, *(PRESETS[name](place / (OTHERS - 1)) for place in family.preset_places)]
