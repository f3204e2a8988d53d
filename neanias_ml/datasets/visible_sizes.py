"""How large simulated objects look in a map: of the part that stands out of the noise, without what the beam adds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float64]
FloatMap = NDArray[np.float32]
IntMap = NDArray[np.int32]

_LEAST_CUT, _MOST_CUT = 1e-6, 0.9


def visible_sizes(
    labels: IntMap, model: FloatMap, *, count: int, beam_covariance: FloatArray, cut: FloatMap
) -> FloatArray:
    """Intrinsic size (count,) in beam widths, along the longest axis, of what can be seen of each object; 0 for points.

    Second moments of the noise-free map within the mask of an object are compared with those of a point source of
    the same peak that is cut off at the same height: a Gaussian of peak 1 cut off at u has moments smaller than the
    whole by 1 + u ln(u) / (1 - u). What they exceed them by is not the beam's.

    Parameters
    ----------
    labels
        (ny, nx) object 1 ... count of each pixel.
    model
        (ny, nx) noise-free map, convolved with the beam, Jy/beam.
    beam_covariance
        (2, 2) of the beam, pixels.
    cut
        (ny, nx) height at which the masks are cut off, Jy/beam.
    """
    if count == 0:
        return np.zeros(0)
    index = np.arange(1, count + 1)
    y, x = np.indices(labels.shape, dtype=np.float32)
    weight = np.where(model > cut, model, np.float32(0.0))
    total = np.maximum(_sums(weight, labels, index), 1e-30)
    mean_x, mean_y = _sums(weight * x, labels, index) / total, _sums(weight * y, labels, index) / total
    # from the object's own centre: differences of large squares would lose the digits that matter
    dx, dy = x - np.append(0.0, mean_x)[np.maximum(labels, 0)], y - np.append(0.0, mean_y)[np.maximum(labels, 0)]
    moments = [_sums(weight * one * other, labels, index) / total for one, other in ((dx, dx), (dx, dy), (dy, dy))]
    covariance = np.stack([moments[0], moments[1], moments[1], moments[2]], axis=1).reshape(-1, 2, 2)
    longest = np.linalg.eigvals(covariance @ np.linalg.inv(beam_covariance)).real.max(axis=1)
    height = np.asarray(ndimage.maximum(weight / cut, labels, index), dtype=np.float64)
    u = np.clip(1.0 / np.maximum(height, 1.0), _LEAST_CUT, _MOST_CUT)
    shrunk = 1.0 + u * np.log(u) / (1.0 - u)
    return np.asarray(np.sqrt(np.maximum(longest / shrunk - 1.0, 0.0)), dtype=np.float64)


def _sums(values: NDArray[np.floating], labels: IntMap, index: NDArray[np.int64]) -> FloatArray:
    return np.asarray(ndimage.sum_labels(values, labels, index), dtype=np.float64)
