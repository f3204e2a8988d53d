"""Filters matched to thin structures: straight pieces of filaments and rings.

Averages along a curve gather what no round smoothing does: the emission of a thin faint structure without the
empty sky beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from neanias_ml.extraction.extended.coarse import CoarseBlock
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.evidence import local_noise, on_bins
from neanias_ml.extraction.extended.starlet import FWHM_TO_SIGMA

FloatMap = NDArray[np.float32]

ORIENTATIONS = 12
LINE_BEAMS = 10.0
"""Length of a straight piece; shells of a few beams' radius bend out of longer ones."""
EVEN = 0.7
"""A half fainter than this share of the whole piece speaks against it."""
CLIP_SIGMA = 2.5
"""Bright bins are cut here (in the noise of a coarse bin) so that no single blob looks like a line or ring."""
NOISE_SCALE = 3
"""Dyadic scale over whose neighbourhood the negative side of a filter's answers is measured."""


def largest_filter(beam: float, *, config: ExtendedConfig) -> int:
    """Side in coarse bins of the largest filter: the widest ring with its profile, or half a line."""
    return int(np.ceil(max(1.4 * config.shell_max_beams, LINE_BEAMS) * beam)) + 9


@dataclass(frozen=True)
class FilterBank:
    """The transform of a coarse block, ready for filters.

    Attributes
    ----------
    transform
        Real 2-D FFT of the padded values.
    padded
        Shape of the padding.
    coarse
        The block.
    """

    transform: NDArray[np.complex64]
    padded: tuple[int, int]
    coarse: CoarseBlock

    @classmethod
    def of_block(cls, coarse: CoarseBlock, *, largest: int) -> FilterBank:
        """Transform a block for filters of at most ``largest`` bins on a side."""
        limit = CLIP_SIGMA * coarse.pixel_noise
        clipped = np.clip(coarse.values, -limit, limit)
        padded = tuple(int(fft.next_fast_len(length + largest, real=True)) for length in clipped.shape)
        return cls(fft.rfft2(clipped, s=padded), (padded[0], padded[1]), coarse)

    def answer(self, template: NDArray[np.float64]) -> FloatMap:
        """(ny, nx) float32 weighted mean around every coarse bin; the template is symmetric, odd and sums to 1."""
        size = template.shape[0]
        product = self.transform * fft.rfft2(template.astype(np.float32), s=self.padded)
        ny, nx = self.coarse.values.shape
        half = size // 2
        return fft.irfft2(product, s=self.padded)[half : half + ny, half : half + nx]

    def noise(self, template: NDArray[np.float64]) -> float:
        """Standard deviation of a filter's answer, error of the background included."""
        return float(np.hypot(self.covariance(template, (0, 0)) ** 0.5, self.coarse.background_error))

    def covariance(self, template: NDArray[np.float64], shift: tuple[int, int]) -> float:
        """Covariance of a filter's answers at two bins ``shift`` apart."""
        size = template.shape[0]
        padded = np.pad(template, size // 2)
        axis = self.coarse.noise.correlation(size // 2)
        spread = signal.fftconvolve(padded, np.outer(axis, axis), mode="same")
        return float((np.roll(padded, shift, axis=(0, 1)) * spread).sum())


def line_significance(bank: FilterBank) -> FloatMap:
    """Strongest significance of a straight piece through each coarse bin, over all directions, float32.

    A piece counts only as far as both of its halves agree; beside a bright region one half is empty.
    """
    coarse = bank.coarse
    strongest = np.full(coarse.values.shape, -np.inf, dtype=np.float32)
    for template, step in _half_lines(coarse.beam):
        half = bank.answer(template)
        variance = bank.covariance(template, (0, 0))
        common = bank.covariance(template, (2 * step[0], 2 * step[1]))
        ahead, behind = _shifted(half, step), _shifted(half, (-step[0], -step[1]))
        mean = np.float32(0.5) * (ahead + behind)
        clean = float(np.sqrt((variance + common) / 2 + coarse.background_error**2))
        noise = _noise_map(mean, coarse, clean)
        weaker = np.minimum(ahead, behind)
        missing = np.maximum(np.float32(EVEN) * mean - weaker, 0) / np.float32(np.sqrt(variance))
        np.maximum(strongest, mean / noise - 2 * missing, out=strongest)
    return np.where(coarse.valid, strongest, np.float32(np.nan))


def _noise_map(answer: FloatMap, coarse: CoarseBlock, clean: float) -> FloatMap:
    """Noise of a filter's answer at every coarse bin, raised where its negative side is strong."""
    noise = local_noise(np.ascontiguousarray(answer), noise=clean, scale=NOISE_SCALE, beam=coarse.beam)
    return on_bins(noise, answer.shape)


def _half_lines(beam: float) -> Iterator[tuple[NDArray[np.float64], tuple[int, int]]]:
    """Half a piece in every direction, and the shift from the piece's middle to that of its half."""
    length = LINE_BEAMS * beam / 2
    half = int(np.ceil(length / 2 + 2 * beam))
    rows, cols = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
        along = cols * np.cos(angle) + rows * np.sin(angle)
        across = -cols * np.sin(angle) + rows * np.cos(angle)
        ends = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
        template = ends * np.exp(-(across**2) / (2 * (1.2 * beam * FWHM_TO_SIGMA) ** 2))
        step = round(length / 2 * np.sin(angle)), round(length / 2 * np.cos(angle))
        yield template / template.sum(), step


def _shifted(image: FloatMap, step: tuple[int, int]) -> FloatMap:
    """The value ``step`` bins after each bin, 0 beyond the edge."""
    out = np.zeros_like(image)
    (ny, nx), (dy, dx) = image.shape, step
    if abs(dy) >= ny or abs(dx) >= nx:
        return out
    out[max(0, -dy) : ny - max(0, dy), max(0, -dx) : nx - max(0, dx)] = image[
        max(0, dy) : ny + min(0, dy), max(0, dx) : nx + min(0, dx)
    ]
    return out
