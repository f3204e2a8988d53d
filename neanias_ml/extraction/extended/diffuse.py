"""Extended emission that no pixel shows: the search on the residual map, and what it adds to the islands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.bands import Band
from neanias_ml.extraction.components.model_map import GaussianModel
from neanias_ml.extraction.extended.config import ExtendedConfig
from neanias_ml.extraction.extended.search import find_extended
from neanias_ml.extraction.islands.gather import GatheredIslands
from neanias_ml.extraction.islands.measure import integrated_flux_error, measure_islands
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.noise.background import estimate_without
from neanias_ml.extraction.noise.config import BackgroundConfig
from neanias_ml.extraction.noise.model import MeshNoise, NoiseModel
from neanias_ml.extraction.tables import Extraction, Islands
from neanias_ml.maps import RadioMap, Window

FloatMap = NDArray[np.float32]
IntArray = NDArray[np.int64]

MODEL_ERROR = 0.05
"""A subtracted source leaves at least this part of its brightness as an error."""
KNOWN_SHARE = 0.5
"""A region of which extended islands already hold more than this part adds nothing."""
CHILD_SHARE = 0.5
"""An island with more than this part of its pixels in a region is inside it."""


def diffuse_islands(
    extraction: Extraction,
    source: RadioMap,
    *,
    config: ExtendedConfig,
    background: BackgroundConfig,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Extraction:
    """Add the regions of extended emission in the residual map; islands inside one name it as their parent.

    Parameters
    ----------
    extraction
        Islands and components of the map.
    source
        The map to read from.
    config
        Method and settings of the search.
    background
        Settings of the background, which is estimated again without the regions before they are measured.
    workers
        Threads; the result does not depend on them.
    progress
        Hears of every block searched.
    """
    model = GaussianModel.of(source, extraction.components)
    regions = find_extended(
        lambda window: residual_significance(extraction, source, model, window),
        shape=source.shape,
        beam_fwhm=source.beam_fwhm,
        config=config,
        workers=workers,
        progress=None if progress is None else lambda done, total: progress("extended emission", done, total),
    )
    runs = Runs.from_pixels(regions.offsets, regions.y, regions.x)
    runs = runs.keep(_is_new(runs, extraction.islands))
    if runs.count == 0:
        return extraction
    return _with_regions(extraction, source, model, runs, background=background, workers=workers)


def residual_significance(extraction: Extraction, source: RadioMap, model: GaussianModel, window: Window) -> FloatMap:
    """The map without background and Gaussians, over the noise and the error of the model."""
    band = Band.read(source, extraction.noise, window)
    gaussians = model.render(window)
    noise = np.hypot(band.noise, np.float32(MODEL_ERROR) * gaussians)
    return np.asarray((band.pixels - band.background - gaussians) / noise, dtype=np.float32)


def _is_new(runs: Runs, islands: Islands) -> NDArray[np.bool_]:
    """Regions that extended islands of the map do not hold already."""
    known = islands.table.kind == "extended"
    size, held = runs.region_pixels, np.zeros(runs.count)
    for region, box in enumerate(runs.region_boxes):
        window = Window(int(box[0]), int(box[1]), int(box[2]), int(box[3]))
        labels = islands.labels_in(window)[runs.only(region).paint(window) > 0]
        held[region] = np.count_nonzero(known[labels[labels > 0] - 1])
    return np.asarray(held <= KNOWN_SHARE * size)


def _with_regions(
    extraction: Extraction,
    source: RadioMap,
    model: GaussianModel,
    runs: Runs,
    *,
    background: BackgroundConfig,
    workers: int,
) -> Extraction:
    """Measure the regions, number them after the islands, and make them parents of what they hold."""
    islands, nested = extraction.islands.table, extraction.nested
    boxes = runs.region_boxes
    noise = extraction.noise
    if isinstance(noise, MeshNoise):  # emission that was not known of has raised the background under itself
        known = Runs.together([extraction.islands.runs, runs])
        noise = estimate_without(source, known, config=background, workers=workers)
    gathered, rest = _region_pixels(noise, source, model, runs, boxes)
    rest -= _held_by_moments(extraction, runs, boxes)
    measured = measure_islands(source, gathered, kind="diffuse")
    ids = len(islands) + 1 + np.arange(runs.count)
    parent = _parents(runs, boxes, extraction.islands, ids)
    children = np.bincount(
        np.searchsorted(ids, parent[parent > 0]), weights=islands.total_flux[parent > 0], minlength=runs.count
    )
    table = measured.replace(
        island_id=ids,
        total_flux=rest + children,
        total_flux_err=integrated_flux_error(measured.local_rms, measured.n_pixels, source.beam_area),
        own_flux=rest,
    )
    shifted = nested.table.island_id + runs.count
    shifted_parents = np.where(
        nested.table.parent_id > len(islands), nested.table.parent_id + runs.count, nested.table.parent_id
    )
    nested_id = extraction.components.nested_id
    return dataclasses.replace(
        extraction,
        islands=dataclasses.replace(extraction.islands, table=islands.replace(parent_id=parent)),
        diffuse=Islands(runs, table, source.shape),
        nested=dataclasses.replace(nested, table=nested.table.replace(island_id=shifted, parent_id=shifted_parents)),
        components=extraction.components.replace(nested_id=np.where(nested_id > 0, nested_id + runs.count, 0)),
    )


def _region_pixels(
    noise: NoiseModel, source: RadioMap, model: GaussianModel, runs: Runs, boxes: IntArray
) -> tuple[GatheredIslands, NDArray[np.float64]]:
    """Pixels of the regions, and the flux (Jy) that the Gaussians leave in each."""
    counts, parts, rest = [], [], np.zeros(runs.count)
    for region, box in enumerate(boxes):
        window = Window(int(box[0]), int(box[1]), int(box[2]), int(box[3]))
        band = Band.read(source, noise, window)
        inside = (runs.only(region).paint(window) > 0) & np.isfinite(band.pixels)
        y, x = np.nonzero(inside)
        flux = (band.pixels - band.background)[inside]
        rest[region] = float((flux - model.render(window)[inside]).sum(dtype=np.float64)) / source.beam_area
        counts.append(len(y))
        parts.append((y + window.y0, x + window.x0, flux, band.noise[inside], band.background[inside]))
    y, x, flux, rms, background = (np.concatenate(column) for column in zip(*parts, strict=True))
    pixels = IslandPixels(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        y=y.astype(np.int32),
        x=x.astype(np.int32),
        flux=flux.astype(np.float32),
        noise=rms,
        inside=np.ones(len(y), dtype=bool),
    )
    return GatheredIslands(pixels, background, boxes, np.zeros(runs.count, dtype=bool)), rest


def _held_by_moments(extraction: Extraction, runs: Runs, boxes: IntArray) -> NDArray[np.float64]:
    """(R,) flux (Jy) within each region that rows of islands hold and no Gaussian: what moments say of them."""
    components = extraction.components.select(extraction.components.fit_quality == 0)
    flux = np.bincount(components.island_id, weights=components.total_flux, minlength=len(extraction.islands) + 1)[1:]
    per_pixel, held = flux / extraction.islands.table.n_pixels, np.zeros(runs.count)
    for region, box in enumerate(boxes):
        window = Window(int(box[0]), int(box[1]), int(box[2]), int(box[3]))
        labels = extraction.islands.labels_in(window)[runs.only(region).paint(window) > 0]
        held[region] = per_pixel[labels[labels > 0] - 1].sum()
    return held


def _parents(runs: Runs, boxes: IntArray, islands: Islands, ids: IntArray) -> IntArray:
    """(N,) region that holds most of each island of the map, 0 for none."""
    parent, size = np.zeros(len(islands), np.int64), islands.table.n_pixels
    for region, box in enumerate(boxes):
        window = Window(int(box[0]), int(box[1]), int(box[2]), int(box[3]))
        labels = islands.labels_in(window)[runs.only(region).paint(window) > 0]
        inside = np.bincount(labels, minlength=len(islands) + 1)[1:]
        parent[inside > CHILD_SHARE * size] = ids[region]
    return parent


