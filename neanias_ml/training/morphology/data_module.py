"""`CutoutDataModule`: loaders of prepared cutouts for Lightning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.cutout_store import CutoutStore
from neanias_ml.datasets.field_names import source_of_field
from neanias_ml.errors import InputError
from neanias_ml.models.morphology.classes import (
    MORPHOLOGY_NAMES,
    UNKNOWN,
    bent_untold,
    labels_of_words,
)
from neanias_ml.training.draw_module import DrawModule, stride
from neanias_ml.training.loader import DrawLoader
from neanias_ml.training.morphology.batches import CutoutDataset, collate
from neanias_ml.training.morphology.feed import CutoutFeedConfig
from neanias_ml.training.sampling import FloatArray, ProcessPlace, repeat_factors

IntArray = NDArray[np.int64]


class CutoutDataModule(DrawModule[CutoutStore]):
    """Training, validation and test cutouts of a prepared folder, read from disk as they are needed.

    Cutouts whose word means no class are left out.

    Parameters
    ----------
    feed
        How cutouts are drawn and varied.
    most_cutouts
        At most so many cutouts of each split, evenly spaced; None for all.
    directory, batch_size, workers, seed, place
        See `neanias_ml.training.draw_module.DrawModule`.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        feed: CutoutFeedConfig | None = None,
        batch_size: int = 64,
        workers: int = 0,
        seed: int = 0,
        most_cutouts: int | None = None,
        place: ProcessPlace | None = None,
    ) -> None:
        super().__init__(directory, collate=collate, batch_size=batch_size, workers=workers, seed=seed, place=place)
        self.feed = feed or CutoutFeedConfig()
        self.most_cutouts = most_cutouts

    def cutouts(self, split: str) -> CutoutStore:
        """All cutouts of ``train``, ``validation`` or ``test`` whose class is known; for training, surely enough.

        Raises
        ------
        InputError
            ``NoCutouts`` if there is none.
        """
        return self.rows(split)

    def read_split(self, split: str) -> CutoutStore:
        """See `DrawModule.read_split`."""
        store = CutoutStore(self.directory / split)
        usable = labels_of_words(store.words) != UNKNOWN
        if split == "train":
            usable &= np.asarray(store.confidence) >= np.float32(self.feed.least_confidence)
        rows = np.flatnonzero(usable)
        if len(rows) == 0:
            raise InputError(
                "NoCutouts",
                f"{self.directory / split} holds no extended object of known morphology; prepare more fields",
            )
        return store.rows(rows[:: stride(len(rows), self.most_cutouts)])

    def labels(self, split: str) -> IntArray:
        """(N,) index in ``MORPHOLOGY_NAMES`` of each cutout of a split."""
        return labels_of_words(self.cutouts(split).words)

    def untold(self, split: str) -> NDArray[np.bool_]:
        """(N,) whether labels of a split do not tell bent galaxies from FR-I ones."""
        return bent_untold(self.cutouts(split).fields)

    def draw_factors(self) -> FloatArray:
        """(N,) how often each training cutout is drawn: rare classes and chosen sets more often, doubtful ones less."""
        one_each = [np.array([label + 1]) for label in self.labels("train")]
        factors = repeat_factors(one_each, n_classes=len(MORPHOLOGY_NAMES), threshold=self.feed.repeat_threshold)
        cutouts = self.cutouts("train")
        wanted = np.array([self.feed.repeat.get(source_of_field(field), 1.0) for field in cutouts.fields])
        return factors * wanted * np.maximum(np.asarray(cutouts.confidence, dtype=np.float64), 1e-3)

    def train_dataloader(self) -> DrawLoader:
        """An epoch of cutouts in random order, each draw varied anew."""
        return self.draws(self._dataset("train", feed=self.feed), self.draw_factors())

    def val_dataloader(self) -> DrawLoader:
        """Evenly spaced validation cutouts, as they are."""
        return self.draws(self._dataset("validation", most=self.feed.validation_cutouts))

    def test_dataloader(self) -> DrawLoader:
        """All test cutouts, as they are."""
        return self.draws(self._dataset("test"))

    def _dataset(self, split: str, *, feed: CutoutFeedConfig | None = None, most: int | None = None) -> CutoutDataset:
        step = stride(len(self.cutouts(split)), most)
        return CutoutDataset(
            self.cutouts(split).every(step),
            self.labels(split)[::step],
            self.untold(split)[::step],
            feed=feed,
            seed=self.seed,
        )
