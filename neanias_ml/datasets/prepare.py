"""Preparation of training data: simulated skies and labelled real maps to files of tiles, graphs and cutouts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neanias_ml
from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.cutout_store import CUTOUT_SUFFIX, MorphologyCutout, cutout_settings, write_cutouts
from neanias_ml.datasets.field_names import SIMULATED
from neanias_ml.datasets.graph_store import GRAPH_SUFFIX, graph_settings, write_graphs
from neanias_ml.datasets.graphs import IslandGraph
from neanias_ml.datasets.manifest import (
    MANIFEST_FILE,
    SOURCES_FILE,
    SPLITS,
    check_plan,
    missing_files,
    write_json,
    write_manifest,
)
from neanias_ml.datasets.prepare_config import PreparationConfig, RealSource
from neanias_ml.datasets.prepare_maps import MapRecord, MapTask, opened, prepared_map, real_items, real_tasks
from neanias_ml.datasets.real import RealSet
from neanias_ml.datasets.shards import SHARD_SUFFIX, read_shard, write_shard
from neanias_ml.datasets.sky_splits import assign_splits, membership
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.maps import file_digest

__all__ = ["PreparationConfig", "RealSource", "is_prepared", "prepare_data"]

Progress = Callable[[str], None]
"""Called with one line of text."""
Classes = Mapping[str, int]


@dataclass(frozen=True)
class ShardTask:
    """One unit of work: some maps of one source and split into one shard of tiles and what goes beside it."""

    maps: tuple[MapTask, ...]
    path: Path

    @property
    def record_path(self) -> Path:
        """The file beside the shard that says what came of each map."""
        return self.path.with_suffix(".json")

    @property
    def graph_path(self) -> Path:
        """The file of the maps' islands as graphs."""
        return self.path.with_suffix(GRAPH_SUFFIX)

    @property
    def cutout_path(self) -> Path:
        """The file of the maps' objects of known shape."""
        return self.path.with_suffix(CUTOUT_SUFFIX)

    @property
    def is_done(self) -> bool:
        """Whether all files are there."""
        return all(path.exists() for path in (self.path, self.record_path, self.graph_path, self.cutout_path))


