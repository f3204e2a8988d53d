#!/usr/bin/env python
r"""Fit the artefact model of the classical stage: simulate fields, extract islands, regress, check on fresh fields.

Takes four to ten minutes on two cores and writes ``neanias_ml/extraction/artefacts/assets/artefact_evidence.json``::

    python train/artefact_evidence.py --fields 60 --check-fields 30

Run it again whenever the noise model, the island finder or the terms of `neanias_ml.extraction.artefacts.model` change.
An island is spurious where the noise-free sky explains less than half of its peak. Expected on fresh fields: area under
the ROC curve 0.974, expected calibration error 0.01; above a probability of 0.5 are 72 % of the spurious islands and
1.3 % of the real ones (2.3 % in fields of even seeds, whose imaging faults are those of the training data of the
network, 0.6 % in the milder fields of odd seeds).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neanias_ml.evaluation.calibration import brier_score, expected_calibration_error, reliability_diagram
from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.extraction.artefacts.features import ArtefactFeatures, artefact_features
from neanias_ml.extraction.artefacts.model import TERMS, ArtefactModel, model_terms
from neanias_ml.extraction.tables import IslandTable
from neanias_ml.maps import RadioMap
from neanias_ml.simulation import SimulatedSky, SkyConfig, random_config, simulate_sky

FloatArray = NDArray[np.float64]
ASSET = Path(__file__).resolve().parents[1] / "neanias_ml/extraction/artefacts/assets/artefact_evidence.json"
FIELD_SIZE = 1024
LEAST_LOG_FAULTS = -1.3
"""Decimal logarithm of the mildest faults of odd fields over those of even ones."""
FAULTS = (
    "clean_depth", "extended_clean_depth", "gain_amplitude_error", "gain_phase_error", "pointing_error",
    "bad_baselines", "ghost_fraction", "rfi_stripes",
)  # fmt: skip
"""Imaging options that those milder faults scale."""
REAL_FRACTION = 0.5
"""Least share of an island's peak that the noise-free sky must explain for the island to be real."""
RIDGE = 1.0
"""Weight of the squared standardised coefficients against the log likelihood of all islands."""


def main() -> int:
    """Fit, check and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=60, help="simulated fields to fit on")
    parser.add_argument("--check-fields", type=int, default=30, help="further fields to check on")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first field; the others follow")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("-o", "--output", type=Path, default=ASSET, help="where to write the coefficients")
    options = parser.parse_args()
    first_check = options.seed + options.fields
    with ProcessPoolExecutor(options.workers) as pool:
        features, spurious = labelled_fields(range(options.seed, first_check), pool=pool)
        model = fit(features, spurious)
        checked, truth = labelled_fields(range(first_check, first_check + options.check_fields), pool=pool)
    report = scores(model.probability(checked), truth)
    for name, value in report.items():
        print(f"{name}: {value}")
    notes = {"seed": options.seed, "fields": options.fields, "islands": len(spurious), "spurious": int(spurious.sum())}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    model.save(options.output, notes={**notes, "fresh_fields": report})
    return 0


def labelled_fields(seeds: range, *, pool: Executor) -> tuple[ArtefactFeatures, NDArray[np.bool_]]:
    """Features of all islands of some simulated fields, and which of them are spurious."""
    tables, labels = [], []
    for seed, (features, spurious) in zip(seeds, pool.map(labelled_field, seeds), strict=True):
        tables.append(features)
        labels.append(spurious)
        print(f"field {seed}: {len(spurious)} islands, {int(spurious.sum())} spurious", flush=True)
    names = [field.name for field in dataclasses.fields(ArtefactFeatures)]
    joined = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return ArtefactFeatures(**joined), np.concatenate(labels)


def labelled_field(seed: int) -> tuple[ArtefactFeatures, NDArray[np.bool_]]:
    """Features of the islands of one simulated field, and which of them are spurious."""
    sky = simulate_sky(field_config(seed), seed=seed)
    features, islands = extract(sky.radio_map)
    return features, is_spurious(sky, islands)


def field_config(seed: int) -> SkyConfig:
    """A random field; those of odd seeds have milder imaging faults, as most fields of a survey have."""
    rng = np.random.default_rng(seed)
    config = random_config(rng, size=FIELD_SIZE)
    mildness = float(10.0 ** rng.uniform(LEAST_LOG_FAULTS, 0.0)) if seed % 2 else 1.0
    milder = {name: getattr(config.imaging, name) * mildness for name in FAULTS}
    return dataclasses.replace(config, imaging=dataclasses.replace(config.imaging, **milder))


def extract(radio_map: RadioMap) -> tuple[ArtefactFeatures, IslandTable]:
    """Features of a map's islands, as the classical stage sees them (without its fits)."""
    finder = SourceFinder(FinderConfig())
    wcs = radio_map.sky.wcs if radio_map.sky else None
    inverted = RadioMap.from_array(-radio_map.data, beam=radio_map.beam, wcs=wcs, pixel_scale=radio_map.pixel_scale)
    noise = finder.noise_of(radio_map)
    islands = finder.find_islands(radio_map, noise).islands.table
    negatives = finder.find_islands(inverted, finder.noise_of(inverted)).islands.table
    features = artefact_features(
        radio_map,
        islands=islands,
        negatives=negatives,
        noise=noise,
        merge_threshold=finder.config.merge_threshold,
    )
    return features, islands


