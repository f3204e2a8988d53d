"""The table of nested islands, and what their mothers hold without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.decompose import Decomposition
from neanias_ml.extraction.islands.gather import GatheredIslands
from neanias_ml.extraction.islands.measure import integrated_flux_error, measure_islands
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.nested.pedestal import local_pedestal
from neanias_ml.extraction.tables import Islands, IslandTable
from neanias_ml.maps import RadioMap

FloatArray = NDArray[np.float64]


def nested_islands(
    radio_map: RadioMap, islands: IslandTable, pixels: IslandPixels, parts: Decomposition
) -> tuple[Islands, FloatArray]:
    """Measure nested islands above the emission they lie on.

    Parameters
    ----------
    islands
        The islands of the map.
    pixels
        Their pixels, with a margin.
    parts
        What was found inside them.

    Returns
    -------
    tuple
        The nested islands, numbered after those of the map; (N,) flux of each island without its children, Jy.
    """
    nested = parts.nested
    if len(nested) == 0:
        return Islands.none(radio_map.shape), islands.total_flux.copy()
    runs = Runs.from_pixels(nested.pixels.offsets, nested.pixels.y, nested.pixels.x)
    pedestal = local_pedestal(pixels.without_margin(), nested, beam_covariance=radio_map.beam_covariance)
    owner = nested.pixels.island
    under = (
        pedestal.value[owner]
        + pedestal.slope[owner, 0] * (nested.pixels.y - pedestal.y[owner])
        + pedestal.slope[owner, 1] * (nested.pixels.x - pedestal.x[owner])
    ).astype(np.float32)
    above = IslandPixels(
        nested.pixels.offsets,
        nested.pixels.y,
        nested.pixels.x,
        nested.pixels.flux - under,
        nested.pixels.noise,
        nested.pixels.inside,
    )
    flags = islands.flags[nested.mother_row]
    measured = measure_islands(
        radio_map,
        GatheredIslands(above, under, runs.region_boxes, np.zeros(len(nested), dtype=bool)),
        kind="nested",
    )
    ids = len(islands) + 1 + np.arange(len(nested))
    mother_id = islands.island_id[nested.mother_row]
    counts = np.bincount(parts.nested_index[parts.nested_index >= 0], minlength=len(nested))
    fitted = np.bincount(
        parts.nested_index[parts.nested_index >= 0],
        weights=parts.fitted.total_flux(radio_map.beam_area)[parts.nested_index >= 0],
        minlength=len(nested),
    )
    total = np.where(counts > 0, fitted, measured.total_flux)
    fitted_error = np.sqrt(
        np.bincount(
            parts.nested_index[parts.nested_index >= 0],
            weights=parts.fitted.total_flux_error(radio_map.beam_area)[parts.nested_index >= 0] ** 2,
            minlength=len(nested),
        )
    )
    summed_error = np.hypot(
        integrated_flux_error(measured.local_rms, measured.n_pixels, radio_map.beam_area),
        np.nan_to_num(pedestal.error) * measured.n_pixels / radio_map.beam_area,
    )
    parent_row = np.where(nested.parent >= 0, nested.parent, 0)
    own = total.copy()
    np.subtract.at(own, nested.parent[nested.parent >= 0], total[nested.parent >= 0])
    mothers_own = islands.total_flux.copy()
    top = nested.parent < 0
    np.subtract.at(mothers_own, nested.mother_row[top], total[top])
    table = measured.replace(
        island_id=ids,
        parent_id=np.where(nested.parent >= 0, ids[parent_row], mother_id),
        level=nested.level.astype(np.int64),
        total_flux=total,
        total_flux_err=np.where(counts > 0, fitted_error, summed_error),
        own_flux=own,
        n_components=counts,
        flags=measured.flags | flags,
    )
    return Islands(runs, table, radio_map.shape), mothers_own
