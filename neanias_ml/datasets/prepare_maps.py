"""From one map of one source to what is learnt from it: a simulated field, or a labelled real map."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from neanias_ml.datasets.cutout_store import MorphologyCutout
from neanias_ml.datasets.field_names import CROWDED_SUFFIX, SIMULATED
from neanias_ml.datasets.fields import (
    PreparedField,
    covering_windows,
    cut_tile,
    favoured_windows,
    prepare_field,
    prepare_labelled,
)
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.datasets.manifest import SPLITS
from neanias_ml.datasets.prepare_config import PreparationConfig, RealSource
from neanias_ml.datasets.real import RealSet, open_real_set
from neanias_ml.datasets.real.base import entry_seed
from neanias_ml.datasets.real.label_set import LabelFileSet
from neanias_ml.datasets.sky_splits import SkyItem, assign_splits
from neanias_ml.datasets.tiles import IGNORED, PreparedTile
from neanias_ml.extraction import FinderConfig
from neanias_ml.maps import Window
from neanias_ml.simulation import SkyConfig, random_config, simulate_sky
from neanias_ml.simulation.random_config import crowded_population
from neanias_ml.simulation.sources.draws import log_uniform


@dataclass(frozen=True)
class MapTask:
    """One map to cut: its source and split, its number there, and how often it came before."""

    source: str
    split: str
    number: int
    draw: int = 0


@dataclass(frozen=True)
class MapRecord:
    """What came of a map."""

    name: str
    tiles: int
    labelled: int
    """objects with a label (for simulated fields, those that can be seen)"""
    recovered: int
    """of these, objects with an island"""
    islands: int
    ignored_islands: int
    """islands that are not to be learnt from"""
    pairs: int
    """pairs of islands that may belong together"""
    grouped: int
    """objects of at least two islands"""
    cutouts: int
    """objects of known shape"""


class PreparedMap(NamedTuple):
    """What is learnt from a map: by the detector, for grouping islands, and for the shapes of objects."""

    tiles: list[PreparedTile]
    graph: IslandGraph
    cutouts: tuple[MorphologyCutout, ...]
    record: MapRecord


def opened(source: RealSource, real_data: str | None) -> RealSet:
    """The set of a source.

    Parameters
    ----------
    real_data
        Folder of the sets that are known by name; that of ``NEANIAS_REAL_DATA`` when None.
    """
    if source.labels:
        return LabelFileSet(source.labels, name=source.name, is_exhaustive=source.exhaustive)
    return open_real_set(source.name, real_data)


def real_items(sets: Sequence[RealSet]) -> list[SkyItem]:
    """All maps of some sets as far as splits care."""
    return [item for real_set in sets for item in real_set.sky_items]


def real_tasks(config: PreparationConfig, sets: Sequence[RealSet]) -> list[MapTask]:
    """The real maps of all splits; training maps as often as their set weighs."""
    split_of = assign_splits(real_items(sets), shares=config.shares, seed=config.split_seed)
    tasks = []
    for source, real_set in zip(config.real, sets, strict=True):
        for number, item in enumerate(real_set.sky_items):
            split = split_of[item.name]
            draws = _draws(source.weight, item.name) if split == "train" else 1
            tasks += [MapTask(source.name, split, number, draw) for draw in range(draws)]
    return tasks


def _draws(weight: float, name: str) -> int:
    """Passes over one map: the whole part of the weight, and one more for a share of the maps."""
    rest, whole = math.modf(weight)
    chance = np.random.default_rng(list(name.encode())).uniform()
    return int(whole) + (chance < rest)


def prepared_map(
    task: MapTask, config: PreparationConfig, *, class_labels: Mapping[str, int], real_data: str | None = None
) -> PreparedMap:
    """One map made ready; the same configuration and task give the same result."""
    if task.source == SIMULATED:
        field, windows = _simulated_field(task, config, class_labels)
    else:
        field, windows = _real_field(task, config, class_labels, real_data)
    tiles = [cut_tile(field, window) for window in windows]
    tiles = [tile for tile in tiles if _teaches(tile, simulated=task.source == SIMULATED)] or tiles[:1]
    record = MapRecord(
        name=field.name,
        tiles=len(tiles),
        labelled=field.n_labelled,
        recovered=len(field.labels),
        islands=len(field.island_instance),
        ignored_islands=int((field.island_instance == IGNORED).sum()),
        pairs=len(field.graph.pairs),
        grouped=field.graph.n_grouped,
        cutouts=len(field.cutouts),
    )
    return PreparedMap(tiles, field.graph, field.cutouts, record)


def _simulated_field(
    task: MapTask, config: PreparationConfig, class_labels: Mapping[str, int]
) -> tuple[PreparedField, list[Window]]:
    rng = np.random.default_rng([config.seed, SPLITS.index(task.split), task.number])
    sky_config = training_config(rng, size=int(rng.choice(config.field_sizes)), artefacts=config.artefact_fraction)
    is_crowded = bool(rng.uniform() < config.crowded_fraction)
    if is_crowded:
        population = crowded_population(rng, sky_config.population)
        sky_config = dataclasses.replace(sky_config, population=population)
    sky = simulate_sky(sky_config, seed=int(rng.integers(2**62)))
    field = prepare_field(
        sky,
        name=f"{task.split}-{task.number:05d}{CROWDED_SUFFIX if is_crowded else ''}",
        finder=_finder(task, config, rng),
        class_labels=class_labels,
        pixels_per_beam=config.pixels_per_beam,
    )
    if task.split == "train":
        return field, favoured_windows(field, rng, count=config.tiles_per_field, size=config.tile_size)
    return field, covering_windows(field.shape, size=config.tile_size)


def _real_field(
    task: MapTask, config: PreparationConfig, class_labels: Mapping[str, int], real_data: str | None
) -> tuple[PreparedField, list[Window]]:
    source = next(source for source in config.real if source.name == task.source)
    real_set = _kept_open(source, real_data)
    entry = real_set.entries[task.number]
    rng = np.random.default_rng([config.seed, SPLITS.index(task.split), entry_seed(task.draw, entry)])
    labelled = real_set.read(entry, seed=int(rng.integers(2**62)))
    field = prepare_labelled(
        labelled.radio_map,
        labelled.image,
        name=f"{source.name}:{entry.name}",
        finder=_finder(task, config, rng),
        class_labels=class_labels,
        pixels_per_beam=config.pixels_per_beam,
        is_exhaustive=real_set.is_exhaustive,
    )
    size = config.tile_size
    if task.split != "train":
        return field, covering_windows(field.shape, size=size, centred=True)
    count = min(config.tiles_per_field, math.ceil(field.shape[0] * field.shape[1] / size**2))
    if len(field.labels) == 0:
        count = 1
    # windows without a label would hold nothing but ignored islands
    share = 0.2 if real_set.is_exhaustive else 0.0
    return field, favoured_windows(field, rng, count=count, size=size, random_share=share)


@lru_cache(maxsize=8)
def _kept_open(source: RealSource, real_data: str | None) -> RealSet:
    """The set of a source, read once in each process."""
    return opened(source, real_data)


def _finder(task: MapTask, config: PreparationConfig, rng: np.random.Generator) -> FinderConfig:
    """The finder of a map: with another seed threshold for each training map."""
    if task.split != "train":
        return config.finder
    return dataclasses.replace(config.finder, seed_threshold=float(rng.uniform(*config.seed_jitter)))


def _teaches(tile: PreparedTile, *, simulated: bool) -> bool:
    """Whether a tile is worth keeping: one with data, and of a real map one with something that is known."""
    known = simulated or len(tile.labels) > 0 or bool(tile.learnable_islands.any())
    return known and bool(tile.valid.any())


def training_config(rng: np.random.Generator, *, size: int, artefacts: float) -> SkyConfig:
    """A random field; a share ``artefacts`` of them has extra bright sources and worse imaging.

    What is worse is the deconvolution, which leaves copies of the dirty beam, or the calibration, which leaves crests
    with troughs beside them, or both: real maps show both kinds.
    """
    config = random_config(rng, size=size)
    if rng.uniform() >= artefacts:
        return config
    kind = rng.choice(["residuals", "calibration", "both"], p=[0.35, 0.45, 0.2])
    faulty = _badly_cleaned(rng, config) if kind != "calibration" else config
    return _badly_calibrated(rng, faulty, is_clean=kind == "calibration") if kind != "residuals" else faulty


def _badly_cleaned(rng: np.random.Generator, config: SkyConfig) -> SkyConfig:
    """The field with more bright sources, and more left of their sidelobes."""
    factor = rng.uniform(1.0, 3.0)
    population, imaging = config.population, config.imaging
    return dataclasses.replace(
        config,
        population=dataclasses.replace(population, bright_sources=population.bright_sources + rng.uniform(1.0, 4.0)),
        imaging=dataclasses.replace(
            imaging,
            clean_depth=min(0.5, max(imaging.clean_depth, 0.01) * factor),
            gain_amplitude_error=min(0.3, max(imaging.gain_amplitude_error, 0.01) * factor),
            gain_phase_error=min(40.0, max(imaging.gain_phase_error, 1.0) * factor),
        ),
    )


def _badly_calibrated(rng: np.random.Generator, config: SkyConfig, *, is_clean: bool) -> SkyConfig:
    """The field with very bright sources whose antenna gains are off, as in snapshots that nobody self-calibrated.

    Parameters
    ----------
    is_clean
        Whether deconvolution leaves next to nothing, so that calibration shows alone.
    """
    population, imaging = config.population, config.imaging
    return dataclasses.replace(
        config,
        population=dataclasses.replace(
            population,
            bright_sources=population.bright_sources + rng.uniform(1.0, 5.0),
            maximum_snr=max(population.maximum_snr, log_uniform(rng, 500.0, 5000.0)),
        ),
        imaging=dataclasses.replace(
            imaging,
            clean_depth=min(imaging.clean_depth, 0.002) if is_clean else imaging.clean_depth,
            gain_amplitude_error=max(imaging.gain_amplitude_error, log_uniform(rng, 0.02, 0.25)),
            gain_phase_error=max(imaging.gain_phase_error, log_uniform(rng, 1.5, 20.0)),
        ),
    )
