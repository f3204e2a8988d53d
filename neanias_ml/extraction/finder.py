"""`SourceFinder`: background and noise, islands, measurements and components of a map in one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import UsageError
from neanias_ml.extraction.background import BackgroundConfig, estimate_noise
from neanias_ml.extraction.components import FitContext, fit_island
from neanias_ml.extraction.islands import label_islands
from neanias_ml.extraction.measure import measure_islands
from neanias_ml.extraction.sky_shapes import component_table
from neanias_ml.extraction.tables import Extraction, Islands
from neanias_ml.maps import RadioMap

FloatMap = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""


@dataclass(frozen=True)
class FinderConfig:
    """Settings of the classical extraction."""

    seed_threshold: float = 5.0
    """an island holds a pixel of at least this signal to noise"""
    merge_threshold: float = 2.6
    """an island reaches down to this signal to noise"""
    connectivity: int = 8
    """neighbours that join pixels into an island: 4 or 8"""
    min_beam_fraction: float = 0.25
    """islands smaller than this part of the beam area are dropped"""
    extended_flux_excess: float = 0.4
    """islands whose total over peak flux exceeds a point source's by more than this are extended"""
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    """background and noise mesh"""

    def __post_init__(self) -> None:
        if not 0 < self.merge_threshold <= self.seed_threshold:
            raise UsageError(
                "Thresholds",
                f"the merge threshold ({self.merge_threshold}) must be positive and not above the seed "
                f"threshold ({self.seed_threshold}); lower it or raise the seed",
            )
        if self.connectivity not in (4, 8):
            raise UsageError("Connectivity", f"connectivity must be 4 or 8, not {self.connectivity}")
        if not self.min_beam_fraction >= 0 or not self.extended_flux_excess > 0:
            raise UsageError(
                "FinderConfig", "min_beam_fraction must not be negative and extended_flux_excess must be positive"
            )


class SourceFinder:
    """Finds islands and components in radio maps.

    Parameters
    ----------
    config
        Thresholds and mesh; defaults are CAESAR's 5 and 2.6 sigma.

    Examples
    --------
    >>> extraction = SourceFinder(FinderConfig(seed_threshold=4.5))(radio_map)  # doctest: +SKIP
    """

    def __init__(self, config: FinderConfig | None = None) -> None:
        self.config = config or FinderConfig()
        self.timings: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"SourceFinder({self.config})"

    def __call__(self, radio_map: RadioMap, *, progress: Progress | None = None) -> Extraction:
        """Extract one map; ``progress`` hears of every stage."""
        report = progress or (lambda stage, done, total: None)
        report("background and noise", 0, 1)
        started = time.perf_counter()
        noise_model = estimate_noise(radio_map, config=self.config.background)
        self.timings = {"background": time.perf_counter() - started}
        report("background and noise", 1, 1)
        started = time.perf_counter()
        background, noise = noise_model.evaluate()
        islands = self.find_islands(radio_map, background=background, noise=noise)
        self.timings["islands"] = time.perf_counter() - started
        started = time.perf_counter()
        context = FitContext(radio_map, islands.labels, background, islands.table, self.config.seed_threshold)
        fitted = []
        report("islands fitted", 0, len(islands))
        for row in range(len(islands)):
            fitted.append(fit_island(context, row=row))
            report("islands fitted", row + 1, len(islands))
        self.timings["components"] = time.perf_counter() - started
        counts = np.array([len(components) for components in fitted], dtype=np.int64)
        return Extraction(
            radio_map=radio_map,
            noise=noise_model,
            islands=Islands(labels=islands.labels, table=islands.table.replace(n_components=counts)),
            components=component_table(radio_map, islands.table, list(chain.from_iterable(fitted))),
        )

    def find_islands(self, radio_map: RadioMap, *, background: FloatMap, noise: FloatMap) -> Islands:
        """Label and measure the islands of a map with known background and noise (Jy/beam, (ny, nx))."""
        config = self.config
        labels = label_islands(
            (radio_map.data - background) / noise,
            seed=config.seed_threshold,
            merge=config.merge_threshold,
            min_pixels=max(2, round(config.min_beam_fraction * radio_map.beam_area)),
            connectivity=config.connectivity,
        )
        table = measure_islands(
            radio_map,
            labels,
            background=background,
            noise=noise,
            merge=config.merge_threshold,
            extended_flux_excess=config.extended_flux_excess,
        )
        return Islands(labels=labels, table=table)
