#!/usr/bin/env python
r"""Fit the artefact model of the classical stage: simulate fields, extract islands, grow trees, check on fresh fields.

Takes some twenty minutes on two cores and writes ``neanias_ml/extraction/artefacts/assets/artefact_evidence.json``::

    python train/artefact_evidence.py --fields 40 --check-fields 16 --vlass FOLDER

Run it again whenever the noise model, the island finder or `neanias_ml.extraction.artefacts.terms` change; it needs
scikit-learn. An island is spurious where the noise-free sky explains less than half of its peak. Fields are of three
kinds, as many of each: wide random draws, known surveys, and known surveys around bright sources with poor calibration.
``--vlass`` names the folder of the VLASS set (see `neanias_ml.datasets.real.vlass`), whose islands are known to be real
or not by three epochs: they are learned from too, and checked by leaving out positions of the sky in turn. What to
expect is in the notes of the file that comes with the package.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neanias_ml.datasets.real.tables import read_rows
from neanias_ml.datasets.real.vlass import ISLAND_COLUMNS, ISLAND_TABLE, Vlass
from neanias_ml.evaluation.calibration import brier_score, expected_calibration_error, reliability_diagram
from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.extraction.artefacts.features import ArtefactFeatures, artefact_features
from neanias_ml.extraction.artefacts.model import ArtefactModel
from neanias_ml.extraction.artefacts.terms import DIRECTIONS, TERMS, model_terms
from neanias_ml.extraction.tables import IslandTable
from neanias_ml.maps import RadioMap, read_map
from neanias_ml.simulation import SURVEYS, SimulatedSky, SkyConfig, random_config, simulate_sky, survey_config

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
ASSET = Path(__file__).resolve().parents[1] / "neanias_ml/extraction/artefacts/assets/artefact_evidence.json"
FIELD_SIZE = 1024
FIRST_SEEDS = {"random": 1000, "survey": 3000, "bright": 5000}
"""Kinds of fields, and the seed of the first one of each; the others follow."""
LEAST_LOG_FAULTS = -1.3
"""Decimal logarithm of the mildest faults of random fields of odd seeds over those of even ones."""
FAULTS = (
    "clean_depth", "extended_clean_depth", "gain_amplitude_error", "gain_phase_error", "pointing_error",
    "bad_baselines", "ghost_fraction", "rfi_stripes",
)  # fmt: skip
"""Imaging options that those milder faults scale."""
REAL_FRACTION = 0.5
"""Least share of an island's peak that the noise-free sky must explain for the island to be real."""
MATCH_PIXELS = 4.0
"""A labelled island is the one whose peak is that near, or the only one whose box holds its peak."""
TREES, LEARNING_RATE, LEAVES, LEAST_IN_LEAF, RIDGE = 100, 0.08, 8, 30, 2.0
"""Trees, the part of each that is added, leaves of a tree, islands in a leaf, penalty on the squares of the leaves."""
REAL_WEIGHT = 10.0
"""Weight of a real island over that of a simulated one, of which there are a hundred times more."""
PARTS = 5
"""Parts of the positions of the real set that are left out in turn."""


@dataclass(frozen=True)
class Labelled:
    """Islands of known nature.

    Attributes
    ----------
    features
        (N,) rows.
    spurious
        (N,) whether there is no source.
    place
        (N,) seed of the field, or name of the position on the sky.
    """

    features: ArtefactFeatures
    spurious: BoolArray
    place: NDArray[np.str_]

    @property
    def table(self) -> FloatArray:
        """(N, T) terms."""
        terms = model_terms(self.features)
        return np.stack([terms[name] for name in TERMS], axis=1)

    def select(self, rows: NDArray[Any]) -> Labelled:
        """Some of the islands, by row or by mask."""
        return Labelled(self.features.select(rows), self.spurious[rows], self.place[rows])


