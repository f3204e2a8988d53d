"""What speaks for and against each island being a sidelobe or a noise peak, as numbers without units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neanias_ml.columns import Columns
from neanias_ml.extraction.artefacts.far_noise import quantile_around
from neanias_ml.extraction.artefacts.geometry import (
    SURROUNDINGS,
    company_on_rays_and_rings,
    count_around,
    echo_positions,
    find_culprits,
)
from neanias_ml.extraction.artefacts.samples import Sites
from neanias_ml.extraction.artefacts.summaries import SAMPLE_COLUMNS, sample_statistics
from neanias_ml.extraction.tables import IslandTable
from neanias_ml.maps import RadioMap, Window

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NODE_BEAMS = 8.0
"""Spacing in beam widths at which the noise model is looked at for the noise away from bright sources."""
FAR_NODES = 11
"""Side in nodes of the neighbourhood whose lower quartile is that noise."""
_LEAST_SIZE = 0.1


class NoiseLike(Protocol):
    """Anything that tells background and noise of a window, Jy/beam."""

    def evaluate(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Background and noise in every pixel of a window."""
        ...


@dataclass(frozen=True)
class ArtefactFeatures(Columns):
    """One row per island. The culprit is the bright source whose sidelobe the island would most likely be."""

    culprit_id: IntArray
    """``island_id`` of the culprit; 0 without one"""
    culprit_distance: FloatArray
    """beam widths; NaN without culprit"""
    culprit_ratio: FloatArray
    """peak flux over the culprit's; NaN without culprit"""
    radial_elongation: FloatArray
    """elongation times cos 2 (angle to the culprit): positive along a ray, negative along a ring; 0 without culprit"""
    ray_excess: FloatArray
    """ln of weak islands found on the ray through the culprit over those expected by chance"""
    ring_excess: FloatArray
    """the same on the ring around the culprit"""
    mirror_ratio: FloatArray
    """map at the position mirrored through the culprit, over the peak; NaN where that is not in the map"""
    echo_evidence: FloatArray
    """log likelihood ratio of the map where twins of a sidelobe would be: there against not there; 0 if unknown"""
    noise_excess: FloatArray
    """ln of the local noise over the noise away from bright sources"""
    ring_snr: FloatArray
    """peak flux over the spread of the map on the ring; over the noise away from bright sources without culprit"""
    around_rms: FloatArray
    """rms of the negative values within 5 beam widths, in units of the noise away from bright sources"""
    deepest_negative: FloatArray
    """depth of the lowest value from 3/4 to 5 beam widths off the peak, in units of the peak flux"""
    hole_depth: FloatArray
    """the same to 3 beam widths: the troughs beside a crest of a sidelobe"""
    near_hole: FloatArray
    """the same to 1.5 beam widths"""
    opposite_holes: FloatArray
    """depth to which the map falls on both sides at once, at equal offsets of at most 3 beam widths, over the peak"""
    plateau: FloatArray
    """mean of the values from 1.25 to 3 beam widths, clipped at 10 sigma, in units of the peak flux"""
    negative_share: FloatArray
    """share of the negative excursions beyond 2.5 sigma there among both signs"""
    skewness: FloatArray
    """of the values there, clipped at 10 sigma"""
    negatives_around: FloatArray
    """ln(1 + negative islands within 8 beam widths)"""
    islands_around: FloatArray
    """ln of islands found within 8 beam widths over those expected by chance"""
    snr: FloatArray
    """largest signal to noise, by the local noise"""
    far_snr: FloatArray
    """peak flux over the noise away from bright sources"""
    size_ratio: FloatArray
    """geometric-mean size over that of a point source of equal signal to noise"""
    area_ratio: FloatArray
    """area over that of a point source of equal signal to noise"""


def artefact_features(
    radio_map: RadioMap,
    *,
    islands: IslandTable,
    negatives: IslandTable,
    noise: NoiseLike,
    merge_threshold: float,
    workers: int = 1,
) -> ArtefactFeatures:
    """Measure the features of N islands; see `neanias_ml.extraction.artefacts.evidence.artefact_evidence`."""
    beam = radio_map.beam_fwhm
    x, y = islands.peak_x.astype(np.float64), islands.peak_y.astype(np.float64)
    peak = islands.peak_flux.astype(np.float64)
    nodes = _NoiseNodes.of(radio_map, noise)
    far_noise = nodes.at(nodes.far_noise, x, y)
    far_snr = peak / far_noise
    culprit = find_culprits(x / beam, y / beam, peak, far_snr)
    has_culprit = culprit >= 0
    sites = _sites(x, y, beam, culprit, echo_positions(x / beam, y / beam, peak, far_snr, culprit))
    background = _backgrounds(nodes, sites, islands.local_background)
    sampled = sample_statistics(
        radio_map,
        sites,
        size=islands.major.astype(np.float64),
        background=background,
        far_noise=far_noise,
        workers=workers,
    )
    found = dict(zip(SAMPLE_COLUMNS, sampled.T, strict=True))
    density = len(islands) / max(math.prod(radio_map.shape) / beam**2, 1.0)
    company = company_on_rays_and_rings(x / beam, y / beam, peak, culprit, density)
    around = count_around(x / beam, y / beam, x / beam, y / beam) - 1.0
    below = count_around(x / beam, y / beam, negatives.peak_x / beam, negatives.peak_y / beam)
    size_ratio, area_ratio = _against_point_source(islands, beam=beam, merge_threshold=merge_threshold)
    return ArtefactFeatures(
        culprit_id=np.where(has_culprit, islands.island_id[culprit], 0),
        culprit_distance=np.hypot(sites.x - sites.culprit_x, sites.y - sites.culprit_y) / beam,
        culprit_ratio=np.where(has_culprit, peak / peak[culprit], np.nan),
        radial_elongation=_radial_elongation(islands, sites),
        ray_excess=company[:, 0],
        ring_excess=company[:, 1],
        mirror_ratio=found["mirror_ratio"],
        echo_evidence=found["echo_evidence"],
        noise_excess=np.log(islands.local_rms / far_noise),
        ring_snr=far_snr / found["ring_rms"],
        around_rms=found["around_rms"],
        deepest_negative=found["deepest"] / far_snr,
        hole_depth=found["hole"] / far_snr,
        near_hole=found["near_hole"] / far_snr,
        opposite_holes=found["opposite_holes"] / far_snr,
        plateau=found["plateau"] / far_snr,
        negative_share=found["negative_share"],
        skewness=found["skewness"],
        negatives_around=np.log1p(below),
        islands_around=np.log((1.0 + around) / (1.0 + density * math.pi * SURROUNDINGS**2)),
        snr=islands.snr.astype(np.float64),
        far_snr=far_snr,
        size_ratio=size_ratio,
        area_ratio=area_ratio,
    )


