"""Pure metric functions: matching, precision and recall, completeness by S/N, groupings, calibration."""

from neanias_ml.evaluation.areas import AreaResamples, calibration_counts, calibration_error, share, sum_by_area
from neanias_ml.evaluation.caesar import CaesarCounts, CaesarScores, caesar_counts, caesar_scores
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
from neanias_ml.evaluation.grouping_counts import GroupingCounts, count_grouping, grouping_metric
from neanias_ml.evaluation.instances import FieldPair, Instances, box_iou, field_pairs, mask_iou
from neanias_ml.evaluation.intervals import Interval, bootstrap_interval, wilson_interval
from neanias_ml.evaluation.linking import linked_groups
from neanias_ml.evaluation.matching import match_by_score, match_one_to_one
from neanias_ml.evaluation.precision_recall import (
    PrecisionRecallCurve,
    average_precision,
    precision_recall_by_class,
    precision_recall_curve,
    weighted_average_precision,
)
from neanias_ml.evaluation.rejection import RejectionCurve, rejection_at_kept, rejection_curve

__all__ = [
    "AreaResamples",
    "BinnedFraction",
    "CaesarCounts",
    "CaesarScores",
    "ClassCounts",
    "CrossMatch",
    "FieldPair",
    "GroupingCounts",
    "Instances",
    "Interval",
    "PairScores",
    "PrecisionRecallCurve",
    "RejectionCurve",
    "ReliabilityDiagram",
    "adjusted_rand_index",
    "average_precision",
    "bootstrap_interval",
    "box_iou",
    "brier_score",
    "caesar_counts",
    "caesar_scores",
    "calibration_counts",
    "calibration_error",
    "confusion_matrix",
    "count_by_class",
    "count_grouping",
    "exact_set_fraction",
    "exact_sets",
    "expected_calibration_error",
    "field_pairs",
    "flux_ratios",
    "fraction_by_bin",
    "grouping_metric",
    "linked_groups",
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
    "rejection_at_kept",
    "rejection_curve",
    "reliability_diagram",
    "share",
    "sky_offsets",
    "sky_pairs",
    "stack_groupings",
    "sum_by_area",
    "weighted_average_precision",
    "wilson_interval",
]