def main() -> int:
    """Fit, check and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=40, help="simulated fields of each kind to fit on")
    parser.add_argument("--check-fields", type=int, default=16, help="further fields of each kind to check on")
    parser.add_argument("--vlass", type=Path, help="folder of the VLASS set to learn from too")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("-o", "--output", type=Path, default=ASSET, help="where to write the trees")
    options = parser.parse_args()
    count = options.fields, options.fields + options.check_fields
    with ProcessPoolExecutor(options.workers) as pool:
        simulated = joined(list(mapped(pool, [(kind, place) for kind in FIRST_SEEDS for place in range(count[0])])))
        fresh = joined(list(mapped(pool, [(kind, place) for kind in FIRST_SEEDS for place in range(*count)])))
    real = vlass_islands(options.vlass) if options.vlass else None
    model = fit(simulated, real)
    report = {"fresh_fields": scores(model.probability(fresh.features), fresh.spurious)}
    if real is not None:
        report["vlass_positions_left_out"] = scores(left_out(simulated, real), real.spurious)
    for where, values in report.items():
        print(where, *(f"  {name}: {value}" for name, value in values.items()), sep="\n")
    notes = {"fields": 3 * options.fields, "islands": len(simulated.place), "spurious": int(simulated.spurious.sum())}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    model.save(options.output, notes={**notes, **report})
    return 0


def mapped(pool: Executor, fields: Sequence[tuple[str, int]]) -> Sequence[Labelled]:
    """Islands of simulated fields, told about as they come."""
    done = []
    for (kind, place), found in zip(fields, pool.map(labelled_field, *zip(*fields, strict=True)), strict=True):
        print(f"{kind} {place}: {len(found.place)} islands, {int(found.spurious.sum())} spurious", flush=True)
        done.append(found)
    return done


def joined(parts: Sequence[Labelled]) -> Labelled:
    """The islands of all parts."""
    spurious, place = (np.concatenate([getattr(part, name) for part in parts]) for name in ("spurious", "place"))
    return Labelled(ArtefactFeatures.joined([part.features for part in parts]), spurious, place)


def labelled_field(kind: str, place: int) -> Labelled:
    """Islands of one simulated field, and which of them are spurious."""
    seed = FIRST_SEEDS[kind] + place
    sky = simulate_sky(field_config(kind, seed), seed=seed)
    features, islands = extract(sky.radio_map)
    return Labelled(features, is_spurious(sky, islands), np.full(len(islands), str(seed)))


def field_config(kind: str, seed: int) -> SkyConfig:
    """A field of a kind; random ones of odd seeds have milder imaging faults, as most fields of a survey have."""
    rng = np.random.default_rng(seed)
    if kind == "random":
        config = random_config(rng, size=FIELD_SIZE)
        mildness = float(10.0 ** rng.uniform(LEAST_LOG_FAULTS, 0.0)) if seed % 2 else 1.0
        milder = {name: getattr(config.imaging, name) * mildness for name in FAULTS}
        return dataclasses.replace(config, imaging=dataclasses.replace(config.imaging, **milder))
    names = sorted(SURVEYS)
    config = survey_config(names[seed % len(names)], rng, size=FIELD_SIZE)
    return with_bright_sources(config, rng) if kind == "bright" else config


def with_bright_sources(config: SkyConfig, rng: np.random.Generator) -> SkyConfig:
    """The same survey around sources up to 5000 times the noise, its calibration better or worse than usual."""
    highest = float(10.0 ** rng.uniform(2.5, 3.7))
    population = dataclasses.replace(
        config.population,
        bright_sources=float(rng.uniform(0.5, 4.0)),
        maximum_snr=highest,
        outside_sources=float(rng.uniform(0.0, 1.5)),
    )
    scale, imaging = float(10.0 ** rng.uniform(-0.3, 0.7)), config.imaging
    imaging = dataclasses.replace(
        imaging,
        robust=float(rng.uniform(-1.0, 1.5)),
        clean_depth=min(imaging.clean_depth * scale, 0.3),
        gain_amplitude_error=min(imaging.gain_amplitude_error * scale, 0.3),
        gain_phase_error=min(imaging.gain_phase_error * scale, 40.0),
    )
    return dataclasses.replace(config, population=population, imaging=imaging)


def extract(radio_map: RadioMap) -> tuple[ArtefactFeatures, IslandTable]:
    """Features of a map's islands, as the classical stage sees them (without its fits)."""
    finder = SourceFinder(FinderConfig())
    noise = finder.noise_of(radio_map)
    found = finder.find_islands(radio_map, noise)
    features = artefact_features(
        radio_map,
        islands=found.islands.table,
        negatives=finder.negative_check(radio_map, noise, found).table,
        noise=noise,
        merge_threshold=finder.config.merge_threshold,
    )
    return features, found.islands.table