def prepare_data(
    config: PreparationConfig,
    directory: Path | str,
    *,
    class_labels: Classes,
    real_data: Path | str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Simulate or read, extract and cut all splits; shards that exist are kept, so an interrupted run goes on.

    Parameters
    ----------
    class_labels
        Label of each class name.
    real_data
        Folder of the sets of real maps; that of the environment variable ``NEANIAS_REAL_DATA`` when omitted.
    workers
        Processes; the result does not depend on their number.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    InputError
        ``OtherData`` if the folder was prepared with other settings or from other maps, ``RealSetMissing`` if a set is
        not there, ``SplitConflict`` if maps of the same sky are held for different splits.
    """
    folder, report = Path(directory), progress or (lambda text: None)
    root = os.fspath(real_data) if real_data is not None else None
    sets = [opened(source, root) for source in config.real]
    check_plan(folder, _plan(config, class_labels))
    check_plan(folder, {one.name: {"maps": len(one), "digest": one.digest} for one in sets}, name=SOURCES_FILE)
    tasks = list(_tasks(config, sets, folder))
    missing = [task for task in tasks if not task.is_done]
    report(f"preparing {len(missing)} of {len(tasks)} shards in {folder}")
    started = time.monotonic()
    for done, _ in enumerate(_run(missing, config, class_labels, root, workers), start=1):
        left = (time.monotonic() - started) / done * (len(missing) - done)
        report(f"shard {done}/{len(missing)}, about {left / 60:.1f} min left")
    return write_manifest(folder, _manifest(config, sets, tasks, class_labels))


def is_prepared(config: PreparationConfig, directory: Path | str, *, class_labels: Classes) -> bool:
    """Whether a folder holds the complete data of a configuration; the real maps need not be at hand.

    Raises
    ------
    InputError
        ``OtherData`` if it holds those of another configuration.
    """
    folder = Path(directory)
    if not (folder / MANIFEST_FILE).is_file():
        return False
    check_plan(folder, _plan(config, class_labels))
    return not missing_files(folder)


def _tasks(config: PreparationConfig, sets: Sequence[RealSet], folder: Path) -> Iterator[ShardTask]:
    """Shards of all splits: those of the simulation, then those of each real set."""
    maps = [MapTask(SIMULATED, split, number) for split in SPLITS for number in range(config.n_fields(split))]
    by_shard: dict[tuple[str, str], list[MapTask]] = defaultdict(list)
    for task in (*maps, *real_tasks(config, sets)):
        by_shard[task.split, task.source].append(task)
    for (split, source), members in by_shard.items():
        for index, start in enumerate(range(0, len(members), config.fields_per_shard)):
            chosen = tuple(members[start : start + config.fields_per_shard])
            yield ShardTask(chosen, folder / split / f"{source}-{index:04d}{SHARD_SUFFIX}")


def _run(
    tasks: list[ShardTask], config: PreparationConfig, class_labels: Classes, root: str | None, workers: int
) -> Iterator[None]:
    if workers <= 1:
        for task in tasks:
            _prepare_shard(task, config, dict(class_labels), root)
            yield
        return
    # spawned, because forked children of a process with running threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        yield from _completed(pool, tasks, config, class_labels, root)


def _completed(
    pool: Executor, tasks: list[ShardTask], config: PreparationConfig, class_labels: Classes, root: str | None
) -> Iterator[None]:
    futures: list[Future[None]] = [
        pool.submit(_prepare_shard, task, config, dict(class_labels), root) for task in tasks
    ]
    try:
        for future in as_completed(futures):
            future.result()
            yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # or an error would be told only after all other work
        raise


def _prepare_shard(task: ShardTask, config: PreparationConfig, class_labels: Classes, root: str | None) -> None:
    tiles: list[PreparedTile] = []
    graphs: list[IslandGraph] = []
    cutouts: list[MorphologyCutout] = []
    records = []
    for map_task in task.maps:
        prepared = prepared_map(map_task, config, class_labels=class_labels, real_data=root)
        tiles += prepared.tiles
        graphs.append(prepared.graph)
        cutouts += prepared.cutouts
        records.append(dataclasses.asdict(prepared.record))
    task.path.parent.mkdir(parents=True, exist_ok=True)
    write_json(task.record_path, {"maps": records})
    write_graphs(task.graph_path, graphs)
    write_cutouts(task.cutout_path, cutouts)
    write_shard(task.path, tiles)


def _plan(config: PreparationConfig, class_labels: Classes) -> dict[str, Any]:
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    return {
        "configuration": settings,
        "class_labels": dict(class_labels),
        "channels": list(CHANNEL_NAMES),
        "graphs": graph_settings(),
        "cutouts": cutout_settings(),
    }


def _manifest(
    config: PreparationConfig, sets: Sequence[RealSet], tasks: Sequence[ShardTask], class_labels: Classes
) -> dict[str, Any]:
    plan = _plan(config, class_labels)
    items = real_items(sets)
    split_of = assign_splits(items, shares=config.shares, seed=config.split_seed)
    finder = json.dumps(plan["configuration"]["finder"], sort_keys=True).encode()
    return {
        **plan,
        "extractor": {"version": neanias_ml.__version__, "digest": hashlib.sha256(finder).hexdigest()},
        "sources": {one.name: {"maps": len(one), "digest": one.digest} for one in sets},
        "splits": {
            split: _split_summary([task for task in tasks if task.maps[0].split == split], class_labels)
            for split in SPLITS
        },
        "sky": membership(items, split_of),
    }


def _split_summary(tasks: Sequence[ShardTask], class_labels: Classes) -> dict[str, Any]:
    """Counts of a split, in all and by source, and the digest of each file."""
    names = {label: name for name, label in class_labels.items()}
    by_source: dict[str, dict[str, Any]] = {}
    total: Counter[str] = Counter()
    for task in tasks:
        source = by_source.setdefault(task.maps[0].source, {"maps": 0, **dict.fromkeys(_COUNTED, 0), "instances": {}})
        records = [MapRecord(**record) for record in json.loads(task.record_path.read_text(encoding="utf-8"))["maps"]]
        source["maps"] += len(records)
        for count in _COUNTED:
            source[count] += sum(getattr(record, count) for record in records)
        found = Counter(names[label] for tile in read_shard(task.path) for label in tile.labels.tolist())
        source["instances"] = dict(Counter(source["instances"]) + found)
        total += found
    return {
        "fields": sum(source["maps"] for source in by_source.values()),
        "tiles": sum(source["tiles"] for source in by_source.values()),
        "instances": dict(total),
        "sources": by_source,
        **{count: sum(source[count] for source in by_source.values()) for count in ("pairs", "grouped")},
        "shards": {task.path.name: file_digest(task.path) for task in tasks},
        "graphs": {task.graph_path.name: file_digest(task.graph_path) for task in tasks},
        "cutouts": {task.cutout_path.name: file_digest(task.cutout_path) for task in tasks},
    }


_COUNTED = ("tiles", "labelled", "recovered", "islands", "ignored_islands", "pairs", "grouped", "cutouts")
"""Numbers of a `MapRecord` that add up."""
