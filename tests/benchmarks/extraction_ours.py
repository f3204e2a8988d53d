"""Our extraction of one map in a warm process: CPU by stage, and its catalogue in the form the scoring reads.

    python -m tests.benchmarks.extraction_ours MAP FOLDER [--repeat 3] [--no-maps]

Writes ``cat.csv``, ``labels.npy``, ``rms.npy``, ``bkg.npy`` and ``stages.json`` into the folder. Every function that a
module of ``neanias_ml.extraction`` takes from another one is timed, without what it calls in turn of a third one, and
its CPU time counts for the module that defines it: the stages follow the code, whatever it is split into.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import json
import pkgutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml import extraction as room
from neanias_ml.cli.options import silent_libraries
from neanias_ml.extraction import Extraction, FinderConfig, Islands, SourceFinder, SourceFlag
from neanias_ml.maps import RadioMap, read_map

FloatArray = NDArray[np.float64]

STAGES = {
    "bands": "read",
    "noise": "background and noise",
    "islands": "islands and moments",
    "components": "fits",
    "nested": "nested",
    "shapes": "descriptors",
    "artefacts": "artefact evidence",
    "extended": "extended",
    "tables": "tables",
}
"""Stage of what a folder or module of the room does; small modules besides these do no work."""
OTHER = "other"
SPURIOUS_PROBABILITY = 0.5
WARM_UP_PIXELS = 512


def catalogue_rows(extraction: Extraction) -> FloatArray:
    """Rows (N, 8) ``x, y, peak, flux, major, minor, pa, island`` (pixels, Jy/beam, Jy, arcsec, degrees).

    One row per component and one per diffuse region, without those of islands that are more likely spurious than not.
    A component of moments stands for emission that no Gaussian describes: an island without a fit, whose row has the
    island's peak, or what an extended island holds beside the sources inside it. Their centroid may lie in a hole, so
    that their row stands at the pixel of the island next to it.
    """
    table = extraction.components
    columns = ("x", "y", "peak_flux", "total_flux", "major", "minor", "pa", "island_id")
    rows = np.column_stack([getattr(table, name) for name in columns]).astype(np.float64)
    top = {int(number): row for row, number in enumerate(extraction.islands.table.island_id)}
    for row in np.flatnonzero(table.fit_quality == 0):
        island = top.get(int(table.island_id[row]))
        if island is not None:
            rows[row, :2] = own_pixel(extraction.islands, island, rows[row, 0], rows[row, 1])
            if not table.flags[row] & SourceFlag.REMAINDER:
                rows[row, 2] = extraction.islands.table.peak_flux[island]
    kept = ~np.isin(table.island_id, spurious_islands(extraction))
    return np.concatenate([rows[kept], _diffuse_rows(extraction)])


def own_pixel(islands: Islands, row: int, x: float, y: float) -> tuple[float, float]:
    """The place itself where it lies in the island, else the island's pixel next to it."""
    table = islands.table
    inside_y, inside_x = np.nonzero(islands.mask(row))
    distance = np.hypot(inside_x + table.x0[row] - x, inside_y + table.y0[row] - y)
    nearest = int(distance.argmin())
    if distance[nearest] < 1.0:
        return x, y
    return float(inside_x[nearest] + table.x0[row]), float(inside_y[nearest] + table.y0[row])


def spurious_islands(extraction: Extraction) -> NDArray[np.int64]:
    """Identifiers of the islands that are more likely spurious than not, and of those nested in them."""
    table = extraction.all_islands
    spurious = table.island_id[np.nan_to_num(table.p_spurious) > SPURIOUS_PROBABILITY]
    for level in range(1, int(table.level.max(initial=0)) + 1):
        children = table.island_id[(table.level == level) & np.isin(table.parent_id, spurious)]
        spurious = np.union1d(spurious, children)
    return spurious.astype(np.int64)


def _diffuse_rows(extraction: Extraction) -> FloatArray:
    """Rows of the regions that the search for extended emission added: the flux of their own."""
    table = extraction.diffuse.table
    arcsec = extraction.radio_map.pixel_scale * 3600.0
    places = [own_pixel(extraction.diffuse, row, table.x[row], table.y[row]) for row in range(len(table))]
    x, y = np.array(places).reshape(-1, 2).T
    shape = [table.major * arcsec, table.minor * arcsec, table.pixel_angle - 90.0, table.island_id]
    return np.column_stack([x, y, table.peak_flux, table.own_flux, *shape]).astype(np.float64)


def label_map(extraction: Extraction) -> NDArray[np.int32]:
    """Islands of the map and, where they leave room, diffuse regions with numbers of their own."""
    labels, diffuse = extraction.islands.labels, extraction.diffuse.labels
    return np.where((labels == 0) & (diffuse > 0), diffuse + len(extraction.islands), labels).astype(np.int32)