def is_spurious(sky: SimulatedSky, islands: IslandTable) -> BoolArray:
    """Islands whose peak the noise-free sky, at its brightest within a pixel, explains by less than half."""
    padded = np.pad(sky.model, 1)
    y, x = islands.peak_y + 1, islands.peak_x + 1
    around = [padded[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.asarray(np.max(around, axis=0) < REAL_FRACTION * islands.peak_flux)


def vlass_islands(folder: Path) -> Labelled:
    """The islands of the VLASS set that are known to be real or not, as far as the classical stage finds them."""
    rows = read_rows(folder / ISLAND_TABLE, columns=ISLAND_COLUMNS)
    parts = []
    for entry in Vlass(folder).entries:
        features, islands = extract(read_map(entry.path))
        known = [row for row in rows if row["file"] == entry.path.name and row["label"] in ("real", "spurious")]
        matches = [island_at(islands, int(row["xpeak"]), int(row["ypeak"])) for row in known]
        found = [(match, row) for match, row in zip(matches, known, strict=True) if match >= 0]
        spurious = np.array([row["label"] == "spurious" for _, row in found], dtype=bool)
        selected = features.select(np.array([match for match, _ in found], dtype=np.int64))
        parts.append(Labelled(selected, spurious, np.full(len(found), entry.sky_group)))
    return joined(parts)


def island_at(islands: IslandTable, x: int, y: int) -> int:
    """Row of the island whose peak is at a pixel or whose box alone holds it; -1 if there is none."""
    distance = np.hypot(islands.peak_x - x, islands.peak_y - y)
    if len(distance) and distance.min() <= MATCH_PIXELS:
        return int(np.argmin(distance))
    holds = (islands.x0 <= x) & (x < islands.x1) & (islands.y0 <= y) & (y < islands.y1)
    return int(np.argmax(holds)) if holds.sum() == 1 else -1


def fit(simulated: Labelled, real: Labelled | None) -> ArtefactModel:
    """Boosted trees by gradient descent, with the directions of `DIRECTIONS` imposed."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    parts = [simulated] if real is None else [simulated, real]
    weights = [np.full(len(part.place), weight) for part, weight in zip(parts, (1.0, REAL_WEIGHT), strict=False)]
    booster = HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAST_IN_LEAF,
        l2_regularization=RIDGE,
        monotonic_cst=[DIRECTIONS[name] for name in TERMS],
        early_stopping=False,
        random_state=0,
    )
    whole = joined(parts)
    booster.fit(whole.table, whole.spurious, sample_weight=np.concatenate(weights))
    return trees_of(booster)


def trees_of(booster: Any) -> ArtefactModel:
    """The trees of a fitted booster, all their nodes in one row."""
    nodes = [iteration[0].nodes for iteration in booster._predictors]
    starts = np.cumsum([0, *(len(tree) for tree in nodes)])[:-1]
    start = np.repeat(starts, [len(tree) for tree in nodes])
    whole = np.concatenate(nodes)
    leaf = whole["is_leaf"].astype(bool)
    return ArtefactModel(
        intercept=round(float(booster._baseline_prediction.ravel()[0]), 5),
        roots=starts.astype(np.int64),
        term=np.where(leaf, -1, whole["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, np.round(whole["num_threshold"], 5)),
        low=np.where(leaf, 0, whole["left"] + start).astype(np.int64),
        high=np.where(leaf, 0, whole["right"] + start).astype(np.int64),
        value=np.where(leaf, np.round(whole["value"], 5), 0.0),
    )


def left_out(simulated: Labelled, real: Labelled) -> FloatArray:
    """Probabilities of real islands by models that know nothing of their positions on the sky."""
    places = np.random.default_rng(1).permutation(np.unique(real.place))
    part = {str(place): number % PARTS for number, place in enumerate(places)}
    number = np.array([part[str(place)] for place in real.place])
    probability = np.empty(len(number))
    for hidden in range(PARTS):
        model = fit(simulated, real.select(number != hidden))
        probability[number == hidden] = model.probability(real.select(number == hidden).features)
    return probability


def scores(probability: FloatArray, spurious: BoolArray) -> dict[str, object]:
    """How well probabilities tell spurious islands, and how well they are calibrated."""
    ranks = stats.rankdata(probability)
    n_spurious, n_real = int(spurious.sum()), int((~spurious).sum())
    area = (ranks[spurious].sum() - n_spurious * (n_spurious + 1) / 2) / (n_spurious * n_real)
    cut = np.quantile(probability[~spurious], 0.95, method="inverted_cdf")
    curve = reliability_diagram(probability, spurious, n_bins=10)
    return {
        "islands": len(spurious),
        "spurious": n_spurious,
        "roc_area": round(float(area), 4),
        "rejected_at_0.95_kept": round(float((probability[spurious] > cut).mean()), 4),
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
