"""The network over one window: what it says of each island, and which islands its masks cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.resampling import ResampledGrid, window_channels, window_labels
from neanias_ml.extraction import Extraction
from neanias_ml.inference.windows import NetworkWindow
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.masks import paste_masks
from neanias_ml.models.predictions import WindowPrediction
from neanias_ml.models.proposals import island_proposals

FloatArray = NDArray[np.float64]
MIN_COVERAGE = 0.5
"""A mask covers an island when it holds at least this part of its pixels."""


@dataclass(frozen=True)
class FoundInstance:
    """One detection of the network in map pixels.

    Attributes
    ----------
    box
        (4,) xyxy map pixels, half-open.
    probabilities
        (6,) background and classes.
    rows
        Rows of the islands that its mask covers.
    """

    box: FloatArray
    score: float
    probabilities: FloatArray
    spurious: float
    rows: tuple[int, ...]


@dataclass(frozen=True)
class WindowResult:
    """What the network said in a window.

    Attributes
    ----------
    rows
        (K,) rows of the islands that the window owns.
    probabilities, spurious
        (K, 6) and (K,) of each of them, read at its own box.
    instances
        Detections whose brightest island the window owns.
    n_without_island
        Detections that cover no island; they are not catalogued.
    n_dropped
        Detections beyond the network's limit per window.
    """

    rows: NDArray[np.int64]
    probabilities: FloatArray
    spurious: FloatArray
    instances: list[FoundInstance]
    n_without_island: int
    n_dropped: int


def proposals_in_window(
    extraction: Extraction, grid: ResampledGrid, planned: NetworkWindow, *, pixels_per_beam: float
) -> torch.Tensor:
    """Proposals (P, 4) of a window; the first rows are the boxes of ``planned.visible`` in that order."""
    islands = extraction.islands.table.select(planned.visible)
    boxes = grid.boxes_to_grid(np.stack([islands.x0, islands.y0, islands.x1, islands.y1], axis=1))
    boxes -= np.array([planned.window.x0, planned.window.y0] * 2)
    proposals = island_proposals(
        boxes, pixels_per_beam=pixels_per_beam, fluxes=islands.total_flux, shape=planned.window.shape
    )
    return torch.from_numpy(proposals.boxes)


def predict_window(
    extraction: Extraction, grid: ResampledGrid, planned: NetworkWindow, *, bundle: ModelBundle
) -> WindowResult:
    """Run the network over one window."""
    channels = torch.from_numpy(window_channels(extraction, grid, window=planned.window))
    proposals = proposals_in_window(extraction, grid, planned, pixels_per_beam=bundle.settings.pixels_per_beam)
    device = next(bundle.model.parameters()).device
    with torch.inference_mode():
        (prediction,) = bundle.model(channels[None].to(device), [proposals.to(device)])
    labels = window_labels(extraction.islands.labels, grid, window=planned.window)
    instances, n_without = _instances(extraction, grid, planned, prediction, labels)
    own = np.searchsorted(planned.visible, planned.owned)
    return WindowResult(
        rows=planned.owned,
        probabilities=prediction.readout_probabilities[own].double().cpu().numpy(),
        spurious=prediction.readout_spurious[own].double().cpu().numpy(),
        instances=instances,
        n_without_island=n_without,
        n_dropped=prediction.n_dropped,
    )


def _instances(
    extraction: Extraction,
    grid: ResampledGrid,
    planned: NetworkWindow,
    prediction: WindowPrediction,
    labels: NDArray[np.int32],
) -> tuple[list[FoundInstance], int]:
    """Detections that the window owns, and the number of those that cover no island."""
    islands = extraction.islands.table
    sizes = islands.n_pixels * grid.scale**2
    offset = np.array([planned.window.x0, planned.window.y0] * 2, dtype=np.float64)
    owned = set(planned.owned.tolist())
    found, n_without = [], 0
    for index in range(len(prediction)):
        mask = paste_masks(prediction.boxes[index, None], prediction.masks[index, None], labels.shape)[0].cpu().numpy()
        ids, counts = np.unique(labels[mask], return_counts=True)
        rows = [int(i) - 1 for i, n in zip(ids, counts, strict=True) if i > 0 and n >= MIN_COVERAGE * sizes[i - 1]]
        if not rows:
            n_without += 1
            continue
        brightest = max(rows, key=lambda row: (islands.peak_flux[row], -row))
        if brightest not in owned:
            continue
        box = grid.boxes_to_map(prediction.boxes[index].double().cpu().numpy() + offset)
        found.append(
            FoundInstance(
                box=box,
                score=float(prediction.scores[index]),
                probabilities=prediction.probabilities[index].double().cpu().numpy(),
                spurious=float(prediction.spurious[index]),
                rows=tuple(rows),
            )
        )
    return found, n_without