class StageClock:
    """CPU seconds by stage of the extraction room, exclusive of the stages that a stage calls."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._local = threading.local()

    def watch(self) -> None:
        """Put the clock around every function that one module of the room takes from another."""
        prefix = room.__name__ + "."
        for found in pkgutil.walk_packages(room.__path__, prefix):
            importlib.import_module(found.name)
        modules = {name: module for name, module in sys.modules.items() if name.startswith(prefix)}
        for name, module in modules.items():
            for attribute, value in list(vars(module).items()):
                origin = getattr(value, "__module__", None)
                if origin in modules and origin != name and inspect.isfunction(value):
                    setattr(module, attribute, self._timed(value))
        for module in modules.values():
            for value in list(vars(module).values()):
                if inspect.isclass(value) and value.__module__ == module.__name__ and not issubclass(value, Exception):
                    self._watch_methods(value)

    def _watch_methods(self, owner: type) -> None:
        """Public methods of a class count for the class's module."""
        if owner is SourceFinder:
            return
        for attribute, value in list(vars(owner).items()):
            if inspect.isfunction(value) and not attribute.startswith("_"):
                setattr(owner, attribute, self._timed(value))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        part = function.__module__.removeprefix(room.__name__ + ".").partition(".")[0]
        stage = STAGES.get(part, OTHER)

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            result = self._run(stage, function, *arguments, **options)
            return self._steps(stage, result) if inspect.isgenerator(result) else result

        return timed

    def _steps(self, stage: str, steps: Iterator[Any]) -> Iterator[Any]:
        """The items of a generator, each one's work timed."""
        nothing = object()
        while (item := self._run(stage, next, steps, nothing)) is not nothing:
            yield item

    def _run(self, stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        inner = getattr(self._local, "inner", 0.0)
        self._local.inner = 0.0
        started = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            spent = time.thread_time() - started
            self.seconds[stage] += spent - self._local.inner
            self._local.inner = inner + spent


def timed_extraction(
    radio_map: RadioMap, *, config: FinderConfig, repeat: int, workers: int
) -> tuple[Extraction, dict[str, float], float]:
    """Extract after a warm-up; median CPU seconds by stage, the rest under ``other``, and the best wall seconds."""
    clock = StageClock()
    if workers == 1:
        clock.watch()
    finder = SourceFinder(config, workers=workers)
    finder(_corner(radio_map))
    runs, walls = [], []
    for _ in range(repeat):
        clock.seconds.clear()
        started, wall = time.process_time(), time.perf_counter()
        extraction = finder(radio_map)
        whole = time.process_time() - started
        walls.append(time.perf_counter() - wall)
        untold = whole - sum(clock.seconds.values())
        runs.append({**clock.seconds, OTHER: clock.seconds.get(OTHER, 0.0) + untold})
    stages = {stage: float(np.median([run.get(stage, 0.0) for run in runs])) for stage in runs[-1]}
    return extraction, stages, min(walls)


def _corner(radio_map: RadioMap) -> RadioMap:
    """A piece of the map to compile and load everything with."""
    data = radio_map.data[:WARM_UP_PIXELS, :WARM_UP_PIXELS]
    return RadioMap.from_array(data, beam=radio_map.beam, pixel_scale=radio_map.pixel_scale)


def main() -> None:
    """Extract the map and write what the scoring and the tables read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("map", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-maps", action="store_true", help="times alone, no label and noise maps")
    parser.add_argument("--extended", action="store_true", help="with the search for extended emission")
    parser.add_argument("--workers", type=int, default=1, help="threads; with more than one no stages are told apart")
    options = parser.parse_args()
    config = FinderConfig(search_extended=options.extended)
    options.folder.mkdir(parents=True, exist_ok=True)
    with silent_libraries():
        started = time.process_time()
        radio_map = read_map(options.map)
        _ = radio_map.data
        reading = time.process_time() - started
        extraction, stages, wall = timed_extraction(
            radio_map, config=config, repeat=options.repeat, workers=options.workers
        )
    rows = catalogue_rows(extraction)
    header = "x,y,peak,flux,maj,min,pa,isl"
    np.savetxt(options.folder / "cat.csv", rows, delimiter=",", header=header, comments="", fmt="%.8g")
    if not options.no_maps:
        np.save(options.folder / "labels.npy", label_map(extraction))
        for name, values in zip(("bkg", "rms"), extraction.noise.evaluate(), strict=True):
            np.save(options.folder / f"{name}.npy", values)
    counts = {"n_cat": len(rows), "islands": len(extraction.islands), "components": len(extraction.components)}
    report = {"stages_cpu": {"read": reading, **stages}, "wall": wall, **counts}
    (options.folder / "stages.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
