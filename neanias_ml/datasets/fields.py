"""From one field, simulated or real, to tiles, graph and cutouts: extraction, observed truth, resampling, windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.channels import CHANNEL_NAMES, significance
from neanias_ml.datasets.cutout_store import MorphologyCutout
from neanias_ml.datasets.cutouts import Morphologies, labelled_morphologies, object_cutouts, simulated_morphologies
from neanias_ml.datasets.graphs import UNLABELLED, IslandGraph, island_graph
from neanias_ml.datasets.labelled_truth import labelled_truth, require_classes
from neanias_ml.datasets.labels.labelled import LabelledImage
from neanias_ml.datasets.observed_truth import ObservedTruth, observed_truth
from neanias_ml.datasets.resampling import PIXELS_PER_BEAM, ResampledGrid, window_channels, window_labels
from neanias_ml.datasets.tiles import TILE_SIZE, PreparedTile, keep_instances, renumber_islands
from neanias_ml.extraction import Extraction, FinderConfig, Islands, SourceFinder
from neanias_ml.extraction.artefacts.evidence import artefact_evidence
from neanias_ml.extraction.components.fit_results import FittedComponents
from neanias_ml.extraction.components.table import component_table
from neanias_ml.maps import RadioMap, Window
from neanias_ml.simulation import SimulatedSky

IntArray = NDArray[np.int64]
RARE_CLASSES = ("spurious", "flagged", "extended-multisland")
"""Every instance of these is offered a tile of its own before others are."""
MIN_DISTANCE = 0.25
"""Centres of chosen tiles are at least this part of a tile apart."""


@dataclass(frozen=True)
class PreparedField:
    """A field on the network's grid.

    Attributes
    ----------
    channels
        (5, ny, nx) float32.
    instances
        (ny, nx) int32: 0, k = instance in row k - 1, or ignored.
    labels
        (N,) class labels.
    class_names
        (N,) the same as names.
    islands
        (ny, nx) int32 island numbers, 1 ... I.
    island_boxes, island_fluxes, island_instance
        (I, 4) xyxy grid pixels, (I,) Jy, (I,) labels of the owning instances.
    name
        Name of the field.
    n_labelled
        Objects that had a label; ``labels`` are those of them that the extractor found.
    graph
        The islands and what lies between them.
    cutouts
        Extended objects of known shape.
    """

    channels: NDArray[np.float32]
    instances: NDArray[np.int32]
    labels: IntArray
    class_names: NDArray[np.str_]
    islands: NDArray[np.int32]
    island_boxes: NDArray[np.float64]
    island_fluxes: NDArray[np.float64]
    island_instance: IntArray
    name: str
    n_labelled: int
    graph: IslandGraph
    cutouts: tuple[MorphologyCutout, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.instances.shape[0], self.instances.shape[1]


def extract_islands(radio_map: RadioMap, *, config: FinderConfig) -> Extraction:
    """Background, noise and islands as `SourceFinder` finds them, without the fits, which no network uses."""
    finder = SourceFinder(config)
    noise_model = finder.noise_of(radio_map)
    found = finder.find_islands(radio_map, noise_model)
    evidence = artefact_evidence(
        radio_map,
        islands=found.islands.table,
        negatives=finder.negative_check(radio_map, noise_model, found).table,
        noise=noise_model,
        merge_threshold=config.merge_threshold,
    )
    table = found.islands.table.replace(p_spurious=evidence.p_spurious)
    islands = Islands(found.islands.runs, table, radio_map.shape)
    nothing = Islands.none(radio_map.shape)
    components = component_table(radio_map, islands.table, FittedComponents.joined([]))
    return Extraction(
        radio_map, noise_model, islands, components, nested=nothing, diffuse=nothing, evidence=evidence
    )


def prepare_field(
    sky: SimulatedSky,
    *,
    name: str,
    finder: FinderConfig,
    class_labels: Mapping[str, int],
    pixels_per_beam: float = PIXELS_PER_BEAM,
) -> PreparedField:
    """Extract a simulated field, take its observed truth, and bring both to the network's grid."""
    extraction = extract_islands(sky.radio_map, config=finder)
    background, noise = extraction.noise.evaluate()
    truth = observed_truth(sky, extraction.islands, noise=noise)
    return _on_grid(
        extraction,
        truth,
        significance(sky.radio_map.data, background, noise),
        simulated_morphologies(truth, sky.truth.objects),
        name=name,
        class_labels=class_labels,
        pixels_per_beam=pixels_per_beam,
        n_labelled=len(truth),
    )


