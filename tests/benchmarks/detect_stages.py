"""Time and peak memory of ``neanias-ml detect`` by stage.

    python -m tests.benchmarks.detect_stages data/sample_map.fits.gz

Each stage runs once, in the order of the command, in one process; the peak of the resident memory is reset before
each (Linux). Importing counts as a stage: it is what a user waits for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def peak_memory_mb() -> float:
    """Largest resident memory since the last reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextmanager
def stage(name: str, rows: list[tuple[str, float, float, float]]) -> Iterator[None]:
    """Time one stage and note its peak memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    rows.append((name, time.perf_counter() - wall, time.process_time() - cpu, peak_memory_mb()))


def run(path: str, *, model: str, write: Callable[[str], None]) -> None:
    """Run all stages and write the table."""
    rows: list[tuple[str, float, float, float]] = []
    with stage("imports", rows):
        from neanias_ml.catalogue import RunRecord, write_catalogue
        from neanias_ml.cli.options import silent_libraries
        from neanias_ml.extraction import SourceFinder
        from neanias_ml.inference.detector import ObjectDetector
        from neanias_ml.maps import read_map, require_usable_pixels
        from neanias_ml.models.bundle import load_bundle
    with silent_libraries():
        with stage("map", rows):
            radio_map = require_usable_pixels(read_map(path))
            _ = radio_map.data
        with stage("model", rows):
            detector = ObjectDetector(load_bundle(model))
        finder = SourceFinder()
        with stage("first extraction (compiled code loaded)", rows):
            finder(radio_map)
        with stage("extraction", rows):
            extraction = finder(radio_map)
        with stage("network and objects", rows):
            catalogue = detector(extraction)
        with tempfile.TemporaryDirectory() as folder, stage("catalogue and pictures", rows):
            write_catalogue(folder, extraction=extraction, catalogue=catalogue, run=RunRecord())
    write(f"{path}: {radio_map.shape[1]} x {radio_map.shape[0]} pixels, {len(extraction.islands)} islands\n")
    write("| stage | wall s | CPU s | peak memory MB |\n|---|---|---|---|")
    for name, wall, cpu, memory in rows:
        write(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |")
    total = [sum(row[column] for row in rows) for column in (1, 2)]
    write(f"| all | {total[0]:.2f} | {total[1]:.2f} | {max(row[3] for row in rows):.0f} |")


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("map")
    parser.add_argument("--model", default="models/island-rcnn-small")
    options = parser.parse_args()
    run(options.map, model=options.model, write=print)


if __name__ == "__main__":
    main()
