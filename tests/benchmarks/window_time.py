"""Time of the detection stage for a window with islands, by step, on one core.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.window_time data/sample_map.fits.gz

The map is extracted once. Windows of 256 x 256 pixels that hold islands, and those of the bundle's own size, go through
what `neanias_ml.inference.predict.predict_window` does: channels and proposals from the map, the network, masks brought
to islands. Times are medians over the windows, of the processor (not of the clock: other programs do not count), and
per 256 x 256 pixels.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from neanias_ml.datasets.resampling import ResampledGrid
from neanias_ml.extraction import Extraction, SourceFinder
from neanias_ml.inference.predict import predict_window
from neanias_ml.inference.windows import NetworkWindow, plan_windows
from neanias_ml.maps import read_map, require_usable_pixels
from neanias_ml.models.bundle import ModelBundle, load_bundle
from neanias_ml.models.config import TILE_SIDE
from tests.benchmarks.extraction_tables import markdown

STEPS = ("backbone", "rpn", "region_head", "mask_head")
"""Parts of the network that are timed one by one."""


@contextmanager
def timed_parts(model: torch.nn.Module, spent: dict[str, float]) -> Iterator[None]:
    """Add the processor time of each part's calls to ``spent``."""
    handles = []
    for name in STEPS:
        part = getattr(model, name)
        if part is None:
            continue

        def begin(*_: Any, name: str = name) -> None:
            spent[name] -= time.process_time()

        def end(*_: Any, name: str = name) -> None:
            spent[name] += time.process_time()

        handles += [part.register_forward_pre_hook(begin), part.register_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def window_times(
    extraction: Extraction, windows: list[NetworkWindow], grid: ResampledGrid, *, bundle: ModelBundle
) -> dict[str, float]:
    """Median seconds of each step and of all, per window; the rest is channels, proposals, pooling and masks."""
    columns: dict[str, list[float]] = defaultdict(list)
    predict_window(extraction, grid, windows[0], bundle=bundle)
    for planned in windows:
        spent: dict[str, float] = defaultdict(float)
        started = time.process_time()
        with timed_parts(bundle.model, spent):
            predict_window(extraction, grid, planned, bundle=bundle)
        spent["all"] = time.process_time() - started
        spent["rest"] = spent["all"] - sum(spent[name] for name in STEPS)
        for name, seconds in spent.items():
            columns[name].append(seconds)
    return {name: float(np.median(values)) for name, values in columns.items()}


def run(path: str, *, model: str, most: int, write: Callable[[str], None]) -> None:
    """Time the windows of a map and write the table."""
    bundle = load_bundle(model)
    extraction = SourceFinder()(require_usable_pixels(read_map(path)))
    grid = ResampledGrid.of(extraction.radio_map, pixels_per_beam=bundle.settings.pixels_per_beam)
    rows = []
    for size in sorted({TILE_SIDE, bundle.settings.window_size}):
        windows = plan_windows(extraction.islands.table, grid, window_size=size)[:most]
        times = window_times(extraction, windows, grid, bundle=bundle)
        share = (TILE_SIDE / size) ** 2
        islands = np.mean([len(planned.visible) for planned in windows])
        cells = [f"{times[name] * share:.3f}" for name in (*STEPS, "rest", "all")]
        rows.append([f"{size} x {size}", str(len(windows)), f"{islands:.1f}", *cells])
    write(f"{path}, {model}: seconds of {torch.get_num_threads()} thread(s) per {TILE_SIDE} x {TILE_SIDE} pixels\n")
    write(markdown(["window", "windows", "islands in each", *STEPS, "rest", "all"], rows))


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map")
    parser.add_argument("--model", default="models/island-rcnn-small")
    parser.add_argument("--most", type=int, default=24, help="windows of each size")
    options = parser.parse_args()
    run(options.map, model=options.model, most=options.most, write=print)


if __name__ == "__main__":
    main()
