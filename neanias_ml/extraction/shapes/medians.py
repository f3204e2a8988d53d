"""Medians of a few hundred values, the many small cases of shapes, samples and rings."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def median_of(values: NDArray[Any]) -> float:
    """Median of at least one value, all known, which are reordered."""
    middle = values.size >> 1
    median = _value_of_rank(values, middle)
    if values.size & 1 == 0:
        below = values[0]
        for place in range(1, middle):
            below = max(below, values[place])
        median = 0.5 * (below + median)
    return median


@njit(cache=True, nogil=True)
def _value_of_rank(values: NDArray[Any], rank: int) -> float:
    """The value of a rank; those before it in the array are at most as large.

    Quickselect whose partition (Lomuto's) swaps always and only moves its bound where a value is less: half of the
    comparisons of a median are guessed wrong by a processor, which costs more than to swap in vain.
    """
    low, high = 0, values.size
    while high - low > 1:
        one, two, three = values[low], values[(low + high) >> 1], values[high - 1]
        pivot = max(min(one, two), min(max(one, two), three))
        bound = low
        for place in range(low, high):
            value = values[place]
            values[place] = values[bound]
            values[bound] = value
            bound += value < pivot
        if rank < bound:
            high = bound
        elif bound > low:
            low = bound
        else:  # the pivot is the least of all: set all its equals apart
            for place in range(low, high):
                value = values[place]
                values[place] = values[bound]
                values[bound] = value
                bound += value <= pivot
            if rank < bound:
                break
            low = bound
    return float(values[rank])
