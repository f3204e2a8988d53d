"""The network over one window: what it says of each island, and which islands its masks cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.resampling import ResampledGrid, window_channels, window_labels
from neanias_ml.errors import ResourceError
from neanias_ml.extraction import Extraction
from neanias_ml.inference.windows import NetworkWindow
from neanias_ml.models.bundle import ModelBundle
from neanias_ml.models.masks import paste_mask
from neanias_ml.models.predictions import WindowPrediction
from neanias_ml.models.proposals import ProposalSet, island_proposals
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings

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
    n_unions_left_out
        Unions of neighbouring islands beyond the limit on proposals, the least plausible ones.
    on_cpu
        Whether the memory of the GPU did not suffice, so that the window was run on the CPU.
    """

    rows: NDArray[np.int64]
    probabilities: FloatArray
    spurious: FloatArray
    instances: list[FoundInstance]
    n_without_island: int
    n_dropped: int
    n_unions_left_out: int = 0
    on_cpu: bool = False


def proposals_in_window(
    extraction: Extraction, grid: ResampledGrid, planned: NetworkWindow, *, settings: BundleSettings
) -> ProposalSet:
    """Proposals of a window; the first rows are the boxes of ``planned.visible`` in that order."""
    islands = extraction.islands.table.select(planned.visible)
    boxes = grid.boxes_to_grid(np.stack([islands.x0, islands.y0, islands.x1, islands.y1], axis=1))
    boxes -= np.array([planned.window.x0, planned.window.y0] * 2)
    return island_proposals(
        boxes,
        pixels_per_beam=settings.pixels_per_beam,
        fluxes=islands.total_flux,
        shape=planned.window.shape,
        unions_per_tile=settings.architecture.unions_per_tile,
    )


def predict_window(
    extraction: Extraction, grid: ResampledGrid, planned: NetworkWindow, *, bundle: ModelBundle
) -> WindowResult:
    """Run the network over one window, on the CPU if the memory of its device does not suffice."""
    channels = window_channels(extraction, grid, window=planned.window)[bundle.settings.channel_rows]
    proposals = proposals_in_window(extraction, grid, planned, settings=bundle.settings)
    prediction, on_cpu = _prediction(bundle.model, torch.from_numpy(channels), torch.from_numpy(proposals.boxes))
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
        n_unions_left_out=proposals.n_unions_left_out,
        on_cpu=on_cpu,
    )


def _prediction(model: IslandRCNN, image: torch.Tensor, proposals: torch.Tensor) -> tuple[WindowPrediction, bool]:
    """What the network says of an image (C, h, w), and whether its device had too little memory for that."""
    try:
        return _run(model, image, proposals), False
    except torch.OutOfMemoryError:
        pass  # go on outside: the error holds on to what fills the memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    on_cpu = IslandRCNN(model.config, operating_point=model.operating_point).eval()
    on_cpu.load_state_dict(model.state_dict())
    try:
        return _run(on_cpu, image, proposals), True
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "OutOfMemory",
            f"the network needs more memory than there is for a window of {image.shape[2]} x {image.shape[1]} pixels "
            f"with {len(proposals)} regions; end other programs, or run on a machine with more memory",
        ) from error


def _run(model: IslandRCNN, image: torch.Tensor, proposals: torch.Tensor) -> WindowPrediction:
    device = next(model.parameters()).device
    with torch.inference_mode():
        (prediction,) = model(image[None].to(device), [proposals.to(device)])
    assert isinstance(prediction, WindowPrediction)
    return prediction


def _instances(
    extraction: Extraction,
    grid: ResampledGrid,
    planned: NetworkWindow,
    prediction: WindowPrediction,
    labels: NDArray[np.int32],
) -> tuple[list[FoundInstance], int]:
    """Detections that the window owns, and the number of those that cover no island."""
    islands = extraction.islands.table
    offset = np.array([planned.window.x0, planned.window.y0] * 2, dtype=np.float64)
    owned = set(planned.owned.tolist())
    boxes, masks = prediction.boxes.cpu(), prediction.masks.cpu()
    found, n_without = [], 0
    for index in range(len(prediction)):
        part, mask = paste_mask(boxes[index], masks[index], (labels.shape[0], labels.shape[1]))
        ids, counts = np.unique(labels[part][mask.numpy()], return_counts=True)
        ids, counts = ids[ids > 0] - 1, counts[ids > 0]
        covered = counts >= MIN_COVERAGE * grid.scale**2 * islands.n_pixels[ids]
        rows = [int(row) for row in ids[covered]]
        if not rows:
            n_without += 1
            continue
        brightest = max(rows, key=lambda row: (islands.peak_flux[row], -row))
        if brightest not in owned:
            continue
        box = grid.boxes_to_map(boxes[index].double().numpy() + offset)
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
