"""Shape of the crops around islands and meaning of their bytes, for machines that read graphs and make none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CROP_SIDE = 24
"""Cells of a crop along each side."""
CROP_CHANNELS = 3
"""Signal to noise near by, own island or another, signal to noise far around."""
STEPS_PER_ASINH = 10
"""Steps of a byte for a unit of asinh of the signal to noise: 127 of them reach to 160,000."""
LARGEST_STEP = 127


def no_crops(count: int) -> NDArray[np.int8]:
    """Crops of islands without a map."""
    return np.empty((count, 0, CROP_SIDE, CROP_SIDE), dtype=np.int8)
