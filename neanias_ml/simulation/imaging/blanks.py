"""Pixels without data: cut edges, what no pointing reaches, and holes around very bright sources."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.mosaic import Mosaic, sensitivity

_HOLE_BEAMS = (3.0, 15.0)
"""Radii of holes, beams."""
_LARGEST_HOLE = 0.125
"""Largest radius of a hole, fraction of the map's size: one alone must not blank out a small map."""


def blank_mask(
    config: SkyConfig,
    rng: np.random.Generator,
    *,
    mosaic: Mosaic | None = None,
    model: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Pixels (size, size) without data.

    Parameters
    ----------
    config, rng
        Depth of the cut edge, number of holes, and randomness.
    mosaic
        Pointings; where none of them is used there are no data.
    model
        Noise-free model (size, size), Jy/beam, whose brightest sources may be blanked out.
    """
    mask = _cut_edge(config, rng)
    if mosaic is not None:
        mask |= sensitivity(mosaic, (config.size, config.size)) == 0.0
    if model is not None:
        _cut_holes(mask, config, rng, model)
    return mask


def _cut_edge(config: SkyConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A strip along one side, as of a cut-out across a survey's border, or a slanted cut with a wavy rim."""
    size, depth = config.size, config.imaging.blank_edge
    mask = np.zeros((size, size), dtype=bool)
    straight, angle = rng.uniform() < 0.4, rng.uniform(0.0, 2.0 * math.pi)
    if depth == 0.0:
        return mask
    axis = np.arange(size) - 0.5 * (size - 1)
    if straight:
        mask[: round(depth * size)] = True
        return np.rot90(mask, int(2.0 * angle / math.pi)).copy()
    along = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    wave = 0.02 * size * np.sin(axis / size * 9.0 + angle)[:, None]
    farthest = 0.5 * (size - 1) * (abs(math.cos(angle)) + abs(math.sin(angle)))
    return np.asarray(along + wave > farthest - depth * size)


def _cut_holes(
    mask: NDArray[np.bool_], config: SkyConfig, rng: np.random.Generator, model: NDArray[np.float32]
) -> None:
    """Round or square holes around the brightest pixels, each found outside the holes before."""
    left = np.where(mask, 0.0, model)
    for _ in range(rng.poisson(config.imaging.blank_holes)):
        y, x = np.unravel_index(int(left.argmax()), left.shape)
        if left[y, x] <= 0.0:
            return
        radius = min(config.beam_fwhm * math.exp(rng.uniform(*np.log(_HOLE_BEAMS))), _LARGEST_HOLE * config.size)
        rows = slice(max(0, int(y - radius)), int(y + radius) + 2)
        columns = slice(max(0, int(x - radius)), int(x + radius) + 2)
        down = np.arange(config.size)[rows][:, None] - y
        across = np.arange(config.size)[columns] - x
        if rng.uniform() < 0.7:
            hole = np.hypot(down, across) <= radius
        else:
            hole = np.maximum(np.abs(down), np.abs(across)) <= radius
        mask[rows, columns] |= hole
        left[rows, columns][hole] = 0.0
