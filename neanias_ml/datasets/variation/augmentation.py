"""`TileAugmentation`: everything that may happen to a training tile, in the order in which nature would do it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.tiles import PreparedTile
from neanias_ml.datasets.variation.added_noise import change_noise
from neanias_ml.datasets.variation.copy_paste import paste
from neanias_ml.datasets.variation.dihedral import N_SYMMETRIES, transform_tile
from neanias_ml.datasets.variation.reobserve import IslandRule, TruthRule
from neanias_ml.errors import UsageError

PartnerSource = Callable[[np.random.Generator, "tuple[int, ...]"], "PreparedTile | None"]
"""A random tile that holds one of some classes, None where there is none."""

_PROBABILITIES = ("paste_objects", "paste_artefacts", "fade", "rotate")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training tiles are varied. Symmetries of the square always are; the rest is drawn for each tile.

    Raises
    ------
    UsageError
        ``AugmentConfig`` for a value outside its range.
    """

    symmetries: bool = True
    """turn by quarter turns and mirror: all eight are equally likely, as the sky has no up"""
    paste_objects: float = 0.0
    """probability that an object of a rare class is copied in from another tile, 0 to 1"""
    paste_artefacts: float = 0.0
    """probability that an artefact is copied in together with its source, 0 to 1"""
    fade: float = 0.0
    """probability that all sources fade under added noise, 0 to 1; islands are then extracted again"""
    most_added_noise: float = 1.0
    """rms of the added noise in units of the noise there is, drawn between 0 and this (at most 10); 1 takes signal to
    noise to 0.71"""
    noise_jitter: float = 0.0
    """largest relative error of the noise estimate that is simulated, 0 to below 1; islands are then extracted again"""
    rotate: float = 0.0
    """probability of a rotation and change of scale, 0 to 1; needs albumentations, and leaves blank corners"""
    degrees: float = 45.0
    """largest angle of such a rotation, 0 to 180; with the symmetries 45 gives every angle"""
    scale_change: float = 0.1
    """scale factors of rows and columns lie in 1 -+ this, 0 to 0.15: beams that are not round, or not what maps say"""

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError("AugmentConfig", f"augment.{name} must lie in [0, 1], not be {getattr(self, name)}")
        if not 0 <= self.noise_jitter < 1:
            raise UsageError("AugmentConfig", f"augment.noise_jitter must lie in [0, 1), not be {self.noise_jitter}")
        if not (math.isfinite(self.most_added_noise) and 0 <= self.most_added_noise <= 10):
            raise UsageError(
                "AugmentConfig", f"augment.most_added_noise must lie in [0, 10], not be {self.most_added_noise}"
            )


class TileAugmentation:
    """Varies a tile at random: paste, fade, rotate, turn.

    Copies come first, so that all that follows happens to them too; a copied object is faded with its tile's own noise
    (`fade`) like everything else.

    Parameters
    ----------
    config
        Probabilities and strengths.
    islands
        Thresholds at which islands are extracted again.
    class_labels
        Label of each class name.

    Raises
    ------
    UsageError
        If rotation is asked for and albumentations is not installed, or an angle or scale is out of range.
    """

    def __init__(self, config: AugmentConfig, *, islands: IslandRule, class_labels: Mapping[str, int]) -> None:
        self.config = config
        self.islands = islands
        self.truth = TruthRule.of(class_labels)
        self.rare_objects = tuple(class_labels[name] for name in ("extended-multisland", "flagged"))
        self.artefacts = (self.truth.spurious,)
        self._rotation: Callable[[PreparedTile, np.random.Generator], PreparedTile] | None = None
        if config.rotate > 0:
            from neanias_ml.datasets.variation.geometry import GeometricAugmentation

            self._rotation = GeometricAugmentation(degrees=config.degrees, scale_change=config.scale_change)

    def __call__(
        self, tile: PreparedTile, rng: np.random.Generator, *, partners: PartnerSource | None = None
    ) -> PreparedTile:
        """A variation of a tile; the same generator state gives the same one.

        Parameters
        ----------
        tile
            The tile.
        rng
            All draws come from it.
        partners
            Where tiles to copy from are found; without it nothing is pasted.
        """
        config = self.config
        wishes = rng.random(4) < (config.paste_objects, config.paste_artefacts, config.fade, config.rotate)
        if partners is not None:
            for wish, classes in zip(wishes[:2], (self.rare_objects, self.artefacts), strict=True):
                if wish:
                    tile = self._pasted(tile, partners, rng, classes)
        tile = change_noise(
            tile,
            rng,
            added=float(rng.uniform(0.0, config.most_added_noise)) if wishes[2] else 0.0,
            noise_error=1.0 + config.noise_jitter * float(rng.uniform(-1.0, 1.0)),
            islands=self.islands,
            truth=self.truth,
        )
        if self._rotation is not None and wishes[3]:
            tile = self._rotation(tile, rng)
        return transform_tile(tile, int(rng.integers(N_SYMMETRIES))) if config.symmetries else tile

    def _pasted(
        self, tile: PreparedTile, partners: PartnerSource, rng: np.random.Generator, classes: tuple[int, ...]
    ) -> PreparedTile:
        source = partners(rng, classes)
        if source is None:
            return tile
        wanted: NDArray[np.int64] = np.array(classes, dtype=np.int64)
        return paste(tile, source, rng, wanted=wanted, truth=self.truth, pixels_per_beam=self.islands.pixels_per_beam)
