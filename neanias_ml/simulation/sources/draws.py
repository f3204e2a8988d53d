"""Small distributions that random configurations and populations share."""

from __future__ import annotations

import math

import numpy as np


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between ``low`` and ``high`` whose logarithm is uniform."""
    return float(10.0 ** rng.uniform(math.log10(low), math.log10(high)))
