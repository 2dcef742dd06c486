"""Values made safe for JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_safe(value: Any) -> Any:
    """Return the value with None for a NaN or an infinity, and text for a path: any JSON reader takes it."""
    if isinstance(value, Mapping):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return json.loads(json.dumps(value))


def tidy(value: Any) -> Any:
    """Return a parameter rounded to ten decimals: binary arithmetic adds more that mean nothing."""
    return round(value, 10) if isinstance(value, float) else value
