"""Preparation of training data: simulated skies to shards of tiles, split by sky, with a manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.fields import covering_windows, cut_tile, favoured_windows, prepare_field
from neanias_ml.datasets.manifest import MANIFEST_FILE, SPLITS, check_plan, write_manifest
from neanias_ml.datasets.resampling import PIXELS_PER_BEAM
from neanias_ml.datasets.shards import SHARD_SUFFIX, read_shard, write_shard
from neanias_ml.datasets.tiles import TILE_SIZE, PreparedTile
from neanias_ml.extraction import FinderConfig
from neanias_ml.simulation import SkyConfig, random_config, simulate_sky

Progress = Callable[[str], None]
"""Called with one line of text."""


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """What is simulated and how it is cut."""

    train_fields: int = 300
    """simulated fields for training"""
    validation_fields: int = 30
    """fields for calibration and thresholds"""
    test_fields: int = 30
    """fields for the reported metrics"""
    field_sizes: tuple[int, ...] = (512, 640, 768)
    """sides of the fields in map pixels, one drawn for each"""
    tiles_per_field: int = 10
    """tiles of a training field; validation and test fields are covered by adjoining tiles"""
    fields_per_shard: int = 5
    """fields in one file; the unit of work and of resuming"""
    artefact_fraction: float = 0.6
    """share of training fields with extra bright sources and calibration errors, for spurious and flagged examples"""
    seed_jitter: tuple[float, float] = (4.5, 6.0)
    """range of the seed threshold in training fields; the others use the finder's own"""
    tile_size: int = TILE_SIZE
    """side of a tile in grid pixels"""
    pixels_per_beam: float = PIXELS_PER_BEAM
    """sampling of the grid"""
    finder: FinderConfig = field(default_factory=FinderConfig)
    """extraction, the same as at inference"""
    seed: int = 20240
    """seed of everything"""

    def n_fields(self, split: str) -> int:
        """Number of fields of a split."""
        return {"train": self.train_fields, "validation": self.validation_fields, "test": self.test_fields}[split]


@dataclass(frozen=True)
class ShardTask:
    """One unit of work: some fields of a split into one file."""

    split: str
    fields: tuple[int, ...]
    path: Path


