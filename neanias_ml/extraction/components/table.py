"""Fitted Gaussians on the sky: positions, sizes, angles, fluxes and their errors."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.fit_ellipses import covariance_errors, deconvolved_ellipses, ellipses_with_errors
from neanias_ml.extraction.components.fit_results import FittedComponents
from neanias_ml.extraction.islands.measure import sky_positions
from neanias_ml.extraction.tables import ComponentTable, IslandTable, SourceFlag
from neanias_ml.maps import RadioMap, transformed

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ColumnSet = dict[str, NDArray]

ARCSEC = 3600.0


def component_table(
    radio_map: RadioMap, islands: IslandTable, fitted: FittedComponents, *, nested_ids: IntArray | None = None
) -> ComponentTable:
    """Put fitted components on the sky, one row each, in their order.

    Parameters
    ----------
    radio_map
        Its sky and beam.
    islands
        The table whose rows ``fitted.island_row`` counts.
    fitted
        The components in pixels.
    nested_ids
        (K,) nested island that each lies in, 0 for none.
    """
    rows = fitted.island_row
    jacobians = radio_map.tangent_jacobian(fitted.x, fitted.y)
    snr = fitted.amplitude / islands.local_rms[rows]
    columns: ColumnSet = {
        "component_id": np.arange(1, len(fitted) + 1),
        "island_id": islands.island_id[rows],
        "nested_id": np.zeros(len(fitted), dtype=np.int64) if nested_ids is None else np.asarray(nested_ids),
        **_positions(radio_map, fitted, jacobians),
        **_fluxes(fitted, radio_map.beam_area),
        **_shapes(radio_map, fitted, jacobians, snr),
        "local_rms": islands.local_rms[rows],
        "local_background": islands.local_background[rows],
        "snr": snr,
        "residual_rms": fitted.residual_rms,
        "fit_quality": fitted.quality,
    }
    columns["flags"] = columns["flags"] | fitted.flags | islands.flags[rows]
    return ComponentTable(**{field.name: columns[field.name] for field in dataclasses.fields(ComponentTable)})


def _positions(radio_map: RadioMap, fitted: FittedComponents, jacobians: FloatArray) -> ColumnSet:
    """Pixels, ICRS degrees and their errors; the error along right ascension is on the sky."""
    ra, dec, _ = sky_positions(radio_map, fitted.x, fitted.y)
    variance = transformed(fitted.errors[:, 1:3, 1:3], jacobians)
    return {
        "ra": ra,
        "dec": dec,
        "ra_err": np.where(np.isfinite(ra), np.sqrt(variance[:, 0, 0]), np.nan),
        "dec_err": np.where(np.isfinite(dec), np.sqrt(variance[:, 1, 1]), np.nan),
        "x": fitted.x,
        "y": fitted.y,
        "x_err": np.sqrt(fitted.errors[:, 1, 1]),
        "y_err": np.sqrt(fitted.errors[:, 2, 2]),
    }


def _fluxes(fitted: FittedComponents, beam_area: float) -> ColumnSet:
    """Peak (Jy/beam) and integrated flux (Jy) with errors from the full covariance of amplitude and shape."""
    peak, total = fitted.amplitude, fitted.total_flux(beam_area)
    return {
        "peak_flux": peak,
        "peak_flux_err": peak * np.sqrt(fitted.errors[:, 0, 0]),
        "total_flux": total,
        "total_flux_err": fitted.total_flux_error(beam_area),
    }


def _shapes(radio_map: RadioMap, fitted: FittedComponents, jacobians: FloatArray, snr: FloatArray) -> ColumnSet:
    """Sizes in arcsec and angles east of north, as fitted and without the beam, with errors and the flags of limits.

    The beam is the same all over the map in pixels, not in its angle to north: it is taken out where each component is.
    """
    on_sky = transformed(fitted.covariance, jacobians)
    beam = transformed(np.broadcast_to(radio_map.beam_covariance, jacobians.shape), jacobians)
    errors = covariance_errors(fitted.parameters, fitted.errors, jacobians)
    ellipse = ellipses_with_errors(on_sky, errors)
    bare = deconvolved_ellipses(on_sky, beam, errors, fixed=fitted.shape_fixed, snr=snr)
    flags = np.where(bare.unresolved, int(SourceFlag.SIZE_UPPER_LIMIT), 0)
    flags |= np.where(bare.minor_unresolved, int(SourceFlag.MINOR_UPPER_LIMIT), 0)
    return {
        "major": ellipse.major * ARCSEC,
        "major_err": ellipse.major_err * ARCSEC,
        "minor": ellipse.minor * ARCSEC,
        "minor_err": ellipse.minor_err * ARCSEC,
        "pa": ellipse.angle,
        "pa_err": ellipse.angle_err,
        "dc_major": bare.ellipses.major * ARCSEC,
        "dc_major_err": bare.ellipses.major_err * ARCSEC,
        "dc_minor": bare.ellipses.minor * ARCSEC,
        "dc_minor_err": bare.ellipses.minor_err * ARCSEC,
        "dc_pa": bare.ellipses.angle,
        "dc_pa_err": bare.ellipses.angle_err,
        "shape": np.where(fitted.shape_fixed, "beam", "free"),
        "flags": flags,
    }
