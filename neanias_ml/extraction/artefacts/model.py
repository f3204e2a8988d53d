"""Probability that an island is spurious: a logistic regression on a few terms of its features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import ModelError
from neanias_ml.extraction.artefacts.features import ArtefactFeatures

FloatArray = NDArray[np.float64]

MODEL_ASSET = "artefact_evidence.json"
_USUAL_DISTANCE = 30.0
"""Middle of the distances of islands with a culprit, beam widths, which stands in where there is none."""
_SEED_SNR = 5.0
_EVEN_SHARE = 0.5
"""Share of negative excursions where there are as many of either sign, or none."""


def model_terms(features: ArtefactFeatures) -> dict[str, FloatArray]:
    """Terms of the regression, each (N,), finite and bounded, so that no odd map drives it beyond its experience.

    Missing evidence (no culprit, mirrored position outside the map) has the value that speaks neither way. The flux
    ratio to the culprit is left out on purpose: simulated faults are scaled to the brightest source of a field, so that
    a regression would learn that the brightest sources have the least sidelobes.
    """
    has_culprit = features.culprit_id > 0
    distance = np.nan_to_num(features.culprit_distance, nan=_USUAL_DISTANCE)
    mirror = np.nan_to_num(features.mirror_ratio)
    return {
        "has_culprit": has_culprit.astype(np.float64),
        "culprit_distance": np.log(np.clip(distance, 1.0, 200.0)),
        "mirror_likeness": np.clip(np.where(mirror <= 1.0, mirror, 1.0 / np.maximum(mirror, 1.0)), 0.0, 1.0),
        "echoes_seen": np.clip(features.echo_evidence, 0.0, 14.0),
        "echoes_missed": np.clip(features.echo_evidence, -14.0, 0.0),
        "ray_excess": np.clip(features.ray_excess, -2.0, 3.0),
        "radial_or_tangential": np.abs(features.radial_elongation),
        "noise_excess": np.clip(features.noise_excess, -0.5, 1.5),
        "snr_in_surroundings": np.log(np.clip(features.far_snr / features.around_rms / _SEED_SNR, 0.2, 40.0)),
        "surroundings": np.log(np.clip(features.around_rms, 0.5, 8.0)),
        "deepest_negative": np.log(np.clip(features.deepest_negative, 0.02, 3.0)),
        "positive_excursions": np.maximum(_EVEN_SHARE - features.negative_share, 0.0),
        "skewness": np.clip(features.skewness, -2.0, 4.0),
        "islands_around": np.clip(features.islands_around, -2.0, 3.0),
        "narrowness": np.log(np.clip(1.0 / features.size_ratio, 1.0, 1.5)),
        "area": np.log(np.clip(features.area_ratio, 0.2, 20.0)),
    }


@dataclass(frozen=True)
class ArtefactModel:
    """Coefficients of the regression.

    Attributes
    ----------
    intercept
        Log odds of a spurious island where all terms are 0.
    coefficients
        By the names of `model_terms`.
    """

    intercept: float
    coefficients: dict[str, float]

    def probability(self, features: ArtefactFeatures) -> FloatArray:
        """Probability (N,) of each island to be spurious."""
        terms = model_terms(features)
        log_odds = self.intercept + sum(self.coefficients[name] * value for name, value in terms.items())
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -50.0, 50.0))))

    def save(self, path: Path, *, notes: dict[str, object]) -> None:
        """Write the coefficients, with ``notes`` on how they were fitted, as JSON."""
        content = {"intercept": self.intercept, "coefficients": self.coefficients, "notes": notes}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, text: str) -> ArtefactModel:
        """Parse what `save` wrote.

        Raises
        ------
        ModelError
            ``ArtefactModel`` if the text is no such JSON, or its terms are not those of this version.
        """
        try:
            content = json.loads(text)
            model = cls(
                float(content["intercept"]), {name: float(value) for name, value in content["coefficients"].items()}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                "ArtefactModel", f"the artefact model cannot be read ({error}); fit it with train/artefact_evidence.py"
            ) from error
        if set(model.coefficients) != set(TERMS):
            odd = ", ".join(sorted(set(model.coefficients) ^ set(TERMS)))
            raise ModelError(
                "ArtefactModel",
                f"the artefact model has other terms than this version ({odd}); fit it with train/artefact_evidence.py",
            )
        return model


TERMS = (
    "has_culprit", "culprit_distance", "mirror_likeness", "echoes_seen", "echoes_missed", "ray_excess",
    "radial_or_tangential", "noise_excess", "snr_in_surroundings", "surroundings", "deepest_negative",
    "positive_excursions", "skewness", "islands_around", "narrowness", "area",
)  # fmt: skip
"""Names of `model_terms`."""


@lru_cache(maxsize=1)
def shipped_model() -> ArtefactModel:
    """The model that comes with the package."""
    asset = resources.files("neanias_ml.extraction.artefacts") / "assets" / MODEL_ASSET
    return ArtefactModel.read(asset.read_text(encoding="utf-8"))
