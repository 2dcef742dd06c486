"""Values made safe for JSON."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_safe(value: Any) -> Any:
    """Return nested JSON values: numpy's numbers as Python's, NaN and infinities as null, others as text."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [json_safe(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if (
        value is None or value != value or value in (math.inf, -math.inf)
    ):  # NaN and NaT differ from themselves
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def tidy(value: Any) -> Any:
    """Return a parameter rounded to ten decimals: binary arithmetic adds more that mean nothing."""
    return round(value, 10) if isinstance(value, float) else value
