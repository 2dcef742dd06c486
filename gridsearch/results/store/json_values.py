"""Values as JSON keeps them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_safe(value: Any) -> Any:
    """A NaN or an infinity as None, and a path as text: what every JSON reader understands."""
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
    """A parameter without the dust of binary arithmetic."""
    return round(value, 10) if isinstance(value, float) else value
