"""A block on a grid of about one bin per beam, on which the methods that look at regions rather than pixels work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.extended.blocks import Block, mean_of_bins
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import artefact_strength
from neanias_ml.extraction.extended.starlet import FWHM_TO_SIGMA, BeamNoise, Starlet

FloatMap = NDArray[np.float32]

REBIN = 2
"""Bins of the block along the side of a coarse one."""


@dataclass(frozen=True)
class CoarseBlock:
    """A block binned once more, where artefacts are strong divided by their strength.

    Attributes
    ----------
    values
        (ny, nx) float32, in sigma of the map; 0 where blank.
    valid
        (ny, nx) bool.
    beam
        Width (FWHM) of the beam in coarse bins.
    noise
        Noise of smoothed coarse bins.
    background_error
        Error of the background in sigma.
    """

    values: FloatMap
    valid: NDArray[np.bool_]
    beam: float
    noise: BeamNoise
    background_error: float

    @classmethod
    def of_block(cls, block: Block, starlet: Starlet, *, config: ExtendedConfig) -> CoarseBlock:
        """Bin a block."""
        flat = block.values / artefact_strength(block, starlet, config=config)
        values = mean_of_bins(flat, factor=REBIN)
        valid = np.isfinite(values)
        return cls(
            values=np.where(valid, values, np.float32(0.0)),
            valid=valid,
            beam=block.grid.beam / REBIN,
            noise=BeamNoise(block.grid.noise.beam_fwhm, block.grid.factor * REBIN),
            background_error=config.background_error,
        )

    @property
    def pixel_noise(self) -> float:
        """Standard deviation of a coarse bin."""
        return self.noise.smoothing(0)

    @property
    def noise_area(self) -> float:
        """Coarse bins per independent value, for wide averages."""
        return 4 * np.pi * (self.beam * FWHM_TO_SIGMA) ** 2 / self.pixel_noise**2

    def error_of_mean(self, count: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Standard error of the mean of this many neighbouring coarse bins."""
        independent = np.maximum(np.asarray(count, dtype=np.float64) / self.noise_area, 1.0)
        return np.sqrt(self.pixel_noise**2 / independent + self.background_error**2)

    def spread(self, image: FloatMap, shape: tuple[int, int]) -> FloatMap:
        """An image of the coarse grid on the block's own bins."""
        return np.repeat(np.repeat(image, REBIN, axis=0), REBIN, axis=1)[: shape[0], : shape[1]]