@dataclass(frozen=True)
class _NoiseNodes:
    """Background and noise away from bright sources on a coarse grid of nodes (my, mx)."""

    background: FloatArray
    far_noise: FloatArray
    step: int

    @classmethod
    def of(cls, radio_map: RadioMap, noise: NoiseLike) -> _NoiseNodes:
        step = max(1, round(NODE_BEAMS * radio_map.beam_fwhm))
        ny, nx = radio_map.shape
        rows = [noise.evaluate(Window(row, row + 1, 0, nx)) for row in range(min(step // 2, ny - 1), ny, step)]
        columns = slice(min(step // 2, nx - 1), None, step)
        background, level = (np.stack([row[kind][0, columns] for row in rows]).astype(np.float64) for kind in (0, 1))
        far_noise = quantile_around(level, half=FAR_NODES // 2, share=0.25)
        return cls(background, far_noise, step)

    def at(self, grid: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Bilinear values at positions in pixels, constant beyond the outermost nodes; NaN at NaN."""
        known = np.isfinite(y) & np.isfinite(x)
        row, col = (np.clip(np.where(known, place, 0.0) / self.step - 0.5, 0.0, None) for place in (y, x))
        row, col = np.minimum(row, grid.shape[0] - 1.0), np.minimum(col, grid.shape[1] - 1.0)
        j, i = row.astype(np.int64), col.astype(np.int64)
        down, right = np.minimum(j + 1, grid.shape[0] - 1), np.minimum(i + 1, grid.shape[1] - 1)
        low = grid[j, i] + (grid[j, right] - grid[j, i]) * (col - i)
        high = grid[down, i] + (grid[down, right] - grid[down, i]) * (col - i)
        return np.where(known, low + (high - low) * (row - j), np.nan)


def _sites(
    x: FloatArray, y: FloatArray, beam: float, culprit: IntArray, echoes: tuple[FloatArray, FloatArray, FloatArray]
) -> Sites:
    """Peaks, culprits and twins (given in beam widths) in pixels."""
    has_culprit = culprit >= 0
    return Sites(
        x=x,
        y=y,
        culprit_x=np.where(has_culprit, x[culprit], np.nan),
        culprit_y=np.where(has_culprit, y[culprit], np.nan),
        echo_x=echoes[0] * beam,
        echo_y=echoes[1] * beam,
        echo_scale=echoes[2],
    )


def _backgrounds(nodes: _NoiseNodes, sites: Sites, local: FloatArray) -> FloatArray:
    """(N, 9) background at the island, its culprit and its twins, Jy/beam; 0 where there are none."""
    culprit = nodes.at(nodes.background, sites.culprit_x, sites.culprit_y)
    echoes = nodes.at(nodes.background, sites.echo_x, sites.echo_y)
    return np.nan_to_num(np.concatenate([local[:, None], culprit[:, None], echoes], axis=1))


def _radial_elongation(islands: IslandTable, sites: Sites) -> FloatArray:
    elongation = 1.0 - islands.minor / np.maximum(islands.major, _LEAST_SIZE)
    radius = np.arctan2(sites.y - sites.culprit_y, sites.x - sites.culprit_x)
    signed = elongation * np.cos(2.0 * (np.radians(islands.pixel_angle) - radius))
    return np.nan_to_num(signed)


def _against_point_source(
    islands: IslandTable, *, beam: float, merge_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Size and area over those of a point source, which shows only down to the merge threshold.

    A Gaussian of peak S cut off at T = u S covers ln(1 / u) beam areas, and its second moments are those of the beam
    times 1 + u ln(u) / (1 - u).
    """
    cut = np.clip(merge_threshold / islands.snr, 1e-6, 0.9)
    shrunk = np.sqrt(1.0 + cut * np.log(cut) / (1.0 - cut))
    size = np.sqrt(np.maximum(islands.major * islands.minor, _LEAST_SIZE**2)) / beam
    return size / shrunk, islands.n_beams / np.log(1.0 / cut)


