"""Superpixels of a coarse block and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.extraction.extended.coarse import CoarseBlock

FloatMap = NDArray[np.float32]

SLIC_STEPS = 4
"""Superpixels of noisy maps hardly change after that."""


@dataclass(frozen=True)
class Superpixels:
    """Superpixels (Achanta et al. 2012, IEEE Trans. PAMI 34, 2274) and their statistics over valid bins.

    Attributes
    ----------
    labels
        (ny, nx) superpixel of each coarse bin, from 0.
    count
        (N,) valid bins.
    mean, std
        (N,) level and spread in sigma of the map.
    y, x
        (N,) centres in coarse bins.
    """

    labels: NDArray[np.int64]
    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def of_block(cls, coarse: CoarseBlock, *, side: float, compactness: float) -> Superpixels:
        """Cut a coarse block into superpixels of about ``side`` bins, by level (in sigma) and place."""
        from skimage.segmentation import slic

        number = max(1, round(coarse.values.size / side**2))
        labels = slic(
            coarse.values, n_segments=number, compactness=compactness, max_num_iter=SLIC_STEPS, sigma=0.5 * coarse.beam,
            channel_axis=None, start_label=0,
        )  # fmt: skip
        return cls.of_labels(coarse, labels.astype(np.int64))

    @classmethod
    def of_labels(cls, coarse: CoarseBlock, labels: NDArray[np.int64]) -> Superpixels:
        """Statistics of given superpixels."""
        flat = labels.ravel()
        weight = coarse.valid.ravel().astype(np.float64)
        values = coarse.values.ravel().astype(np.float64) * weight
        number = int(flat.max()) + 1
        count = np.bincount(flat, weight, number).astype(np.float64)
        filled = np.maximum(count, 1)
        mean = np.bincount(flat, values, number) / filled
        variance = np.bincount(flat, values**2, number) / filled - mean**2
        rows, cols = (part.ravel() for part in np.indices(labels.shape))
        area = np.bincount(flat, minlength=number)
        area = np.maximum(area, 1)
        return cls(
            labels=labels,
            count=count,
            mean=mean,
            std=np.sqrt(np.maximum(variance, 0)),
            y=np.bincount(flat, rows, number) / area,
            x=np.bincount(flat, cols, number) / area,
        )

    def borders(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of touching bins of different superpixels: the two superpixels, and the flat index of the first bin.

        Neighbours along rows and columns; one entry per pair of bins.
        """
        first, second, place = [], [], []
        index = np.arange(self.labels.size).reshape(self.labels.shape)
        for here, there in (
            (np.s_[:, :-1], np.s_[:, 1:]),
            (np.s_[:-1, :], np.s_[1:, :]),
        ):
            differ = self.labels[here] != self.labels[there]
            first.append(self.labels[here][differ])
            second.append(self.labels[there][differ])
            place.append(index[here][differ])
        return np.concatenate(first), np.concatenate(second), np.concatenate(place)
