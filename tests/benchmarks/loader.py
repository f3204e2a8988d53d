"""Samples per second and core of the loader: reading alone, each variation by itself, and loader processes.

    python -m tests.benchmarks.loader [--data FOLDER] [--tiles 200] [--workers 0 1 2]

``--data`` names a folder of prepared tiles with its manifest; without it, tiles of generated skies are written to a
temporary folder. The yardstick of reading is what came before: the same tiles as a compressed ``.npz``, of which
nothing can be read but the whole. One core is one thread: rates by CPU time, which a busy machine does not change;
those of loader processes by the clock.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.manifest import write_manifest
from neanias_ml.datasets.shards import SHARD_SUFFIX, write_shard
from neanias_ml.datasets.tile_store import TileStore
from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.datasets.variation.augmentation import AugmentConfig, TileAugmentation
from neanias_ml.datasets.variation.reobserve import IslandRule
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.training.detector.batches import TileDataset, TileView
from neanias_ml.training.detector.data_module import TileDataModule
from neanias_ml.training.sampling import Draw
from tests.datasets.tile_makers import sky_tile

NOTHING = AugmentConfig(symmetries=False)
VARIATIONS = {
    "none": NOTHING,
    "symmetries": AugmentConfig(),
    "noise error": replace(NOTHING, noise_jitter=0.1),
    "added noise": replace(NOTHING, fade=1.0),
    "copied object": replace(NOTHING, paste_objects=1.0),
    "copied artefact": replace(NOTHING, paste_artefacts=1.0),
    "rotation and scale": replace(NOTHING, rotate=1.0),
    "usual mixture": AugmentConfig(noise_jitter=0.1, fade=0.5, paste_objects=0.3, paste_artefacts=0.3),
    "all at once": AugmentConfig(noise_jitter=0.1, fade=1.0, paste_objects=1.0, paste_artefacts=1.0, rotate=1.0),
}


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """CPU time of one call, the first left out: it opens files and loads code."""
    work(0)
    started = time.process_time()
    for number in range(count):
        work(number)
    return 1e3 * (time.process_time() - started) / count


def generated(folder: Path) -> Path:
    """A prepared folder of 100 tiles of 256 x 256 pixels in two shards."""
    for shard in range(2):
        tiles = [sky_tile(100 * shard + row, size=256, sources=12, field=f"f{row // 5}") for row in range(50)]
        for split in ("train", "validation", "test"):
            write_shard(folder / split / f"shard-{shard:04d}{SHARD_SUFFIX}", tiles)
    settings = {"configuration": {"pixels_per_beam": 6.0, "finder": {}}}
    write_manifest(folder, settings | {"channels": list(CHANNEL_NAMES), "class_labels": dict(CLASS_LABELS)})
    return folder


def compressed(tiles: Sequence[PreparedTile]) -> bytes:
    """The maps of some tiles as ``.npz``."""
    stream = io.BytesIO()
    names = ("channels", "instances", "islands")
    arrays = {name: np.stack([getattr(tile, name) for tile in tiles]) for name in names}
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def reading(store: TileStore, *, count: int) -> None:
    """Print the cost of reading tiles at random, in both formats."""
    part = store[:50]
    old = compressed(part)

    def whole(_: int) -> object:
        with np.load(io.BytesIO(old)) as stored:
            return [stored[name] for name in stored.files]

    rows = np.random.default_rng(0).integers(0, len(store), count).tolist()
    size = sum(path.stat().st_size for path in store.paths) / len(store) / 1e3
    decoding = milliseconds(whole, 3)
    one = milliseconds(lambda number: store[rows[number]], count)
    print("| tiles on disk | kB per tile | ms for one tile at random | ms per tile, all in a row | tiles/s and core |")
    print("|---|---|---|---|---|")
    print(f"| compressed .npz | {len(old) / len(part) / 1e3:.0f} | {decoding:.1f} | {decoding / len(part):.2f} "
          f"| {1e3 * len(part) / decoding:.0f} |")  # fmt: skip
    print(f"| mapped shard | {size:.0f} | {one:.2f} | {one:.2f} | {1e3 / one:.0f} |")
    print(f"| ratio | {size * 1e3 * len(part) / len(old):.2f} | {decoding / one:.0f} x faster "
          f"| {decoding / len(part) / one:.1f} x faster | |\n")  # fmt: skip


def variations(store: TileStore, *, rule: IslandRule, count: int) -> None:
    """Print the cost of a whole sample (tile, variation, proposals, target) for each variation."""
    print("| variation | ms per sample | samples/s and core | times none |\n|---|---|---|---|")
    none = float("nan")
    for name, config in VARIATIONS.items():
        augmentation = TileAugmentation(config, islands=rule, class_labels=CLASS_LABELS)
        dataset = TileDataset(store, view=TileView(pixels_per_beam=rule.pixels_per_beam), augmentation=augmentation)
        cost = milliseconds(lambda number, data=dataset: data[Draw(number % len(store), position=number)], count)
        none = cost if name == "none" else none
        print(f"| {name} | {cost:.2f} | {1e3 / cost:.0f} | {cost / none:.1f} |", flush=True)
    print()


def processes(folder: Path, *, workers: Sequence[int], count: int) -> None:
    """Print the rate of whole batches of the usual mixture by the number of loader processes."""
    print("| loader processes | samples/s | times none |\n|---|---|---|")
    alone = float("nan")
    for number in workers:
        module = TileDataModule(folder, batch_size=10, workers=number, augment=VARIATIONS["usual mixture"])
        try:
            loader = module.train_dataloader()
            next(iter(loader))  # starts the processes
            started, seen = time.perf_counter(), 0
            while seen < count:
                for batch in loader:
                    seen += len(batch.images)
                    if seen >= count:
                        break
            rate = seen / (time.perf_counter() - started)
        finally:
            module.teardown()
        alone = rate if number == 0 else alone
        print(f"| {number} | {rate:.0f} | {rate / alone:.2f} |", flush=True)


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of prepared tiles with manifest.json")
    parser.add_argument("--tiles", type=int, default=200, help="samples that each figure is the mean of")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2], help="numbers of loader processes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or generated(Path(temporary))
        module = TileDataModule(folder)
        store = module.tiles("train")
        print(f"{len(store)} tiles of {store[0].size} pixels in {len(store.paths)} shards\n")
        reading(store, count=options.tiles)
        rule = IslandRule(pixels_per_beam=module.view.pixels_per_beam)
        variations(store, rule=rule, count=options.tiles)
        processes(folder, workers=options.workers, count=options.tiles)


if __name__ == "__main__":
    main()
