"""Pure metric functions: matching, precision and recall, completeness by S/N, groupings, calibration."""

from neanias_ml.evaluation.caesar import CaesarScores, caesar_scores
from neanias_ml.evaluation.calibration import (
    ReliabilityDiagram,
    brier_score,
    expected_calibration_error,
    reliability_diagram,
)
from neanias_ml.evaluation.completeness import BinnedFraction, fraction_by_bin
from neanias_ml.evaluation.crossmatch import (
    CrossMatch,
    flux_ratios,
    match_pixels,
    match_sky,
    one_to_one,
    pixel_pairs,
    sky_offsets,
    sky_pairs,
)
from neanias_ml.evaluation.detection import ClassCounts, confusion_matrix, count_by_class
from neanias_ml.evaluation.grouping import (
    PairScores,
    adjusted_rand_index,
    exact_set_fraction,
    exact_sets,
    pair_scores,
    stack_groupings,
)
from neanias_ml.evaluation.instances import FieldPair, Instances, field_pairs, mask_iou
from neanias_ml.evaluation.intervals import Interval, bootstrap_interval, wilson_interval
from neanias_ml.evaluation.matching import match_by_score, match_one_to_one
from neanias_ml.evaluation.precision_recall import (
    PrecisionRecallCurve,
    average_precision,
    precision_recall_by_class,
    precision_recall_curve,
)

__all__ = [
    "BinnedFraction",
    "CaesarScores",
    "ClassCounts",
    "CrossMatch",
    "FieldPair",
    "Instances",
    "Interval",
    "PairScores",
    "PrecisionRecallCurve",
    "ReliabilityDiagram",
    "adjusted_rand_index",
    "average_precision",
    "bootstrap_interval",
    "brier_score",
    "caesar_scores",
    "confusion_matrix",
    "count_by_class",
    "exact_set_fraction",
    "exact_sets",
    "expected_calibration_error",
    "field_pairs",
    "flux_ratios",
    "fraction_by_bin",
    "mask_iou",
    "match_by_score",
    "match_one_to_one",
    "match_pixels",
    "match_sky",
    "one_to_one",
    "pair_scores",
    "pixel_pairs",
    "precision_recall_by_class",
    "precision_recall_curve",
    "reliability_diagram",
    "sky_offsets",
    "sky_pairs",
    "stack_groupings",
    "wilson_interval",
]
