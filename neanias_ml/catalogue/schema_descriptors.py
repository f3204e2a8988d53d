"""Columns of the descriptors of islands: shapes in pixels and on the sky, evidence for and against artefacts."""

from __future__ import annotations

from neanias_ml.catalogue.schema_column import Column


def _number(name: str, description: str, *, ucd: str = "src.morph.param") -> Column:
    return Column(name, "float64", "", ucd, description)


def _pixels(name: str, description: str) -> Column:
    return Column(name, "float64", "pix", "phys.size;instr.pixel", description)


def _angle(name: str, description: str) -> Column:
    return Column(name, "float64", "deg", "pos.posAng", description)


def _flux(name: str, description: str, *, ucd: str) -> Column:
    return Column(name, "float64", "Jy/beam", f"phot.flux.density;em.radio;{ucd}", description)


def _on_sky(name: str, description: str) -> Column:
    return Column(name, "float64", "arcsec", "phys.angSize", description)


SHAPE_COLUMNS = (
    Column("area", "int64", "", "meta.number;instr.pixel", "pixels"),
    _number("filled_area", "pixels within the outer boundary, holes included", ucd="meta.number;instr.pixel"),
    _number("hole_fraction", "part of filled_area that is holes: 0 filled, towards 1 a thin shell"),
    _pixels("perimeter", "length of the outer boundary, corrected for its steps"),
    _number("circularity", "4 pi filled_area / perimeter^2, at most 1: 1 for a circle"),
    _number("bending_energy", "of the outer boundary smoothed over a beam: 1 for a circle, more for all else"),
    _pixels("box_long_side", "longer side of the smallest box of any direction around the pixels"),
    _pixels("box_short_side", "shorter side of that box"),
    _angle("box_angle", "of its longer side, from +x towards +y"),
    _number("elongation", "1 - shorter over longer side of the box"),
    _number("rectangularity", "filled_area over the area of the box"),
    _number("roundness", "4 filled_area / (pi longer side^2)"),
    _number("solidity", "area of the outline over that of its convex hull: 1 for a convex island"),
    _pixels("diameter", "largest extent in any direction"),
    _angle("diameter_angle", "of that extent, from +x towards +y"),
    _number("eccentricity", "of the ellipse of equal second moments, every pixel counting the same"),
    _angle("tilt", "of that ellipse's major axis, from +x towards +y"),
    _angle("ridge_bend", "angle by which the flux's ridge turns from end to end"),
    _flux("flux_mean", "mean of its pixels", ucd="stat.mean"),
    _flux("flux_std", "standard deviation of its pixels", ucd="stat.stdev"),
    _flux("flux_median", "median of its pixels", ucd="stat.median"),
    _flux("flux_mad", "median absolute deviation of its pixels, not scaled", ucd="stat.stdev"),
    _number("flux_skewness", "skewness of its pixels", ucd="stat.param"),
    _number("flux_kurtosis", "excess kurtosis of its pixels", ucd="stat.param"),
    *(_number(f"hu_{k}", f"Hu's invariant moment {k} of the shape, all pixels counting the same") for k in range(1, 8)),
    *(_number(f"flux_hu_{k}", f"Hu's invariant moment {k} of the flux") for k in range(1, 8)),
    *(
        _number(f"zernike_{order}_{repetition}", "magnitude of the flux's Zernike moment, order and repetition")
        for order in range(2, 7)
        for repetition in range(order % 2, order + 1, 2)
    ),
)

SKY_SHAPE_COLUMNS = (
    _on_sky("box_major", "longer side of the smallest box around the island on the sky"),
    _on_sky("box_minor", "shorter side of that box"),
    _angle("box_pa", "of its longer side, east of north"),
    _on_sky("largest_size", "largest angular extent in any direction, as seen (the beam is not taken out)"),
    _angle("largest_size_pa", "of that extent, east of north"),
    Column("sky_area", "float64", "arcsec2", "phys.angArea", "of the convex hull"),
)

EVIDENCE_COLUMNS = (
    Column("culprit_id", "int64", "", "meta.id.assoc", "bright island whose sidelobe it would most likely be; 0: none"),
    _number("culprit_distance", "distance to it in beam widths", ucd="pos.angDistance"),
    _number("culprit_ratio", "peak flux over that of the culprit", ucd="phot.flux.density;arith.ratio"),
    _number("radial_elongation", "elongation times cos 2 (angle to the culprit): positive on rays, negative on rings"),
    _number("ray_excess", "ln of weak islands on the ray through the culprit over those by chance", ucd="stat.param"),
    _number("ring_excess", "the same on the ring around the culprit", ucd="stat.param"),
    _number("mirror_ratio", "map at the position mirrored through the culprit over the peak", ucd="stat.param"),
    _number("echo_evidence", "log likelihood ratio of twins of a sidelobe elsewhere", ucd="stat.likelihood"),
    _number("noise_excess", "ln of the local noise over that away from bright sources", ucd="stat.param"),
    _number("ring_snr", "peak over the spread of the map on the ring around the culprit", ucd="stat.snr"),
    _number("around_rms", "rms of negative values within 5 beam widths over the noise away", ucd="stat.param"),
    _number("deepest_negative", "depth of the lowest value within 5 beam widths over the peak", ucd="stat.param"),
    _number("hole_depth", "depth of the lowest value within 3 beam widths over the peak", ucd="stat.param"),
    _number("near_hole", "depth of the lowest value within 1.5 beam widths over the peak", ucd="stat.param"),
    _number("opposite_holes", "depth of the map on both sides of the peak at once, over the peak", ucd="stat.param"),
    _number("plateau", "mean of the map from 1.25 to 3 beam widths off over the peak", ucd="stat.param"),
    _number("negative_share", "share of the negative among the excursions beyond 2.5 sigma there", ucd="stat.param"),
    _number("skewness", "of the values there, cut at 10 sigma", ucd="stat.param"),
    _number("negatives_around", "ln (1 + negative islands within 8 beam widths)", ucd="stat.param"),
    _number("islands_around", "ln of islands within 8 beam widths over those by chance", ucd="stat.param"),
    _number("far_snr", "peak over the noise away from bright sources", ucd="stat.snr"),
    _number("size_ratio", "size over that of a point source of equal signal to noise"),
    _number("area_ratio", "area over that of a point source of equal signal to noise"),
    Column("p_artefact", "float64", "", "stat.probability", "probability of an artefact by this evidence"),
)

RENAMED = {"box_long_side": "major", "box_short_side": "minor", "box_angle": "angle", "p_artefact": "p_spurious"}
"""Columns whose name in the value objects would not be clear in a table by itself."""
