"""Emission that belongs elsewhere: aliases of sources beyond the map, and interference."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.gridding import image_of_visibilities
from neanias_ml.simulation.imaging.interferometer import Coverage
from neanias_ml.simulation.sources.models import SourceModel

_INTERFERED_MINUTES = (0.5, 20.0)


def aliased_sources(
    sources: list[SourceModel], *, size: int, fraction: float
) -> Iterator[tuple[int, SourceModel]]:
    """Faint copies of the sources beyond the edge where the periodic transform of a map folds them.

    A source beyond the right edge appears as far from the left edge, weakened to ``fraction`` by the gridding
    function.

    Parameters
    ----------
    sources
        All sources of the field.
    size
        Rows and columns of the map, pixels.
    fraction
        Brightness of an alias relative to its source.

    Yields
    ------
    tuple
        Number of the source (1-based), and its alias.
    """
    if fraction == 0.0:
        return
    for number, source in enumerate(sources, start=1):
        parts = source.gaussians
        if source.patch is not None or not len(parts):
            continue
        brightest = int(parts.total_flux.argmax())
        if all(-0.5 <= place[brightest] < size - 0.5 for place in (parts.x, parts.y)):
            continue
        x = parts.x - size * math.floor((parts.x[brightest] + 0.5) / size)
        y = parts.y - size * math.floor((parts.y[brightest] + 0.5) / size)
        folded = parts.replace(x=x, y=y, total_flux=fraction * parts.total_flux)
        yield number, SourceModel(source.kind, folded)


def interference(config: SkyConfig, rng: np.random.Generator, coverage: Coverage) -> NDArray[np.float32] | None:
    """Fringe patterns (size, size) of interfered baselines, Jy/beam, each for a while; None without any.

    Terrestrial interference is stopped at no place of the sky, so that its pattern is centred nowhere in the map:
    a baseline that is hit leaves parallel stripes whose strength swells and fades over the field.
    """
    imaging = config.imaging
    number = int(rng.poisson(imaging.rfi_stripes))
    if not number or imaging.rfi_strength == 0.0:
        return None
    values = np.zeros(len(coverage.kx), dtype=np.complex128)
    for _ in range(number):
        values += _interfered(config, rng, coverage)
    extent = config.size + config.size % 2
    image = image_of_visibilities(coverage.kx, coverage.ky, values, extent=extent)
    return image[: config.size, : config.size]


def _interfered(config: SkyConfig, rng: np.random.Generator, coverage: Coverage) -> NDArray[np.complex128]:
    """Visibilities (M,) of one baseline over some minutes, towards a place in the map, of the set strength there."""
    baseline = int(rng.integers(len(coverage.kx)))
    minutes = math.exp(rng.uniform(*np.log(_INTERFERED_MINUTES)))
    hit = (coverage.first == coverage.first[baseline]) & (coverage.second == coverage.second[baseline])
    hit &= np.abs(coverage.hour - coverage.hour[baseline]) <= minutes / 120.0
    x, y = rng.uniform(-0.5, 0.5, 2) * config.size
    phase = 2.0 * math.pi * (rng.uniform() - coverage.kx * x - coverage.ky * y)
    strength = config.imaging.rfi_strength * config.rms * rng.uniform(0.5, 1.0)
    values: NDArray[np.complex128] = np.where(hit, np.exp(1j * phase), 0.0) * (strength / hit.sum())
    return values