def prepare_labelled(
    radio_map: RadioMap,
    image: LabelledImage,
    *,
    name: str,
    finder: FinderConfig,
    class_labels: Mapping[str, int],
    pixels_per_beam: float = PIXELS_PER_BEAM,
    is_exhaustive: bool = False,
) -> PreparedField:
    """Extract a labelled map, match its labels with the islands, and bring both to the network's grid.

    Parameters
    ----------
    is_exhaustive
        Whether an island without a label is background; else it is ignored.

    Raises
    ------
    InputError
        ``ClassUnknown`` if a label has a class that is not in ``class_labels``.
    """
    require_classes(image, tuple(class_labels))
    if not np.isfinite(radio_map.data).any():
        return _blank_field(radio_map, image, name=name, pixels_per_beam=pixels_per_beam)
    extraction = extract_islands(radio_map, config=finder)
    background, noise = extraction.noise.evaluate()
    snr = significance(radio_map.data, background, noise)
    matched = labelled_truth(image, extraction.islands, significance=snr, is_exhaustive=is_exhaustive)
    return _on_grid(
        extraction,
        matched.truth,
        snr,
        labelled_morphologies(matched.truth, image),
        name=name,
        class_labels=class_labels,
        pixels_per_beam=pixels_per_beam,
        n_labelled=matched.n_labelled,
        graph_instance=np.where(matched.is_elsewhere, UNLABELLED, matched.truth.island_instance),
    )


def _on_grid(
    extraction: Extraction,
    truth: ObservedTruth,
    snr: NDArray[np.float32],
    known: Morphologies,
    *,
    name: str,
    class_labels: Mapping[str, int],
    pixels_per_beam: float,
    n_labelled: int,
    graph_instance: IntArray | None = None,
) -> PreparedField:
    """Islands and truth of a map on the detector's grid, as a graph, and object by object."""
    grid = ResampledGrid.of(extraction.radio_map, pixels_per_beam=pixels_per_beam)
    table = extraction.islands.table
    labels = np.array([class_labels[label] for label in truth.class_names.tolist()], dtype=np.int64)
    return PreparedField(
        channels=window_channels(extraction, grid, window=grid.extent),
        instances=window_labels(truth.labels, grid, window=grid.extent),
        labels=labels,
        class_names=truth.class_names,
        islands=window_labels(extraction.islands.labels, grid, window=grid.extent),
        island_boxes=grid.boxes_to_grid(np.stack([table.x0, table.y0, table.x1, table.y1], axis=1)),
        island_fluxes=np.asarray(table.total_flux),
        island_instance=truth.island_instance,
        name=name,
        n_labelled=n_labelled,
        graph=dataclasses.replace(
            island_graph(extraction, significance=snr, field=name),
            instance=truth.island_instance if graph_instance is None else graph_instance,
            object_class=np.append(0, labels)[np.maximum(truth.island_instance, 0)],
        ),
        cutouts=tuple(object_cutouts(extraction, truth, known, name=name)),
    )


def _blank_field(radio_map: RadioMap, image: LabelledImage, *, name: str, pixels_per_beam: float) -> PreparedField:
    """A field without a single pixel of data: nothing is extracted from it."""
    shape = ResampledGrid.of(radio_map, pixels_per_beam=pixels_per_beam).shape
    return PreparedField(
        channels=np.zeros((len(CHANNEL_NAMES), *shape), dtype=np.float32),
        instances=np.zeros(shape, dtype=np.int32),
        labels=np.empty(0, dtype=np.int64),
        class_names=np.empty(0, dtype="<U20"),
        islands=np.zeros(shape, dtype=np.int32),
        island_boxes=np.empty((0, 4)),
        island_fluxes=np.empty(0),
        island_instance=np.empty(0, dtype=np.int64),
        name=name,
        n_labelled=sum(not labelled.ignored for labelled in image.objects),
        graph=IslandGraph.empty(name),
        cutouts=(),
    )


