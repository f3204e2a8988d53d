"""What the artefact model looks at: the features of islands on scales where their differences count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.features import ArtefactFeatures

FloatArray = NDArray[np.float64]

DIRECTIONS = {
    "snr": -1, "holes_in_noise": 1, "hole_depth": 1, "near_hole": 1, "deepest_negative": 1, "opposite_holes": 1,
    "plateau": -1, "radial_or_tangential": 1, "radial": 0, "ray_excess": 1, "ring_excess": 1, "mirror_likeness": 1,
    "echoes_seen": 1, "echoes_missed": 0, "noise_excess": 1, "surroundings": 0, "negative_share": 1, "skewness": 0,
    "negatives_around": 1, "islands_around": 0, "size": 0, "area": 0, "culprit_distance": 0,
}  # fmt: skip
"""Terms, and whether more of one may only speak for an artefact (1), only against it (-1), or either way (0).

Where imaging and geometry fix the direction it is imposed, so that what a set of fields happens to hold cannot turn it
round: simulated sidelobes are often broad and have shallower holes beside them than faint sources have by noise alone,
while those of real snapshots alternate in sign. A hole beside a peak is no mark of a source, nor is emission all around
one a mark of a sidelobe, since sidelobes have no mean.
"""
TERMS = tuple(DIRECTIONS)
"""Names of `model_terms`, in order."""
_USUAL_DISTANCE = 30.0
"""Middle of the distances of islands with a culprit, beam widths, which stands in where there is none."""


def model_terms(features: ArtefactFeatures) -> dict[str, FloatArray]:
    """Terms of the model, each (N,), finite and bounded, so that no odd map drives it beyond its experience.

    Missing evidence (no culprit, mirrored position outside the map) has the value that speaks neither way. The flux
    ratio to the culprit is left out on purpose: simulated faults are scaled to the brightest source of a field, so that
    a model would learn that the brightest sources have the least sidelobes.
    """
    distance = np.nan_to_num(features.culprit_distance, nan=_USUAL_DISTANCE)
    mirror = np.nan_to_num(features.mirror_ratio)
    return {
        "snr": _log(features.snr, 4.0, 200.0),
        "holes_in_noise": _log(features.hole_depth * features.far_snr, 0.5, 30.0),
        "hole_depth": _log(features.hole_depth, 0.02, 3.0),
        "near_hole": _log(features.near_hole, 0.02, 3.0),
        "deepest_negative": _log(features.deepest_negative, 0.02, 3.0),
        "opposite_holes": _log(features.opposite_holes, 0.02, 3.0),
        "plateau": _within(features.plateau, -0.5, 1.0),
        "radial_or_tangential": np.abs(features.radial_elongation),
        "radial": features.radial_elongation,
        "ray_excess": _within(features.ray_excess, -2.0, 3.0),
        "ring_excess": _within(features.ring_excess, -2.0, 3.0),
        "mirror_likeness": _within(np.where(mirror <= 1.0, mirror, 1.0 / np.maximum(mirror, 1.0)), 0.0, 1.0),
        "echoes_seen": _within(features.echo_evidence, 0.0, 14.0),
        "echoes_missed": _within(features.echo_evidence, -14.0, 0.0),
        "noise_excess": _within(features.noise_excess, -0.5, 1.5),
        "surroundings": _log(features.around_rms, 0.5, 8.0),
        "negative_share": features.negative_share,
        "skewness": _within(features.skewness, -2.0, 4.0),
        "negatives_around": features.negatives_around,
        "islands_around": _within(features.islands_around, -2.0, 3.0),
        "size": _log(features.size_ratio, 0.5, 20.0),
        "area": _log(features.area_ratio, 0.2, 50.0),
        "culprit_distance": _log(distance, 1.0, 200.0),
    }


def _within(values: FloatArray, low: float, high: float) -> FloatArray:
    return np.minimum(np.maximum(values, low), high)


def _log(values: FloatArray, low: float, high: float) -> FloatArray:
    return np.log(_within(values, low, high))
