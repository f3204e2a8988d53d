"""False emission: what calibration errors and unfinished deconvolution leave around sources, and what is not sky."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.maps import Window
from neanias_ml.simulation.config import SkyConfig
from neanias_ml.simulation.imaging.calibration import (
    Calibration,
    draw_calibration,
    ghost_errors,
    source_gains,
    visibility_errors,
)
from neanias_ml.simulation.imaging.culprits import Culprit, find_culprits, source_visibilities
from neanias_ml.simulation.imaging.gridding import image_of_visibilities
from neanias_ml.simulation.imaging.interferometer import Coverage
from neanias_ml.simulation.imaging.intruders import aliased_sources, interference
from neanias_ml.simulation.imaging.mosaic import Mosaic, pointing_groups, sensitivity, sidelobe_share
from neanias_ml.simulation.sources.models import Covariance, SourceModel, Stamp, render

FloatMap = NDArray[np.float32]
REACH = 6144
"""Pixels from a source, along either axis, at which the strongest sidelobes end (memory)."""
NEAR_BEAMS = 60.0
"""Sidelobes that are lost in the noise at this distance are followed no further."""
_LOST = 0.03
"""Rms of such sidelobes, in units of the noise."""
_POINTINGS = 3
"""Pointings with calibrations of their own through which the brightest sources are followed."""
_FOLLOWED = 4
"""Number of those sources."""
EXTENDED_RESIDUAL = 20.0
"""Cleaning of extended emission goes on until what is left of its dirty image has this S/N at most."""
_GHOSTS = 8
"""Neighbours of the brightest source that leave ghosts."""
_MISSED = 10.0
"""S/N per antenna of the brightest neighbour that a calibration model lacks: it would show brighter ones."""


@dataclass(frozen=True)
class Artefacts:
    """False emission of a field.

    Attributes
    ----------
    image
        (ny, nx) float32 sum of all artefacts, Jy/beam (without bowls).
    culprit
        (ny, nx) int32 number (1-based, in the list of sources) of the source that contributes most
        at each pixel; 0 where there is none, or interference contributes more.
    """

    image: FloatMap
    culprit: NDArray[np.int32]


@dataclass(frozen=True)
class _Observation:
    """All that turns a source into its artefacts."""

    config: SkyConfig
    coverage: Coverage
    calibration: Calibration
    beam: Covariance
    noise: float
    mosaic: Mosaic | None
    sensitivity: FloatMap | None


def sidelobe_artefacts(
    config: SkyConfig,
    rng: np.random.Generator,
    sources: list[SourceModel],
    *,
    coverage: Coverage,
    beam: Covariance,
    noise: FloatMap,
    mosaic: Mosaic | None = None,
) -> Artefacts:
    """Residual sidelobes and error beams around the bright sources, ghosts, aliases and interference.

    A source of flux S cleaned down to the fraction f leaves ``f S (dirty beam - restoring beam)``; its calibration
    errors leave S times the transform of the weighted errors: rings, spokes and stripes. Extended emission
    does the same with its own visibilities. Sidelobes go on to the map's edge, or `REACH` pixels far, unless they
    are lost in the noise before; in a mosaic they go as far as the pointings that see their source.

    Parameters
    ----------
    config, rng
        Fault amplitudes and randomness.
    sources
        All sources of the field; bright ones are picked here.
    coverage
        Sampled uv plane.
    beam
        Pixel covariance (2, 2) of the restoring beam.
    noise
        Local rms (ny, nx), Jy/beam.
    mosaic
        Pointings of the field, if it has a primary beam.
    """
    shape = noise.shape[0], noise.shape[1]
    observation = _Observation(
        config, coverage, draw_calibration(config.imaging, rng, coverage), beam, float(np.median(noise)), mosaic,
        None if mosaic is None else sensitivity(mosaic, shape),
    )  # fmt: skip
    canvas = _Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))
    culprits = find_culprits(sources, beam=beam, noise=observation.noise)
    for rank, culprit in enumerate(culprits):
        ghosts = _ghosts(observation, culprit, sources) if rank == 0 else None
        own = np.random.default_rng(rng.integers(2**63))
        followed = rank < _FOLLOWED and not culprit.extended
        for stamp in _source_artefacts(observation, own, culprit, ghosts=ghosts, followed=followed, shape=shape):
            canvas.add(stamp, culprit.number)
    for number, alias in aliased_sources(sources, size=config.size, fraction=config.imaging.alias_fraction):
        canvas.add(render(alias, beam=beam).inside(shape), number)
    fringes = interference(config, rng, coverage)
    if fringes is not None:
        canvas.add(Stamp(Window(0, shape[0], 0, shape[1]), fringes), 0)
    return Artefacts(canvas.image, canvas.culprit)


@dataclass(frozen=True)
class _Canvas:
    """The sum of all artefacts so far, the strongest contribution to each pixel, and whose it is."""

    image: FloatMap
    strongest: FloatMap
    culprit: NDArray[np.int32]

    def add(self, stamp: Stamp | None, number: int) -> None:
        if stamp is None:
            return
        window = stamp.window.slices
        self.image[window] += stamp.data
        size = np.abs(stamp.data)
        stronger = size > self.strongest[window]
        np.copyto(self.strongest[window], size, where=stronger)
        np.copyto(self.culprit[window], np.int32(number), where=stronger)


def _source_artefacts(
    observation: _Observation,
    rng: np.random.Generator,
    culprit: Culprit,
    *,
    ghosts: NDArray[np.complex128] | None,
    followed: bool,
    shape: tuple[int, int],
) -> list[Stamp]:
    """Artefacts of one source inside a map, one stamp for each group of pointings with its own calibration."""
    imaging, coverage = observation.config.imaging, observation.coverage
    share = imaging.extended_clean_depth if culprit.extended else imaging.clean_depth
    depth = min(1.0, share * math.exp(rng.normal(0.0, 0.4)))
    if culprit.extended and imaging.extended_clean_depth == 0.0:
        return []
    visibilities = coverage.weight * source_visibilities(culprit, coverage)
    if culprit.extended:
        depth = min(depth, EXTENDED_RESIDUAL * observation.noise / float(np.abs(visibilities).sum()))
    restored = render(culprit.part, beam=observation.beam)
    stamps = []
    for group in _groups(observation, culprit, most=_POINTINGS if followed else 1):
        gains = source_gains(
            imaging, rng, observation.calibration, offset=_pointing_offset(observation, culprit, group)
        )
        errors = visibility_errors(imaging, coverage, gains, observation.calibration)
        values = visibilities * (depth + errors if ghosts is None else depth + errors + ghosts)
        stamp = _response(observation, culprit, values, shape=shape)
        if stamp is None:
            continue
        _subtract(stamp, restored, np.float32(depth))
        if group is not None and observation.mosaic is not None and observation.sensitivity is not None:
            seen = sidelobe_share(
                observation.mosaic, group, x=culprit.x, y=culprit.y, total=observation.sensitivity
            )
            stamp.data[...] *= seen[stamp.window.slices]
        stamps.append(stamp)
    return stamps


def _groups(observation: _Observation, culprit: Culprit, *, most: int) -> list[NDArray[np.intp] | None]:
    """Pointings with a calibration of their own; without a primary beam there is but one."""
    if observation.mosaic is None:
        return [None]
    return list(pointing_groups(observation.mosaic, x=culprit.x, y=culprit.y, most=most))


def _pointing_offset(
    observation: _Observation, culprit: Culprit, group: NDArray[np.intp] | None
) -> NDArray[np.float64]:
    """x and y of a source from its pointing centre (that of the map without pointings), primary beam FWHM."""
    place = np.array([culprit.x, culprit.y], dtype=np.float64)
    if group is None or observation.mosaic is None:
        size = observation.config.size
        return (place - 0.5 * (size - 1)) / (observation.config.imaging.primary_beam * size)
    mosaic = observation.mosaic
    return (place - np.array([mosaic.x[group[0]], mosaic.y[group[0]]])) / mosaic.fwhm


def _response(
    observation: _Observation, culprit: Culprit, values: NDArray[np.complex128], *, shape: tuple[int, int]
) -> Stamp | None:
    """Image of visibilities around a source, inside a map, as far as it stands out of the noise."""
    half = max(256, int(NEAR_BEAMS * observation.config.beam_fwhm))
    stamp, complete = _image_around(observation.coverage, culprit, values, half=half, shape=shape)
    if stamp is None or (not complete and _rim_rms(stamp, culprit, 0.75 * half) > _LOST * observation.noise):
        half = REACH
        stamp, complete = _image_around(observation.coverage, culprit, values, half=half, shape=shape)
    if stamp is not None and not complete:
        rows, columns = stamp.window.slices
        stamp.data[...] *= _taper(np.arange(shape[0])[rows] - culprit.y, half)[:, None]
        stamp.data[...] *= _taper(np.arange(shape[1])[columns] - culprit.x, half)
    return stamp


def _image_around(
    coverage: Coverage, culprit: Culprit, values: NDArray[np.complex128], *, half: int, shape: tuple[int, int]
) -> tuple[Stamp | None, bool]:
    """The image inside a map up to ``half`` pixels from a source, and whether that is all of the map."""
    x0, x1 = max(0, culprit.x - half), min(shape[1], culprit.x + half)
    y0, y1 = max(0, culprit.y - half), min(shape[0], culprit.y + half)
    if x0 >= x1 or y0 >= y1:
        return None, False
    extent = max(x1 - x0, y1 - y0)
    extent += extent % 2
    # the phase centre moves from the source to the middle of the window: a sum over visibilities has no edges
    dx, dy = x0 + extent // 2 - culprit.x, y0 + extent // 2 - culprit.y
    moved = values * np.exp(2j * math.pi * (coverage.kx * dx + coverage.ky * dy))
    image = image_of_visibilities(coverage.kx, coverage.ky, moved, extent=extent)
    stamp = Stamp(Window(y0, y1, x0, x1), image[: y1 - y0, : x1 - x0])
    return stamp, (y1 - y0, x1 - x0) == shape


def _rim_rms(stamp: Stamp, culprit: Culprit, distance: float) -> float:
    """Rms of an image beyond some distance from its source, pixels; infinite if there is nothing."""
    window = stamp.window
    down = np.abs(np.arange(window.y0, window.y1) - culprit.y) > distance
    across = np.abs(np.arange(window.x0, window.x1) - culprit.x) > distance
    parts = [stamp.data[down].ravel(), stamp.data[:, across].ravel()]
    squares, count = sum(float(part @ part) for part in parts), sum(len(part) for part in parts)
    return math.sqrt(squares / count) if count else math.inf


def _taper(offset: NDArray[np.intp], half: int) -> FloatMap:
    """A profile that falls smoothly to 0 at ``half`` pixels, so that no edge shows."""
    place = np.clip((np.abs(offset) / half - 0.6) / 0.4, 0.0, 1.0)
    return (np.cos(0.5 * math.pi * place) ** 2).astype(np.float32)


def _subtract(stamp: Stamp, other: Stamp, factor: np.float32) -> None:
    """Take ``factor`` times another stamp from a stamp, where they overlap."""
    here, there = stamp.window, other.window
    y0, y1 = max(here.y0, there.y0), min(here.y1, there.y1)
    x0, x1 = max(here.x0, there.x0), min(here.x1, there.x1)
    if y0 < y1 and x0 < x1:
        part = other.data[y0 - there.y0 : y1 - there.y0, x0 - there.x0 : x1 - there.x0]
        stamp.data[y0 - here.y0 : y1 - here.y0, x0 - here.x0 : x1 - here.x0] -= factor * part


def _ghosts(
    observation: _Observation, culprit: Culprit, sources: list[SourceModel]
) -> NDArray[np.complex128] | None:
    """Errors (M,) of the brightest source's visibilities from neighbours that its calibration model lacks."""
    fraction = observation.config.imaging.ghost_fraction
    if fraction == 0.0 or culprit.extended:
        return None
    rows = []
    for number, source in enumerate(sources, start=1):
        peaks = source.gaussians.peak_flux(observation.beam)
        if number != culprit.number and len(peaks):
            best = int(peaks.argmax())
            rows.append((float(peaks[best]), source.gaussians.x[best], source.gaussians.y[best]))
    rows = sorted(rows, reverse=True)[:_GHOSTS]
    if not rows:
        return None
    flux, x, y = np.array(rows).T
    flux = np.minimum(fraction * flux, _MISSED * observation.noise * observation.coverage.n_antennas)
    relative = np.minimum(flux / culprit.part.total_flux, 1.0)
    return ghost_errors(observation.coverage, x=x - culprit.x, y=y - culprit.y, flux=relative)