def prepare_data(
    config: PreparationConfig,
    directory: Path | str,
    *,
    class_labels: Mapping[str, int],
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Simulate, extract and cut all splits; shards that exist are kept, so an interrupted run goes on.

    Parameters
    ----------
    class_labels
        Label of each class name.
    workers
        Processes; the result does not depend on their number.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    InputError
        ``OtherData`` if the folder was prepared with other settings.
    """
    folder, report = Path(directory), progress or (lambda text: None)
    check_plan(folder, _plan(config, class_labels))
    tasks = list(_tasks(config, folder))
    missing = [task for task in tasks if not task.path.exists()]
    report(f"preparing {len(missing)} of {len(tasks)} shards in {folder}")
    started = time.monotonic()
    for done, _ in enumerate(_run(missing, config, class_labels, workers), start=1):
        left = (time.monotonic() - started) / done * (len(missing) - done)
        report(f"shard {done}/{len(missing)}, about {left / 60:.1f} min left")
    return write_manifest(folder, _manifest(config, tasks, class_labels))


def is_prepared(config: PreparationConfig, directory: Path | str, *, class_labels: Mapping[str, int]) -> bool:
    """Whether a folder holds the complete data of a configuration."""
    folder = Path(directory)
    if not (folder / MANIFEST_FILE).is_file():
        return False
    check_plan(folder, _plan(config, class_labels))
    return all(task.path.exists() for task in _tasks(config, folder))


def field_tiles(
    config: PreparationConfig, *, split: str, number: int, class_labels: Mapping[str, int]
) -> list[PreparedTile]:
    """Tiles of one field; the same configuration, split and number give the same tiles."""
    rng = np.random.default_rng([config.seed, SPLITS.index(split), number])
    training = split == "train"
    sky_config = training_config(rng, size=int(rng.choice(config.field_sizes)), artefacts=config.artefact_fraction)
    sky = simulate_sky(sky_config, seed=int(rng.integers(2**62)))
    threshold = float(rng.uniform(*config.seed_jitter)) if training else config.finder.seed_threshold
    prepared = prepare_field(
        sky,
        name=f"{split}-{number:05d}",
        finder=dataclasses.replace(config.finder, seed_threshold=threshold),
        class_labels=class_labels,
        pixels_per_beam=config.pixels_per_beam,
    )
    if training:
        windows = favoured_windows(prepared, rng, count=config.tiles_per_field, size=config.tile_size)
    else:
        windows = covering_windows(prepared.shape, size=config.tile_size)
    return [cut_tile(prepared, window) for window in windows]


def training_config(rng: np.random.Generator, *, size: int, artefacts: float) -> SkyConfig:
    """A random field; a share ``artefacts`` of them has extra bright sources and worse calibration."""
    config = random_config(rng, size=size)
    if rng.uniform() >= artefacts:
        return config
    factor = rng.uniform(1.0, 3.0)
    return dataclasses.replace(
        config,
        bright_sources=config.bright_sources + rng.uniform(1.0, 4.0),
        clean_depth=min(0.5, max(config.clean_depth, 0.01) * factor),
        gain_amplitude_error=min(0.3, max(config.gain_amplitude_error, 0.01) * factor),
        gain_phase_error=min(40.0, max(config.gain_phase_error, 1.0) * factor),
    )


def _tasks(config: PreparationConfig, folder: Path) -> Iterator[ShardTask]:
    for split in SPLITS:
        numbers = range(config.n_fields(split))
        for index, start in enumerate(range(0, len(numbers), config.fields_per_shard)):
            fields = tuple(numbers[start : start + config.fields_per_shard])
            yield ShardTask(split, fields, folder / split / f"shard-{index:04d}{SHARD_SUFFIX}")


def _run(
    tasks: list[ShardTask], config: PreparationConfig, class_labels: Mapping[str, int], workers: int
) -> Iterator[None]:
    if workers <= 1:
        for task in tasks:
            _prepare_shard(task, config, dict(class_labels))
            yield
        return
    # spawned, because forked children of a process with running threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        yield from _completed(pool, tasks, config, class_labels)


def _completed(
    pool: Executor, tasks: list[ShardTask], config: PreparationConfig, class_labels: Mapping[str, int]
) -> Iterator[None]:
    futures: list[Future[None]] = [pool.submit(_prepare_shard, task, config, dict(class_labels)) for task in tasks]
    try:
        for future in as_completed(futures):
            future.result()
            yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # or an error would be told only after all other work
        raise


def _prepare_shard(task: ShardTask, config: PreparationConfig, class_labels: Mapping[str, int]) -> None:
    tiles: list[PreparedTile] = []
    for number in task.fields:
        tiles.extend(field_tiles(config, split=task.split, number=number, class_labels=class_labels))
    write_shard(task.path, tiles)


def _plan(config: PreparationConfig, class_labels: Mapping[str, int]) -> dict[str, Any]:
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    return {"configuration": settings, "class_labels": dict(class_labels), "channels": list(CHANNEL_NAMES)}


def _manifest(config: PreparationConfig, tasks: list[ShardTask], class_labels: Mapping[str, int]) -> dict[str, Any]:
    plan = _plan(config, class_labels)
    names = {label: name for name, label in class_labels.items()}
    splits: dict[str, Any] = {}
    for split in SPLITS:
        counts: Counter[str] = Counter()
        shards: dict[str, str] = {}
        tiles = 0
        for task in (task for task in tasks if task.split == split):
            shards[task.path.name] = hashlib.sha256(task.path.read_bytes()).hexdigest()
            for tile in read_shard(task.path):
                tiles += 1
                counts.update(names[label] for label in tile.labels.tolist())
        splits[split] = {"fields": config.n_fields(split), "tiles": tiles, "instances": dict(counts), "shards": shards}
    digest = hashlib.sha256(json.dumps([plan, splits], sort_keys=True).encode()).hexdigest()
    return {**plan, "splits": splits, "digest": digest}
