"""Background and noise of a map on a mesh counted in beams.

The mesh is anchored to the map's own pixel (0, 0), so that a window of the map sees the values that the whole map
sees. Noise is correlated over the beam, so every third pixel or so says as much as all: the estimate works on such a
thinned map. Cells are estimated, pixels of sources and of diffuse emission found with that estimate are masked, and
both are repeated until the mask settles, so that neither bright nor extended emission swells the noise. Around bright
sources the noise follows the sidelobes (`sidelobe_noise`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.bands import band_windows
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.noise.cells import CellMesh
from neanias_ml.extraction.noise.config import BackgroundConfig
from neanias_ml.extraction.noise.emission import emission_masks
from neanias_ml.extraction.noise.model import MeshNoise, SidelobeNoise
from neanias_ml.extraction.noise.sidelobes import measure_sidelobes
from neanias_ml.extraction.noise.thinned import READ_ROWS, ThinnedMap, without_padding
from neanias_ml.maps import RadioMap, Window

Mask = NDArray[np.bool_]

DIFFUSE_PASSES = 2
"""Iterations that look for diffuse emission; later ones keep what these have found."""
SIDELOBE_PASSES = 4
"""Most repetitions of profiles and mesh: a mesh that holds sidelobes hides a part of them from the profiles."""
RAISED = 1.2
"""Pixels whose noise sidelobes raise by this factor tell the mesh nothing."""


def estimate_noise(radio_map: RadioMap, *, config: BackgroundConfig | None = None, workers: int = 1) -> MeshNoise:
    """Estimate background and noise of a map.

    Parameters
    ----------
    radio_map
        The map; NaN pixels are left out. It is read in bands of rows.
    config
        Mesh and masking settings.
    workers
        Threads; the result does not depend on them.

    Raises
    ------
    InputError
        ``NoNoise`` if no part of the map has a spread from which a noise could be taken.
    """
    config = config or BackgroundConfig()
    thinned = ThinnedMap.of(radio_map)
    return estimate_thinned(thinned, config=config, workers=workers)


def estimate_without(
    radio_map: RadioMap, islands: Runs, *, config: BackgroundConfig, workers: int = 1
) -> MeshNoise:
    """The same with the pixels of known islands left out from the start."""
    thinned = ThinnedMap.of(radio_map)
    known = np.zeros(thinned.pixels.shape, dtype=bool)
    for window in band_windows(radio_map.shape, rows=thinned.step * READ_ROWS):
        rows = slice(window.y0 // thinned.step, -(-window.y1 // thinned.step))
        known[rows] = islands.paint(window)[:: thinned.step, :: thinned.step] > 0
    return estimate_thinned(thinned, config=config, workers=workers, known_sources=known)


def estimate_thinned(
    thinned: ThinnedMap, *, config: BackgroundConfig, workers: int = 1, known_sources: Mask | None = None
) -> MeshNoise:
    """The same from a thinned map; ``known_sources`` (ty, tx) are masked from the start."""
    thinned = replace(thinned, pixels=without_padding(thinned.pixels))
    blank = ~np.isfinite(thinned.pixels)
    masked = blank if known_sources is None else blank | known_sources
    always_masked = masked
    mesh = CellMesh(thinned, config, workers)
    model = mesh.estimate(masked, stride=mesh.first_stride)
    diffuse = np.zeros_like(blank)
    for iteration in range(config.max_iterations):
        previous = masked
        look_for_diffuse = config.mask_diffuse > 0.0 and iteration < DIFFUSE_PASSES
        sources, found = emission_masks(thinned, model, config, look_for_diffuse=look_for_diffuse, workers=workers)
        diffuse = diffuse if found is None else found
        masked = always_masked | sources | diffuse
        model = mesh.estimate(masked)
        if np.count_nonzero(masked != previous) < config.converged_fraction * masked.size:
            break
    if config.max_iterations == 0:
        model = mesh.estimate(masked)
    if config.bright_snr == 0.0:
        return model
    return _with_sidelobes(thinned, model, mesh, masked, config)


def _with_sidelobes(
    thinned: ThinnedMap, model: MeshNoise, mesh: CellMesh, masked: Mask, config: BackgroundConfig
) -> MeshNoise:
    """Take the sidelobes of bright sources out of the mesh and into profiles around them."""
    sidelobes: SidelobeNoise | None = None
    previous: SidelobeNoise | None = None
    for _ in range(SIDELOBE_PASSES):
        sidelobes = measure_sidelobes(
            thinned.significance(model),
            model=model,
            step=thinned.step,
            beam_fwhm=thinned.beam_fwhm,
            beam_area=thinned.beam_area,
            bright_snr=config.bright_snr,
            largest_radius=config.bright_beams * thinned.beam_fwhm,
        )
        if sidelobes is None:
            return model
        if previous is not None and np.array_equal(previous.sources.radius, sidelobes.sources.radius):
            break
        previous = sidelobes
        model = mesh.estimate(masked | _raised_by(sidelobes, thinned))
    return MeshNoise(model.background_mesh, model.noise_mesh, model.cell, model.shape, sidelobes)


def _raised_by(sidelobes: SidelobeNoise, thinned: ThinnedMap) -> Mask:
    """Pixels at which sidelobes raise the noise by a fifth or more."""
    raised = np.zeros(thinned.pixels.shape, dtype=bool)
    step, sources = thinned.step, sidelobes.sources
    for y, x, radius in zip(sources.y, sources.x, sources.radius, strict=True):
        rows, cols = (slice(max(0, int((at - radius) / step)), int((at + radius) / step) + 1) for at in (y, x))
        factor = np.ones(raised[rows, cols].shape, np.float32)
        window = Window(*(step * edge for edge in (rows.start, rows.stop, cols.start, cols.stop)))
        sidelobes.raise_noise(factor, window=window, step=step)
        raised[rows, cols] |= factor > RAISED
    return raised
