"""How much of faint shells, disks and filaments each search for extended emission recovers, at equal false rates.

    python -m tests.benchmarks.extended_recovery

Maps without extended emission (noise of the beam, point sources below 5 sigma, what is left of brighter ones, in one of
four the sidelobes of a bright source) set for each method the score that one region in ten maps of 1024 x 1024 pixels
reaches. Regions above that score are then compared with injected shapes. "Within" is the share of the found pixels no
further than a beam from a shape. The plain flood takes islands of pixels above 2.6 sigma that hold one above 5 sigma,
as large as the smallest region of the other methods.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from neanias_ml.extraction.extended import METHODS, ExtendedConfig
from neanias_ml.extraction.extended.search import find_extended
from neanias_ml.extraction.islands.search import label_islands
from tests.extraction.extended.scenes import (
    SHAPES,
    Scene,
    compact_residuals,
    correlated_noise,
    sidelobes,
    with_shapes,
)

BEAM = 5.0
SIZE = 1024
FALSE_PER_MAP = 0.1
Search = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Map to label image and score of each region."""


@dataclass(frozen=True)
class Recovered:
    """Share of the pixels and of the flux of one shape, and the number of regions that hold it."""

    pixels: float
    flux: float
    pieces: int


def residual_map(seed: int, *, bright_sources: int) -> np.ndarray:
    """A map without extended emission."""
    rng = np.random.default_rng(seed)
    image = correlated_noise(rng, size=SIZE, beam=BEAM) + compact_residuals(rng, size=SIZE, beam=BEAM)
    if bright_sources:
        image += sidelobes(rng, size=SIZE, beam=BEAM, sources=bright_sources)
    return image


def search_with(method: str) -> Search:
    """All regions of a method down to its merge threshold, with their scores."""
    if method == "flood":
        return _flood
    config = ExtendedConfig(method=method, seed_evidence=ExtendedConfig().merge_evidence)

    def search(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        regions = find_extended(lambda window: image[window.slices], shape=image.shape, beam_fwhm=BEAM, config=config)
        return regions.labels(image.shape), regions.score

    return search


def _flood(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    smallest = int(ExtendedConfig().min_beams * np.pi * BEAM**2 / (4 * np.log(2)))
    labels = label_islands(image, seed=5.0, merge=2.6, min_pixels=smallest)
    return labels, np.full(labels.max(initial=0), np.inf)


def score_threshold(search: Search, noise_maps: list[np.ndarray]) -> float:
    """The score that `FALSE_PER_MAP` regions per map exceed."""
    scores = np.sort(np.concatenate([search(image)[1] for image in noise_maps]))[::-1]
    allowed = int(FALSE_PER_MAP * len(noise_maps))
    return float(scores[allowed]) if len(scores) > allowed else -np.inf


def recover(search: Search, scene: Scene, *, threshold: float) -> tuple[dict[str, list[Recovered]], float]:
    """What the regions above a score hold of every shape of a scene, by kind, and the share of them within shapes."""
    labels, score = search(scene.significance)
    labels = np.where(np.concatenate([[False], score > threshold])[labels], labels, 0)
    out: dict[str, list[Recovered]] = {kind: [] for kind in SHAPES}
    for number, kind in enumerate(scene.kinds, start=1):
        shape = scene.footprints == number
        held = labels[shape] > 0
        flux = scene.emission[shape]
        pieces = len(np.unique(labels[shape][held]))
        out[kind].append(Recovered(float(held.mean()), float(flux[held].sum() / flux.sum()), pieces))
    near = ndimage.binary_dilation(scene.footprints > 0, iterations=round(BEAM))
    return out, float(near[labels > 0].mean()) if labels.any() else np.nan


def scenes_of(brightness: float, *, number: int, seed: int) -> list[Scene]:
    """Scenes with nine shapes of one kind each: in mixed ones a wide region around a disk would pass for a filament."""
    return [
        with_shapes(
            np.random.default_rng(seed + index), size=SIZE, beam=BEAM, brightness=brightness, kinds=(kind,) * 9,
            background=residual_map(seed + index, bright_sources=0),
        )
        for index, kind in enumerate(SHAPES * number)
    ]  # fmt: skip


def run(*, noise_maps: int, scenes: int, brightness: tuple[float, ...], seed: int) -> None:
    """Print the table."""
    empty = [residual_map(seed + index, bright_sources=index % 4 == 3) for index in range(noise_maps)]
    injected = {level: scenes_of(level, number=scenes, seed=seed + 1000 + int(100 * level)) for level in brightness}
    heads = [f"{kind} {level:g}" for kind in SHAPES for level in brightness]
    print(f"Pixels / flux recovered, percent, by kind and surface brightness in sigma; {9 * scenes} shapes each;")
    print(f"at {FALSE_PER_MAP} false regions per {SIZE} x {SIZE} map of {noise_maps} (flood: as it is).\n")
    print("| method | " + " | ".join(heads) + " | mean | within | pieces | ns/pixel |")
    print("|---|" + "---|" * (len(heads) + 4))
    for method in ("flood", *METHODS):
        search = search_with(method)
        search(empty[0])
        start = time.process_time()
        threshold = -np.inf if method == "flood" else score_threshold(search, empty)
        if method == "flood":
            _ = [search(image) for image in empty]
        cost = (time.process_time() - start) / (noise_maps * SIZE**2) * 1e9
        found = {
            level: [recover(search, scene, threshold=threshold) for scene in scenes_at]
            for level, scenes_at in injected.items()
        }
        cells = [[one for shapes, _ in found[level] for one in shapes[kind]] for kind in SHAPES for level in brightness]
        pieces = [one.pieces for cell in cells for one in cell if one.pieces]
        row = [f"{_percent(one.pixels for one in cell)} / {_percent(one.flux for one in cell)}" for cell in cells]
        mean = _percent(one.pixels for cell in cells for one in cell)
        within = [share for level in brightness for _, share in found[level] if np.isfinite(share)]
        row += [str(mean), str(_percent(within)) if within else "-"]
        row += [f"{np.mean(pieces) if pieces else 0:.2f}", f"{cost:.0f}"]
        print(f"| {method} | " + " | ".join(row) + " |", flush=True)


def _percent(values) -> int:  # type: ignore[no-untyped-def]
    return round(100 * float(np.mean(list(values))))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise-maps", type=int, default=20)
    parser.add_argument("--scenes", type=int, default=1, help="scenes per kind and brightness, nine shapes each")
    parser.add_argument("--brightness", type=float, nargs="+", default=[0.7, 1.0, 1.5, 2.5])
    parser.add_argument("--seed", type=int, default=7000)
    options = parser.parse_args()
    run(
        noise_maps=options.noise_maps,
        scenes=options.scenes,
        brightness=tuple(options.brightness),
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
