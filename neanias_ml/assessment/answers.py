"""Stated probabilities against what is true: calibration, and rejection of spurious islands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.assessment.truth import IOU
from neanias_ml.evaluation import Interval, calibration_counts, calibration_error, match_one_to_one, rejection_at_kept

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class StatedAnswers:
    """Probabilities that were stated, whether what was stated is true, and the area of each."""

    probability: FloatArray
    outcome: BoolArray
    area: IntArray

    def error(self, scored: ScoredMaps) -> Interval:
        """Expected calibration error."""
        counts = calibration_counts(self.probability, self.outcome, self.area, n_areas=scored.resamples.n_areas)
        return scored.resamples.of_counts(calibration_error, counts)


def class_answers(scored: ScoredMaps) -> StatedAnswers:
    """Probability of the decided class of the objects that match a true one, and whether it is of that class."""
    return _object_answers(scored, matched_only=True)


def object_answers(scored: ScoredMaps) -> StatedAnswers:
    """The same of all judged objects: whether there is an object of that outline and class."""
    return _object_answers(scored, matched_only=False)


def _object_answers(scored: ScoredMaps, *, matched_only: bool) -> StatedAnswers:
    probability, outcome, counts = [], [], []
    for pair in scored.pairs():
        rows, columns = match_one_to_one(pair.iou, threshold=IOU)
        right = np.zeros(len(pair.predicted), dtype=bool)
        right[columns] = pair.true.labels[rows] == pair.predicted.labels[columns]
        chosen = columns if matched_only else np.arange(len(pair.predicted))
        probability.append(pair.predicted.scores[chosen])
        outcome.append(right[chosen])
        counts.append(len(chosen))
    stated = np.clip(np.concatenate(probability), 0.0, 1.0)
    return StatedAnswers(stated, np.concatenate(outcome), scored.area_of(counts))


SPURIOUS_JUDGES = ("network", "classical", "snr")
"""P(spurious) of the networks, that of the extraction, and a plain cut in signal to noise."""


def spurious_answers(scored: ScoredMaps, judge: str = "network") -> StatedAnswers:
    """What one of `SPURIOUS_JUDGES` says of each island, the larger the more spurious, and what it is.

    Islands of which it says nothing (NaN) count as least spurious.
    """
    answers = [one.islands for one in scored.maps]
    values = np.concatenate([getattr(one, judge) for one in answers])
    said = -values if judge == "snr" else np.nan_to_num(values)
    outcome = np.concatenate([one.is_spurious for one in answers])
    return StatedAnswers(said, outcome, scored.area_of([len(one.snr) for one in answers]))


def rejection(scored: ScoredMaps, judge: str) -> Interval:
    """Share of spurious islands rejected at 95 % of real ones kept."""
    answers = spurious_answers(scored, judge)
    return scored.resamples.of_weights(
        lambda weights: rejection_at_kept(answers.probability, answers.outcome, weights=weights[answers.area])
    )
