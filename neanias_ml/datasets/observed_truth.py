"""The truth of a simulated map as an extractor can see it: one instance for each object it could report.

The simulation labels every pixel that exceeds the true noise. What can be learnt, and what a catalogue made of islands
can say, depends on the noise that is measured, sidelobes included, and on the islands that were found. So masks are cut
at the measured noise, each island goes to the object that makes most of its flux, objects that share an island become
one instance, and islands that are not mostly real become instances of class ``spurious``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.datasets.visible_sizes import visible_sizes
from neanias_ml.extraction import Islands
from neanias_ml.simulation import SimulatedSky
from neanias_ml.simulation.labels import MASK_SNR
from neanias_ml.simulation.truth import COMPACT_LIMIT, MAX_POLLUTION

FloatMap = NDArray[np.float32]
IntMap = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SEEN_SNR = 5.0
"""An object without an island counts when its model exceeds this signal to measured noise."""
REAL_SHARE = 0.5
"""An island is real when at least this part of its flux is that of modelled sources."""
FALSE_SHARE = 0.3
"""An island is spurious when less than this part of its flux is real; between the two it teaches nothing."""
ABSORBED_SHARE = 0.5
"""An object without an island of its own joins another object in whose islands this part of its mask lies."""


@dataclass(frozen=True)
class ObservedTruth:
    """Instances of a map.

    Attributes
    ----------
    labels
        (ny, nx) int32: 0 background, k = instance k - 1 of ``class_names``, `IGNORED` where undecided.
    class_names
        (N,) class of each instance.
    object_ids
        (N,) id in the simulation's table of objects or number of the label; 0 for spurious islands of simulations.
    island_instance
        (I,) label of the instance that owns each island, `IGNORED` where undecided.
    """

    labels: IntMap
    class_names: NDArray[np.str_]
    object_ids: IntArray
    island_instance: IntArray

    def __len__(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class _IslandOrigin:
    """Where the flux of each island comes from; arrays over islands."""

    real_share: FloatArray
    owner: IntArray
    """object id of the largest part of the model, 0 where none is known"""


def observed_truth(sky: SimulatedSky, islands: Islands, *, noise: FloatMap) -> ObservedTruth:
    """Instances of a simulated map for the islands that were found in it.

    Parameters
    ----------
    sky
        The simulated field.
    islands
        What the extractor found, at the thresholds of the run.
    noise
        (ny, nx) the extractor's noise, Jy/beam.
    """
    masks = _visible_masks(sky, noise)
    origin = _island_origins(sky, islands)
    real = (origin.real_share >= REAL_SHARE) & (origin.owner > 0)
    spurious = origin.real_share < FALSE_SHARE
    owner = np.where(real, origin.owner, 0)
    masks = _absorb(masks, islands, owner, n_objects=len(sky.truth.objects))
    return _number_instances(sky, islands, masks, owner, spurious, noise=noise)


def _visible_masks(sky: SimulatedSky, noise: FloatMap) -> IntMap:
    """Object ids of real objects where the model stands out from the measured noise."""
    is_real = np.append(False, sky.truth.objects.class_name != "spurious")
    labels = sky.truth.object_labels
    return np.where(is_real[labels] & (sky.model > MASK_SNR * noise), labels, 0).astype(np.int32)


def _island_origins(sky: SimulatedSky, islands: Islands) -> _IslandOrigin:
    """Share of real flux and largest contributor of each island."""
    index = islands.table.island_id
    flux = ndimage.sum_labels(np.nan_to_num(sky.radio_map.data - sky.background), islands.labels, index)
    real = ndimage.sum_labels(sky.model, islands.labels, index)
    share = np.clip(real / np.maximum(flux, 1e-30), 0.0, 1.0)
    owner = np.zeros(len(islands), dtype=np.int64)
    for row, window in enumerate(ndimage.find_objects(islands.labels, max_label=len(islands))):
        inside = islands.labels[window] == row + 1
        objects = sky.truth.object_labels[window][inside]
        weights = np.bincount(objects, weights=sky.model[window][inside], minlength=1)
        weights[0] = 0.0
        owner[row] = int(weights.argmax()) if weights.any() else 0
    objects = sky.truth.objects
    fake = np.isin(owner, objects.object_id[objects.class_name == "spurious"])
    unknown = (owner == 0) | fake
    owner[unknown] = _nearest_real(sky, islands)[unknown]
    return _IslandOrigin(np.asarray(share, dtype=np.float64), owner)


def _nearest_real(sky: SimulatedSky, islands: Islands) -> IntArray:
    """Id of the brightest real object within a beam of each island's brightest pixel, 0 where there is none.

    This finds the sources too faint for a mask in the simulation that noise has lifted above the threshold.
    """
    objects = sky.truth.objects
    real = np.flatnonzero(objects.class_name != "spurious")
    result = np.zeros(len(islands), dtype=np.int64)
    if len(real) == 0:
        return result
    for row in range(len(islands)):
        dx = objects.x[real] - islands.table.peak_x[row]
        dy = objects.y[real] - islands.table.peak_y[row]
        near = np.hypot(dx, dy) <= sky.radio_map.beam_fwhm
        if near.any():
            result[row] = objects.object_id[real[np.argmax(np.where(near, objects.peak_flux[real], -np.inf))]]
    return result


def _absorb(masks: IntMap, islands: Islands, owner: IntArray, *, n_objects: int) -> IntMap:
    """Give the masks of objects without an island of their own to the owner of the island they lie in."""
    own_islands = np.bincount(owner, minlength=n_objects + 1) > 0
    new_id = np.arange(n_objects + 1, dtype=np.int32)
    lookup = np.append(0, owner)
    for row, window in enumerate(ndimage.find_objects(masks, max_label=n_objects), start=1):
        if window is None or own_islands[row]:
            continue
        inside = masks[window] == row
        hosts = lookup[islands.labels[window][inside]]
        counts = np.bincount(hosts, minlength=1)
        counts[0] = 0
        if counts.max() >= ABSORBED_SHARE * inside.sum():
            new_id[row] = counts.argmax()
    return new_id[masks]


def _number_instances(
    sky: SimulatedSky, islands: Islands, masks: IntMap, owner: IntArray, spurious: NDArray[np.bool_], *, noise: FloatMap
) -> ObservedTruth:
    """Label map and classes of all instances: real objects by id, then spurious islands."""
    n_objects = len(sky.truth.objects)
    snr = ndimage.maximum(sky.model / noise, masks, np.arange(1, n_objects + 1)) if n_objects else np.zeros(0)
    n_islands = np.bincount(owner, minlength=n_objects + 1)[1:]
    kept = np.flatnonzero((n_islands > 0) | (np.asarray(snr) > SEEN_SNR)) + 1
    number = np.zeros(n_objects + 1, dtype=np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    fakes = np.flatnonzero(spurious)
    instance = np.where(owner > 0, number[owner], IGNORED).astype(np.int32)
    instance[fakes] = len(kept) + 1 + np.arange(len(fakes))
    labels = number[masks]
    on_island = np.append(0, instance)[islands.labels]
    labels = np.where((labels == 0) & (on_island != 0), on_island, labels).astype(np.int32)
    names = _classes(sky, kept, n_islands[kept - 1], labels, noise=noise)
    return ObservedTruth(
        labels=labels,
        class_names=np.concatenate([names, np.full(len(fakes), "spurious", dtype="<U20")]),
        object_ids=np.concatenate([kept, np.zeros(len(fakes), dtype=np.int64)]).astype(np.int64),
        island_instance=instance.astype(np.int64),
    )


def _classes(
    sky: SimulatedSky, kept: IntArray, n_islands: IntArray, labels: IntMap, *, noise: FloatMap
) -> NDArray[np.str_]:
    """Class of each real instance: CAESAR's rules on the islands that were found and the masks that are seen.

    Extended is what is and looks extended: of a galaxy whose tails lie below the noise, only the core can be seen.
    """
    index = np.arange(1, len(kept) + 1)
    false = np.asarray(ndimage.sum_labels(np.abs(sky.artefact), labels, index))
    real = np.asarray(ndimage.sum_labels(sky.model, labels, index))
    seen = visible_sizes(
        np.where(labels <= len(kept), labels, 0),
        sky.model,
        count=len(kept),
        beam_covariance=sky.radio_map.beam_covariance,
        cut=MASK_SNR * noise,
    )
    size = np.minimum(seen, sky.truth.objects.size_beams[kept - 1])
    names = np.where(size > COMPACT_LIMIT, "extended", "compact").astype("<U20")
    names[false > MAX_POLLUTION * real] = "flagged"
    names[n_islands >= 2] = "extended-multisland"
    multi_in_truth = sky.truth.objects.class_name[kept - 1] == "extended-multisland"
    names[(n_islands == 0) & multi_in_truth] = "extended-multisland"
    return names
