"""Between visibilities and pixels: convolutional gridding, the image of visibilities, power on the uv cells.

The kernel is the "exponential of semicircle" of Barnett, Magland & af Klinteberg (2019, SIAM J. Sci. Comput. 41,
C479): four cells wide, so that the aliases of a grid a quarter larger than the image stay below a per cent.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

OVERSAMPLING = 1.25
"""A grid has at least this many times the pixels of the image that is cut out of it."""
_WIDTH = 4
_SHAPE = 7.3  # 0.97 pi width (1 - 1 / (2 oversampling)), the best for this width and oversampling


@njit(cache=True, nogil=True)
def _spread(
    kx: NDArray[np.float64], ky: NDArray[np.float64], values: NDArray[np.complex128], grid: NDArray[np.complex64]
) -> None:
    """Add visibilities (M,) and their mirrors to the half plane ``grid`` (n, n // 2 + 1), n even.

    The alternating sign puts the phase centre on pixel (n // 2, n // 2).
    """
    size = grid.shape[0]
    half = size // 2
    weight_x, weight_y = np.empty(_WIDTH), np.empty(_WIDTH)
    for i in range(len(values)):
        u, v = kx[i] * size, ky[i] * size
        left, top = math.ceil(u - 0.5 * _WIDTH), math.ceil(v - 0.5 * _WIDTH)
        for tap in range(_WIDTH):
            x, y = (left + tap - u) * 2.0 / _WIDTH, (top + tap - v) * 2.0 / _WIDTH
            weight_x[tap] = math.exp(_SHAPE * (math.sqrt(max(0.0, 1.0 - x * x)) - 1.0))
            weight_y[tap] = math.exp(_SHAPE * (math.sqrt(max(0.0, 1.0 - y * y)) - 1.0))
        for row in range(_WIDTH):
            for column in range(_WIDTH):
                r, c = top + row, left + column
                value = values[i] * (weight_y[row] * weight_x[column])
                if (r + c) % 2:
                    value = -value
                c %= size
                if c > half:
                    r, c, value = -r, size - c, np.conj(value)
                # the real transform sees only the Hermitian part of the columns that are their own mirror
                share = 1.0 if c in (0, half) else 0.5
                grid[r % size, c] += np.complex64(value * share)


def grid_size(extent: int) -> int:
    """An even, fast transform length for an image of ``extent`` pixels."""
    size = math.ceil(OVERSAMPLING * extent)
    while size % 2 or fft.next_fast_len(size, real=True) != size:
        size += 1
    return size


def image_of_visibilities(
    kx: NDArray[np.float64], ky: NDArray[np.float64], values: NDArray[np.inexact], *, extent: int
) -> NDArray[np.float32]:
    """The sum of Re(value exp(2 pi i (kx x + ky y))) over visibilities on the pixels of a square image.

    Parameters
    ----------
    kx, ky
        (M,) cycles per pixel, absolute values below 0.5.
    values
        (M,) real or complex visibilities; each stands for itself and its mirror.
    extent
        Rows and columns of the image, even.

    Returns
    -------
    NDArray
        (extent, extent) float32 with the phase centre on pixel (extent // 2, extent // 2).
    """
    size = grid_size(extent)
    grid = np.zeros((size, size // 2 + 1), dtype=np.complex64)
    _spread(kx, ky, np.asarray(values, dtype=np.complex128), grid)
    image = fft.irfft2(grid, s=(size, size), workers=1, overwrite_x=True)
    start = (size - extent) // 2
    image = image[start : start + extent, start : start + extent]
    correction = _kernel_correction(extent, size)
    image *= (correction * np.float32(size))[:, None]
    image *= correction * np.float32(size)
    return image


def _kernel_correction(extent: int, size: int) -> NDArray[np.float32]:
    """One over the kernel's transform (extent,) along an axis of the image."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    kernel = weights * np.exp(_SHAPE * (np.sqrt(1.0 - nodes**2) - 1.0)) * (0.5 * _WIDTH)
    place = (np.arange(extent) - extent // 2) / size
    return (1.0 / (np.cos(math.pi * _WIDTH * np.outer(place, nodes)) @ kernel)).astype(np.float32)


def cell_sums(
    kx: NDArray[np.float64], ky: NDArray[np.float64], values: NDArray[np.float64], *, size: int
) -> NDArray[np.float64]:
    """Sum of real values (M,) in the nearest uv cells, and of their mirrors: half plane (size, size // 2 + 1)."""
    row, column = np.rint(ky * size).astype(np.intp), np.rint(kx * size).astype(np.intp)
    row, column = np.where(column < 0, -row, row), np.abs(column)
    half = size // 2 + 1
    counted = np.bincount((row % size) * half + column, values, minlength=size * half)
    sums = np.asarray(counted, dtype=np.float64).reshape(size, half)
    sums[:, 0] += sums[-np.arange(size), 0]
    return sums
