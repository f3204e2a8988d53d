"""`SourceFinder`: the whole classical extraction of a map in one call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.artefacts.evidence import artefact_evidence
from neanias_ml.extraction.bands import in_memory
from neanias_ml.extraction.components.decompose import Decomposition, decompose
from neanias_ml.extraction.components.table import component_table
from neanias_ml.extraction.finder_config import FinderConfig
from neanias_ml.extraction.islands.gather import GatheredIslands, gather
from neanias_ml.extraction.islands.measure import integrated_flux_error, measure_islands
from neanias_ml.extraction.islands.purity import seed_for_purity
from neanias_ml.extraction.islands.runs import Runs
from neanias_ml.extraction.islands.search import Excursions, islands_above, scan_map
from neanias_ml.extraction.islands.wings import grown_sums
from neanias_ml.extraction.nested.table import nested_islands
from neanias_ml.extraction.noise.background import estimate_noise, estimate_without
from neanias_ml.extraction.noise.model import NoiseModel, SuppliedNoise
from neanias_ml.extraction.shapes.measure import shape_table, sky_shapes
from neanias_ml.extraction.tables import Extraction, Islands, IslandTable, NegativeCheck
from neanias_ml.maps import RadioMap

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""

MARGIN_FWHM = 0.5
"""Radius in beam widths around an island that its total flux and its fit take in."""
WINGS_BEAMS = 6.0
"""Extended islands of at least this many beam areas have their total flux followed outwards ..."""
WINGS_FWHM = 3.0
"""... to at most this many beam widths."""


@dataclasses.dataclass(frozen=True)
class FoundIslands:
    """Islands of a map before they are fitted.

    Attributes
    ----------
    islands
        Their runs and measures.
    gathered
        Their pixels, with a margin.
    excursions
        All regions above the merge threshold, of both signs.
    seed
        Seed threshold that was used.
    """

    islands: Islands
    gathered: GatheredIslands
    excursions: Excursions
    seed: float


class SourceFinder:
    """Finds islands, what is inside them and their components in radio maps.

    Parameters
    ----------
    config
        Thresholds and settings of all stages; the defaults are CAESAR's 5 and 2.6 sigma.
    rows
        Rows of a map that are worked on at a time; None for about a million pixels. A matter of memory only.
    workers
        Threads. The result depends neither on them nor on ``rows``.

    Examples
    --------
    >>> extraction = SourceFinder(FinderConfig(seed_threshold=4.5))(radio_map)  # doctest: +SKIP
    """

    def __init__(self, config: FinderConfig | None = None, *, rows: int | None = None, workers: int = 1) -> None:
        self.config = config or FinderConfig()
        self.rows = rows
        self.workers = workers
        self.timings: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"SourceFinder({self.config})"

    def __call__(
        self, radio_map: RadioMap, *, noise: SuppliedNoise | None = None, progress: Progress | None = None
    ) -> Extraction:
        """Extract one map; ``noise`` takes the place of the estimate, ``progress`` hears of every stage."""
        self.timings = {}
        report = progress or (lambda stage, done, total: None)
        source = in_memory(radio_map, rows=self.rows)
        with self._stage("background", "background and noise", report):
            noise_model = self.noise_of(source, supplied=noise)
        with self._stage("islands", "islands", report):
            noise_model, found = self._iterated_islands(source, noise_model)
        with self._stage("components", "components", report):
            parts = decompose(
                source,
                found.gathered.pixels,
                found.islands.table,
                fit=self.config.fit,
                seed=found.seed,
                nested=self.config.nested,
                search_nested=self.config.search_nested,
                workers=self.workers,
            )
        with self._stage("descriptors", "shapes and artefact evidence", report):
            extraction = self._assembled(radio_map, source, noise_model, found, parts)
        if self.config.search_extended:
            from neanias_ml.extraction.extended.diffuse import diffuse_islands

            with self._stage("extended", "extended emission", report):
                extraction = diffuse_islands(
                    extraction,
                    source,
                    config=self.config.extended,
                    background=self.config.background,
                    workers=self.workers,
                    progress=progress,
                )
        return extraction

    def noise_of(self, radio_map: RadioMap, *, supplied: SuppliedNoise | None = None) -> NoiseModel:
        """Background and noise of a map: the user's own, or the estimate."""
        if supplied is not None:
            supplied.require_shape(radio_map.shape)
            return supplied
        return estimate_noise(radio_map, config=self.config.background, workers=self.workers)

    def find_islands(self, radio_map: RadioMap, noise_model: NoiseModel, *, seed: float | None = None) -> FoundIslands:
        """Label and measure the islands of a map with known background and noise."""
        config = self.config
        excursions = scan_map(
            radio_map,
            noise_model,
            merge=config.merge_threshold,
            connectivity=config.connectivity,
            rows=self.rows,
            workers=self.workers,
        )
        least = self._least_pixels(radio_map)
        if config.target_purity is not None:
            seed = seed_for_purity(
                excursions.positive,
                excursions.negative,
                target=config.target_purity,
                min_pixels=least,
                merge=config.merge_threshold,
            )
        seed = config.seed_threshold if seed is None else seed
        runs = islands_above(excursions.positive, seed=seed, min_pixels=least)
        gathered = self._gather(radio_map, noise_model, runs)
        table = measure_islands(
            radio_map,
            gathered,
            merge=config.merge_threshold,
            extended_flux_excess=config.extended_flux_excess,
        )
        table = self._with_wings(radio_map, noise_model, runs, table)
        return FoundIslands(Islands(runs, table, radio_map.shape), gathered, excursions, seed)

    def _iterated_islands(self, radio_map: RadioMap, noise_model: NoiseModel) -> tuple[NoiseModel, FoundIslands]:
        """Islands with the seed lowered step by step, each time with the noise outside those found before."""
        config = self.config
        found = self.find_islands(radio_map, noise_model)
        for step in range(1, config.seed_iterations):
            seed = found.seed - config.seed_step
            if seed <= config.merge_threshold or config.target_purity is not None:
                break
            if not isinstance(noise_model, SuppliedNoise):
                noise_model = estimate_without(
                    radio_map, found.islands.runs, config=config.background, workers=self.workers
                )
            found = self.find_islands(radio_map, noise_model, seed=config.seed_threshold - step * config.seed_step)
        return noise_model, found

    def _assembled(
        self, radio_map: RadioMap, source: RadioMap, noise_model: NoiseModel, found: FoundIslands, parts: Decomposition
    ) -> Extraction:
        """Tables on the sky, nested islands, the negative check, and descriptors."""
        islands, pixels = found.islands.table, found.gathered.pixels.without_margin()
        negatives = self.negative_check(source, noise_model, found)
        evidence = artefact_evidence(
            source,
            islands=islands,
            negatives=negatives.table,
            noise=noise_model,
            merge_threshold=self.config.merge_threshold,
            workers=self.workers,
        )
        counts = np.bincount(parts.fitted.island_row, minlength=len(islands))
        islands = islands.replace(n_components=counts, p_spurious=evidence.p_spurious)
        nested, own_flux = nested_islands(source, islands, found.gathered.pixels, parts)
        islands = islands.replace(own_flux=own_flux)
        return Extraction(
            radio_map=radio_map,
            noise=noise_model,
            islands=Islands(found.islands.runs, islands, radio_map.shape),
            components=component_table(radio_map, islands, parts.fitted, nested_ids=_ids(nested, parts)),
            nested=nested,
            diffuse=Islands.none(radio_map.shape),
            negatives=negatives,
            shapes=shape_table(pixels, beam_fwhm=radio_map.beam_fwhm, workers=self.workers),
            sky_shapes=sky_shapes(pixels, radio_map=radio_map, workers=self.workers),
            evidence=evidence,
        )

    def negative_check(self, radio_map: RadioMap, noise_model: NoiseModel, found: FoundIslands) -> NegativeCheck:
        """Islands of the inverted map above the thresholds with which those of the map were found."""
        runs = islands_above(
            found.excursions.negative, seed=found.seed, min_pixels=self._least_pixels(radio_map)
        )
        gathered = self._gather(radio_map, noise_model, runs).inverted()
        table = measure_islands(
            radio_map,
            gathered,
            merge=self.config.merge_threshold,
            extended_flux_excess=self.config.extended_flux_excess,
        )
        return NegativeCheck(table, found.seed, len(found.islands))

    def _with_wings(
        self, radio_map: RadioMap, noise_model: NoiseModel, runs: Runs, table: IslandTable
    ) -> IslandTable:
        """Total fluxes of large extended islands with all of their wings."""
        large = (table.kind == "extended") & (table.n_beams >= WINGS_BEAMS)
        if not large.any():
            return table
        fwhm, area, rows = radio_map.beam_fwhm, radio_map.beam_area, np.flatnonzero(large)
        gathered = gather(
            radio_map, noise_model, runs, margin=WINGS_FWHM * fwhm, only=rows, rows=self.rows, workers=self.workers
        )
        sums, pixels = grown_sums(gathered, beam_area=area, ring=0.5 * fwhm)
        total, error = table.total_flux.copy(), table.total_flux_err.copy()
        total[rows], error[rows] = sums / area, integrated_flux_error(table.local_rms[rows], pixels, area)
        return table.replace(total_flux=total, total_flux_err=error, own_flux=total)

    def _gather(self, radio_map: RadioMap, noise_model: NoiseModel, runs: Runs) -> GatheredIslands:
        margin = max(1.5, MARGIN_FWHM * radio_map.beam_fwhm)  # at least all neighbours
        return gather(radio_map, noise_model, runs, margin=margin, rows=self.rows, workers=self.workers)

    def _least_pixels(self, radio_map: RadioMap) -> int:
        return max(1, round(self.config.min_beam_fraction * radio_map.beam_area))

    @contextmanager
    def _stage(self, name: str, title: str, report: Progress) -> Iterator[None]:
        """Time a stage and tell of its beginning and end."""
        report(title, 0, 1)
        started = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - started
        report(title, 1, 1)


def _ids(nested: Islands, parts: Decomposition) -> NDArray[np.int64]:
    """Id of the nested island that each component was fitted in, 0 for none."""
    return np.append(nested.table.island_id, 0)[parts.nested_index]
