"""Label maps of a simulated field: instance masks of real objects, spurious regions, islands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.simulation.sources.models import VISIBLE_SNR, Stamp

MASK_SNR = 2.6
"""Masks reach down to this many local rms, as far as the extraction merges pixels."""
FAINT_SNR = 3.5
"""Artefacts from here up get rows; between this and `VISIBLE_SNR` they are faint."""
EIGHT = np.ones((3, 3), dtype=bool)
"""Structuring element of 8-connectivity."""
LabelMap = NDArray[np.int32]
FloatMap = NDArray[np.float32]


@dataclass(frozen=True)
class ObjectMasks:
    """Instance masks of the real objects.

    Attributes
    ----------
    labels
        (ny, nx) int32 ids of visible objects.
    faint
        (ny, nx) int32 ids of the others above `MASK_SNR`, where no visible object is.
    n_islands
        Number of pieces of each visible object, by object id.
    """

    labels: LabelMap
    faint: LabelMap
    n_islands: Mapping[int, int]


def object_masks(stamps: Mapping[int, Stamp], *, noise: FloatMap, blank: NDArray[np.bool_]) -> ObjectMasks:
    """Give each pixel above `MASK_SNR` to the brightest visible object there.

    An object that owns no pixel above `VISIBLE_SNR` (too faint, or hidden behind a brighter one) is not
    visible; its pixels fall to the next brightest.

    Parameters
    ----------
    stamps
        Beam-convolved model of each object by id, Jy/beam.
    noise
        Local rms (ny, nx), Jy/beam.
    blank
        Pixels without data.
    """
    visible = {
        number: stamp
        for number, stamp in stamps.items()
        if (stamp.data > VISIBLE_SNR * noise[stamp.window.slices]).any()
    }
    while True:
        labels = _brightest(visible, noise=noise, blank=blank)
        counts = {number: _count_pieces(number, stamp, labels, noise=noise) for number, stamp in visible.items()}
        hidden = [number for number, count in counts.items() if count == 0]
        if not hidden:
            break
        for number in hidden:
            del visible[number]
    faint = {number: stamp for number, stamp in stamps.items() if number not in visible}
    return ObjectMasks(labels, _brightest(faint, noise=noise, blank=blank | (labels > 0)), counts)


def _brightest(stamps: Mapping[int, Stamp], *, noise: FloatMap, blank: NDArray[np.bool_]) -> LabelMap:
    best = np.zeros(noise.shape, dtype=np.float32)
    labels = np.zeros(noise.shape, dtype=np.int32)
    for number, stamp in stamps.items():
        window = stamp.window.slices
        wins = (stamp.data > MASK_SNR * noise[window]) & (stamp.data > best[window]) & ~blank[window]
        best[window][wins] = stamp.data[wins]
        labels[window][wins] = number
    return labels


def _count_pieces(number: int, stamp: Stamp, labels: LabelMap, *, noise: FloatMap) -> int:
    """Pieces of the object itself that hold a pixel above `VISIBLE_SNR` inside its mask.

    Pieces are those of its own model, so that a source in front of a jet does not cut it in two.
    """
    own_noise = noise[stamp.window.slices]
    pieces, _ = ndimage.label(stamp.data > MASK_SNR * own_noise, structure=EIGHT)
    strong = (stamp.data > VISIBLE_SNR * own_noise) & (labels[stamp.window.slices] == number)
    return len(np.unique(pieces[strong]))


def spurious_labels(artefact: FloatMap, *, noise: FloatMap, real: NDArray[np.bool_]) -> tuple[LabelMap, int]:
    """Connected regions of positive artefacts: above `MASK_SNR` with a pixel above `FAINT_SNR`.

    Parameters
    ----------
    artefact
        Sidelobes and error beams (ny, nx), Jy/beam.
    noise
        Local rms (ny, nx), Jy/beam.
    real
        Pixels of real objects and blank pixels, with their surroundings.

    Returns
    -------
    tuple
        Label map with ids 1 to n, and n.
    """
    regions, count = ndimage.label((artefact > MASK_SNR * noise) & ~real, structure=EIGHT)
    return _keep_strong(regions, count, strong=(artefact > FAINT_SNR * noise) & ~real)


def island_labels(object_labels: LabelMap, *, strong: NDArray[np.bool_]) -> tuple[LabelMap, int]:
    """Connected regions of object masks that hold a ``strong`` pixel, with ids 1 to n."""
    regions, count = ndimage.label(object_labels > 0, structure=EIGHT)
    return _keep_strong(regions, count, strong=strong)


def _keep_strong(regions: LabelMap, count: int, *, strong: NDArray[np.bool_]) -> tuple[LabelMap, int]:
    keep = np.zeros(count + 1, dtype=bool)
    keep[regions[strong]] = True
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return numbers[regions], int(keep.sum())