def cut_tile(field: PreparedField, window: Window) -> PreparedTile:
    """A square window of a field as a tile; what lies beyond the grid is blank."""
    cut = _cut(field.instances, window)
    sizes = np.bincount(np.maximum(field.instances, 0).reshape(-1), minlength=len(field.labels) + 1)[1:]
    kept = keep_instances(cut, sizes.astype(np.int64))
    boxes = field.island_boxes - np.array([window.x0, window.y0] * 2)
    height, width = window.shape
    visible = (boxes[:, 0] < width) & (boxes[:, 2] > 0) & (boxes[:, 1] < height) & (boxes[:, 3] > 0)
    rows = np.flatnonzero(visible)
    owner = field.island_instance[rows]
    return PreparedTile(
        channels=_cut(field.channels, window).astype(np.float16),
        instances=kept.instances,
        labels=field.labels[kept.rows],
        islands=renumber_islands(_cut(field.islands, window), rows, len(boxes)),
        island_boxes=boxes[rows].astype(np.float32),
        island_fluxes=field.island_fluxes[rows].astype(np.float32),
        island_instance=np.where(owner > 0, kept.lookup[np.maximum(owner, 0)], owner),
        field=field.name,
    )


def _cut(array: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window of the last two axes, zero beyond them."""
    ny, nx = array.shape[-2:]
    result = np.zeros((*array.shape[:-2], *window.shape), dtype=array.dtype)
    y0, y1 = max(window.y0, 0), min(window.y1, ny)
    x0, x1 = max(window.x0, 0), min(window.x1, nx)
    if y1 > y0 and x1 > x0:
        place = np.s_[..., y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
        result[place] = array[..., y0:y1, x0:x1]
    return result


def covering_windows(shape: tuple[int, int], *, size: int = TILE_SIZE, centred: bool = False) -> list[Window]:
    """Adjoining windows that cover a grid, the outer ones reaching beyond it: for validation and test.

    Parameters
    ----------
    centred
        Put the middle of the grid into the middle of a window: cut-outs show their object there.
    """
    starts = []
    for length in shape:
        first = length // 2 - size // 2 if centred else 0
        starts.append(range(first - size * -(-max(first, 0) // size), length, size))
    return [Window(y, y + size, x, x + size) for y in starts[0] for x in starts[1]]


def favoured_windows(
    field: PreparedField, rng: np.random.Generator, *, count: int, size: int = TILE_SIZE, random_share: float = 0.2
) -> list[Window]:
    """Windows for training: centred near instances, rare classes first, and some anywhere.

    Parameters
    ----------
    count
        Most windows; fewer where they would lie too close to each other.
    random_share
        Share of windows placed without regard to content; with 0, only a field without instances gets any.
    """
    rare_first = rng.permutation(len(field.labels))
    rare_first = rare_first[np.argsort(~np.isin(field.class_names[rare_first], RARE_CLASSES), kind="stable")]
    centres = _instance_centres(field)[rare_first]
    n_random = round(count * random_share) if len(centres) else count
    offsets = rng.uniform(-size / 4, size / 4, centres.shape)
    anywhere = rng.uniform(0, 1, (4 * count, 2)) * np.array(field.shape)
    if random_share == 0 and len(centres):
        anywhere = anywhere[:0]
    chosen: list[NDArray[np.float64]] = []
    for candidates, limit in ((centres + offsets, count - n_random), (anywhere, count)):
        for centre in candidates:
            if len(chosen) >= limit:
                break
            if all(np.hypot(*(centre - other)) >= MIN_DISTANCE * size for other in chosen):
                chosen.append(centre)
    corners = [_shifted_inside(centre, field.shape, size) for centre in chosen]
    return [Window(y0, y0 + size, x0, x0 + size) for y0, x0 in corners]


def _instance_centres(field: PreparedField) -> NDArray[np.float64]:
    """(N, 2) mean row and column of each instance's pixels."""
    flat = np.maximum(field.instances, 0).reshape(-1)
    rows, cols = np.divmod(np.arange(flat.size), field.shape[1])
    counts = np.maximum(np.bincount(flat, minlength=len(field.labels) + 1), 1)
    sums = [np.bincount(flat, weights=axis, minlength=len(field.labels) + 1) for axis in (rows, cols)]
    return np.stack([(total / counts)[1:] for total in sums], axis=1)


def _shifted_inside(centre: NDArray[np.float64], shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Corner of the window around a centre, moved so that it does not stick out where the grid is large enough."""
    corner = [round(float(middle) - size / 2) for middle in centre]
    limits = [max(length - size, 0) for length in shape]
    return min(max(corner[0], 0), limits[0]), min(max(corner[1], 0), limits[1])
