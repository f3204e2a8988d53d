"""Checks that all settings share."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from neanias_ml.errors import UsageError


def require_finite(config: Any) -> None:
    """Refuse settings that are not numbers: infinite ones and NaN slip through comparisons.

    Raises
    ------
    UsageError
        Named like the class of the settings.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(type(config).__name__, f"{field.name} must be a number, not {value}; change it")
