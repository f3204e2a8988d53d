"""From the pixels of islands to fitted components: batches over threads, moments where no fit holds."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.components.deblending import Search
from neanias_ml.extraction.components.fit_assembly import assembled
from neanias_ml.extraction.components.fit_batch import FitColumns, error_batch, search_batch
from neanias_ml.extraction.components.fit_config import FitConfig
from neanias_ml.extraction.components.fit_errors import correlation_table
from neanias_ml.extraction.components.fit_model import SHAPE_PARAMETERS
from neanias_ml.extraction.components.fit_preparation import lattice_step, prepare
from neanias_ml.extraction.components.fit_results import FittedComponents, StartPeaks
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.maps import FWHM_PER_SIGMA

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

BATCH_PIXELS = 30_000
"""Pixels of the islands that a thread takes at once."""
SAMPLES_PER_FWHM = 2.25
"""Beams sampled more finely than this along their minor axis are thinned. Sums over products of two beam-shaped
functions equal their integrals to better than 1e-3 then (Poisson's formula): neighbouring pixels say the same."""


def fit_islands(
    pixels: IslandPixels,
    *,
    beam_covariance: FloatArray,
    point_covariance: FloatArray | None = None,
    config: FitConfig | None = None,
    seed: float = 5.0,
    with_offset: BoolArray | None = None,
    starts: StartPeaks | None = None,
    workers: int = 1,
) -> FittedComponents:
    """Take islands apart into Gaussian components.

    Parameters
    ----------
    pixels
        N islands with a margin of about half a beam (``inside`` False), in any order of islands.
    beam_covariance
        (2, 2) pixel covariance of the beam, axes (x, y).
    point_covariance
        (2, 2) pixel covariance of a point source in the map; the beam's by default.
    config
        Settings of the search.
    seed
        Least signal to noise of a peak that starts a component.
    with_offset
        (N,) islands that lie on extended emission: a plane is fitted under their components.
    starts
        Peaks to start from instead of those found in the pixels.
    workers
        Threads; the result does not depend on their number.

    Returns
    -------
    FittedComponents
        At least one component for each island: the island's moments where no fit holds.
    """
    config = config or FitConfig()
    count = len(pixels)
    offset = np.zeros(count, dtype=np.bool_) if with_offset is None else np.asarray(with_offset, dtype=np.bool_)
    given = starts or StartPeaks(np.zeros(count + 1, dtype=np.int64), np.zeros(0), np.zeros(0))
    point = beam_covariance if point_covariance is None else point_covariance
    beam = _Beam.of(beam_covariance, point, config)

    def fit(rows: NDArray[np.int64]) -> FittedComponents:
        own = pixels.select(rows)
        part = prepare(
            own,
            config=config,
            seed=seed,
            starts=given.select(rows),
            with_offset=offset[rows],
            step=beam.step,
        )
        columns = _blank_columns(len(rows), config.max_components)
        search_batch(part.data, beam.search, beam.narrow, beam.wide, columns)
        error_batch(part.data, beam.search.beam, beam.correlation, config.max_components, columns)
        return assembled(part, columns, pixels=own, rows=rows, beam_covariance=beam.covariance)

    batches = _batches(pixels.offsets)
    if workers > 1 and len(batches) > 1:
        with ThreadPoolExecutor(workers) as pool:
            return FittedComponents.joined(list(pool.map(fit, batches)))
    return FittedComponents.joined([fit(rows) for rows in batches])


@dataclass(frozen=True)
class _Beam:
    """What the beam means for the fits: its covariance, standard deviations, noise correlation and lattice.

    ``search.beam`` is the shape of a point source, which a smeared map shows wider than the beam.
    """

    covariance: FloatArray
    narrow: float
    wide: float
    correlation: FloatArray
    step: int
    search: Search

    @classmethod
    def of(cls, beam_covariance: FloatArray, point_covariance: FloatArray, config: FitConfig) -> _Beam:
        covariance = np.asarray(beam_covariance, dtype=np.float64)
        lower = np.linalg.cholesky(np.asarray(point_covariance, dtype=np.float64))
        narrow, wide = (float(width) for width in np.sqrt(np.linalg.eigvalsh(covariance)))
        search = Search(
            correlated=2.0 * math.pi * narrow * wide,
            evidence=float(config.evidence),
            shape_evidence=float(config.evidence_for_shape),
            added=math.log(config.min_added_snr),
            kept=math.log(config.min_kept_snr),
            most=int(config.max_components),
            largest=float(config.max_search_beams),
            iterations=int(config.max_iterations),
            beam=np.array([math.log(lower[0, 0]), lower[1, 0], math.log(lower[1, 1])]),
        )
        step = lattice_step(FWHM_PER_SIGMA * narrow, samples=SAMPLES_PER_FWHM)
        return cls(covariance, narrow, wide, correlation_table(covariance), step, search)


def _batches(offsets: IntArray) -> list[IntArray]:
    """Runs of islands of about `BATCH_PIXELS` pixels, whatever the number of threads."""
    if len(offsets) == 1:
        return [np.zeros(0, dtype=np.int64)]
    cuts = np.flatnonzero(np.diff(offsets[:-1] // BATCH_PIXELS)) + 1
    return np.split(np.arange(len(offsets) - 1), cuts)


def _blank_columns(count: int, most: int) -> FitColumns:
    slots = count * most
    return FitColumns(
        parameters=np.zeros((slots, SHAPE_PARAMETERS)),
        errors=np.zeros((slots, SHAPE_PARAMETERS, SHAPE_PARAMETERS)),
        free=np.zeros(slots, dtype=np.bool_),
        plane=np.zeros((count, 3)),
        found=np.zeros(count, dtype=np.int64),
        parameter_count=np.zeros(count, dtype=np.int64),
        ended=np.zeros(count, dtype=np.int64),
        squares=np.zeros(count),
        criterion=np.zeros(count),
    )
