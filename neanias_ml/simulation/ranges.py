"""Range checks that all parts of a field's configuration share."""

from __future__ import annotations

import math

from neanias_ml.errors import UsageError

Range = tuple[str, float, float]
"""Name of an option with its smallest and largest value."""


def require_ranges(config: object, ranges: tuple[Range, ...]) -> None:
    """Refuse numbers that are not finite or lie outside the range of their option.

    Raises
    ------
    UsageError
        ``BadSkyConfig``, which names the option, its range and the value.
    """
    for name, low, high in ranges:
        value = getattr(config, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError("BadSkyConfig", f"simulation: {name} must lie in [{low:g}, {high:g}], not {value}")