def is_spurious(sky: SimulatedSky, islands: IslandTable) -> NDArray[np.bool_]:
    """Islands whose peak the noise-free sky, at its brightest within a pixel, explains by less than half."""
    padded = np.pad(sky.model, 1)
    y, x = islands.peak_y + 1, islands.peak_x + 1
    around = [padded[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.asarray(np.max(around, axis=0) < REAL_FRACTION * islands.peak_flux)


def fit(features: ArtefactFeatures, spurious: NDArray[np.bool_]) -> ArtefactModel:
    """Penalised logistic regression by Newton's method on standardised terms; the intercept is not penalised."""
    terms = model_terms(features)
    raw = np.stack([terms[name] for name in TERMS], axis=1)
    centre, spread = raw.mean(axis=0), raw.std(axis=0)
    design = np.concatenate([np.ones((len(raw), 1)), (raw - centre) / spread], axis=1)
    penalty = RIDGE * np.diag([0.0, *np.ones(len(TERMS))])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (probability - spurious) + penalty @ weights
        curvature = (design * (probability * (1.0 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    slopes = weights[1:] / spread
    coefficients = {name: round(float(slope), 5) for name, slope in zip(TERMS, slopes, strict=True)}
    return ArtefactModel(round(float(weights[0] - slopes @ centre), 5), coefficients)


def scores(probability: FloatArray, spurious: NDArray[np.bool_]) -> dict[str, object]:
    """How well probabilities tell spurious islands, and how well they are calibrated."""
    ranks = stats.rankdata(probability)
    n_spurious, n_real = int(spurious.sum()), int((~spurious).sum())
    area = (ranks[spurious].sum() - n_spurious * (n_spurious + 1) / 2) / (n_spurious * n_real)
    curve = reliability_diagram(probability, spurious, n_bins=10)
    return {
        "islands": len(spurious),
        "spurious": n_spurious,
        "roc_area": round(float(area), 4),
        "brier": round(brier_score(probability, spurious), 4),
        "calibration_error": round(expected_calibration_error(probability, spurious, n_bins=10), 4),
        "removed_above_0.5": round(float((probability[spurious] > 0.5).mean()), 4),
        "lost_above_0.5": round(float((probability[~spurious] > 0.5).mean()), 4),
        "reliability": [
            [round(float(value), 3) for value in pair]
            for pair in zip(curve.confidence, curve.accuracy, strict=True)
            if np.isfinite(pair).all()
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
