"""Components of islands: Gaussians where they describe the island, else the sources inside it and what remains.

Islands of moderate size are fitted as they are. Very large ones, and extended ones that Gaussians do not describe, are
taken apart by scale: the nested islands without children of their own are fitted on a plane of the emission underneath,
and the rest of the island is one component with the island's moments and the remaining flux, so that the fluxes of the
components of every island add up to the island's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.components.fit_islands import fit_islands
from neanias_ml.extraction.components.fit_model import starting_parameters
from neanias_ml.extraction.components.fit_results import FittedComponents
from neanias_ml.extraction.components.point_shape import point_covariance
from neanias_ml.extraction.islands.gather import disc_half_widths, grown_regions
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.nested.find import NestedConfig, NestedIslands, find_nested
from neanias_ml.extraction.tables import IslandTable, SourceFlag
from neanias_ml.maps import FWHM_PER_SIGMA, RadioMap, Window, covariances_of_ellipses

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEAF_MARGIN_FWHM = 0.75
"""Radius in beam widths around a nested island whose pixels tell the plane underneath it."""
MOST_PROMISED = 1.5
"""Largest flux of a nested island's components over that of the pixels around it, pedestal included."""
FLUX_TOLERANCE = 0.1
"""Components describe an island only if they reproduce its flux to this part of it (and to three errors)."""


@dataclass(frozen=True)
class Decomposition:
    """Components of all islands and the islands nested in them.

    Attributes
    ----------
    fitted
        Components by row of the island table.
    nested
        Nested islands; ``mother_row`` counts the rows of the island table.
    nested_index
        (K,) nested island that each component was fitted in, -1 for none.
    """

    fitted: FittedComponents
    nested: NestedIslands
    nested_index: IntArray


def decompose(
    radio_map: RadioMap,
    pixels: IslandPixels,
    table: IslandTable,
    *,
    fit: FitConfig,
    seed: float,
    nested: NestedConfig,
    search_nested: bool = True,
    workers: int = 1,
) -> Decomposition:
    """Find the components of all islands.

    Parameters
    ----------
    pixels
        Of the islands of the table, with a margin of half a beam.
    table
        Their measures.
    fit, nested
        Settings of the fits and of the search inside islands.
    seed
        Seed threshold of the islands: least signal to noise of a peak that starts a component.
    search_nested
        Whether to look inside islands at all.
    workers
        Threads; the result does not depend on them.
    """
    beam = radio_map.beam_covariance
    mothers = pixels.without_margin() if search_nested else pixels.select(np.empty(0, np.int64))
    inside = find_nested(mothers, beam_covariance=beam, config=nested, workers=workers)
    direct = np.flatnonzero(table.n_beams <= fit.max_fit_beams)
    point = point_covariance(pixels, table, beam_covariance=beam, config=fit, workers=workers)
    whole = fit_islands(
        pixels.select(direct), beam_covariance=beam, point_covariance=point, config=fit, seed=seed, workers=workers
    ).on_rows(direct)
    described = np.zeros(len(table), dtype=bool)
    described[direct] = whole.islands.acceptable
    described &= _hold_the_flux(whole, table, radio_map.beam_area)
    described[direct] |= table.kind[direct] == "compact"
    too_large = table.n_beams > fit.max_fit_beams
    taken_apart = np.flatnonzero(~described & ((table.n_beams >= nested.min_beams) | too_large))
    leaves = _leaves(inside, taken_apart)
    around = _with_surroundings(inside.pixels.select(leaves), pixels, inside.mother_row[leaves], radio_map)
    within = fit_islands(
        around,
        beam_covariance=beam,
        point_covariance=point,
        config=fit,
        seed=seed,
        with_offset=np.ones(len(leaves), dtype=bool),
        workers=workers,
    )
    within = within.select((within.quality > 0) & _can_be_held(within, around, radio_map.beam_area))
    leaf_of = leaves[within.island_row]
    within = within.on_rows(inside.mother_row[leaves]).flagged(SourceFlag.ON_EXTENDED)
    rest = _remainders(radio_map, table, taken_apart, within)
    whole = whole.select(~np.isin(whole.island_row, taken_apart))
    fitted = FittedComponents.joined([whole, within, rest])
    index = np.concatenate([np.full(len(whole), -1), leaf_of, np.full(len(rest), -1)]).astype(np.int64)
    order = np.lexsort((-fitted.amplitude, fitted.quality == 0, fitted.island_row))
    return Decomposition(fitted.select(order), inside, index[order])


def _hold_the_flux(fitted: FittedComponents, table: IslandTable, beam_area: float) -> NDArray[np.bool_]:
    """Islands whose components add up to the flux of their pixels, within errors and some per cent.

    A Gaussian may follow the pixels of a flat disk and promise far more flux beyond them.
    """
    flux = np.bincount(fitted.island_row, weights=fitted.total_flux(beam_area), minlength=len(table))
    allowed = np.hypot(FLUX_TOLERANCE * table.total_flux, 3.0 * table.total_flux_err)
    return np.asarray(np.abs(flux - table.total_flux) <= allowed)


def _can_be_held(within: FittedComponents, leaves: IslandPixels, beam_area: float) -> NDArray[np.bool_]:
    """Components of nested islands that promise not much more flux than the pixels in and around the island hold.

    On structured emission a free Gaussian may spread over the mother and take its flux.
    """
    held = np.zeros(len(leaves))
    np.add.at(held, leaves.island, np.maximum(leaves.flux, 0.0))
    promised = np.bincount(within.island_row, weights=within.total_flux(beam_area), minlength=len(leaves))
    return np.asarray((promised <= MOST_PROMISED * held / beam_area)[within.island_row])


def _leaves(nested: NestedIslands, mothers: IntArray) -> IntArray:
    """Nested islands of some mothers that hold no other."""
    childless = np.ones(len(nested), dtype=bool)
    childless[nested.parent[nested.parent >= 0]] = False
    return np.flatnonzero(childless & np.isin(nested.mother_row, mothers))


def _with_surroundings(
    leaves: IslandPixels, islands: IslandPixels, mother_row: IntArray, radio_map: RadioMap
) -> IslandPixels:
    """Nested islands with the pixels around them, of their mother and its margin, that no other leaf owns."""
    half_width = disc_half_widths(LEAF_MARGIN_FWHM * radio_map.beam_fwhm)
    parts = []
    for mother in np.unique(mother_row):
        own = leaves.select(np.flatnonzero(mother_row == mother))
        parts.append(_grown_in_mother(own, islands.select(np.array([mother])), half_width))
    return IslandPixels.joined(parts)


def _grown_in_mother(leaves: IslandPixels, mother: IslandPixels, half_width: IntArray) -> IslandPixels:
    """Leaves of one mother grown by a disc into the pixels of the mother."""
    y0, x0 = int(mother.y.min()), int(mother.x.min())
    shape = (int(mother.y.max()) - y0 + 1, int(mother.x.max()) - x0 + 1)
    flux, noise = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    flux[mother.y - y0, mother.x - x0] = mother.flux
    noise[mother.y - y0, mother.x - x0] = mother.noise
    window = Window(y0, y0 + shape[0], x0, x0 + shape[1])
    runs = Runs.from_pixels(leaves.offsets, leaves.y, leaves.x)
    grown = grown_regions(runs, np.arange(len(leaves)), values=flux, window=window, half_width=half_width)
    return IslandPixels(
        offsets=np.concatenate([[0], np.cumsum(grown.counts)]).astype(np.int64),
        y=grown.y,
        x=grown.x,
        flux=flux[grown.y - y0, grown.x - x0],
        noise=noise[grown.y - y0, grown.x - x0],
        inside=grown.inside,
    )


def _remainders(
    radio_map: RadioMap, table: IslandTable, rows: IntArray, within: FittedComponents
) -> FittedComponents:
    """One component for each island that was taken apart: its moments, and its flux without that of the sources inside.

    Islands whose sources hold all their flux have none.
    """
    area = radio_map.beam_area
    inside_flux = np.bincount(within.island_row, weights=within.total_flux(area), minlength=len(table))[rows]
    inside_count = np.bincount(within.island_row, minlength=len(table))[rows]
    flux = np.where(inside_count > 0, table.total_flux[rows] - inside_flux, table.total_flux[rows])
    least = np.where(inside_count > 0, 2.0 * table.total_flux_err[rows], -np.inf)
    kept = flux > least
    rows, flux, inside_count = rows[kept], flux[kept], inside_count[kept]
    flux = np.maximum(flux, table.local_rms[rows])
    narrowest = 0.5 * FWHM_PER_SIGMA
    shapes = covariances_of_ellipses(
        np.maximum(table.major[rows], narrowest), np.maximum(table.minor[rows], narrowest), table.pixel_angle[rows]
    )
    amplitude = flux * area / (2.0 * np.pi * np.sqrt(np.linalg.det(shapes)))
    parameters = starting_parameters(amplitude, table.x[rows], table.y[rows], shapes)
    relative = (table.total_flux_err[rows] / flux) ** 2
    third = relative / 3.0  # amplitude and both widths add up to the relative variance of the flux
    size = np.trace(shapes, axis1=1, axis2=2) if len(rows) else np.zeros(0)
    errors = np.zeros((len(rows), 6, 6))
    for place, variance in enumerate((third, size * relative, size * relative, third, size * relative, third)):
        errors[:, place, place] = variance
    flags = np.where(inside_count > 0, int(SourceFlag.REMAINDER), int(SourceFlag.FIT_FAILED))
    return FittedComponents.from_moments(rows, parameters, errors, flags=flags)
