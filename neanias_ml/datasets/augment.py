"""Rotation and scaling of tiles with albumentations (geometry only); the one file that imports it."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.datasets.tiles import PreparedTile, keep_instances, label_boxes, renumber_islands
from neanias_ml.errors import UsageError

MAX_SCALE_CHANGE = 0.15
"""Larger changes of scale would contradict the fixed number of pixels per beam."""


class GeometricAugmentation:
    """Random rotation by any angle and a small change of scale.

    Parameters
    ----------
    scale_change
        Scale factors lie in 1 -+ this.
    seed
        Seed of the draws.

    Raises
    ------
    UsageError
        If albumentations is not installed or the change of scale is too large.
    """

    def __init__(self, *, scale_change: float = 0.1, seed: int = 0) -> None:
        if not 0 <= scale_change <= MAX_SCALE_CHANGE:
            raise UsageError("ScaleChange", f"scale_change must lie in [0, {MAX_SCALE_CHANGE}], not {scale_change}")
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for new versions otherwise
        try:
            import albumentations
        except ImportError as error:
            raise UsageError(
                "AlbumentationsMissing",
                "rotation of tiles needs albumentations; install it with: pip install 'neanias_ml[train]'",
            ) from error
        affine = albumentations.Affine(
            rotate=(-180, 180),
            scale=(1 - scale_change, 1 + scale_change),
            interpolation=1,
            mask_interpolation=0,
            p=1.0,
        )
        self._transform = albumentations.Compose([affine], seed=seed)

    def __call__(self, tile: PreparedTile) -> PreparedTile:
        """The tile turned and scaled; boxes are those of the turned islands, corners turned in are blank."""
        image = np.ascontiguousarray(tile.channels.transpose(1, 2, 0), dtype=np.float32)
        turned = self._transform(image=image, masks=[tile.instances, tile.islands])
        channels = np.ascontiguousarray(turned["image"].transpose(2, 0, 1))
        instances, islands = (np.asarray(mask) for mask in turned["masks"])
        return _rebuild(tile, channels, instances, islands)


def _rebuild(
    tile: PreparedTile, channels: NDArray[np.float32], instances: NDArray[np.int16], islands: NDArray[np.int16]
) -> PreparedTile:
    """A tile from its transformed maps: cut instances ignored, vanished islands dropped, boxes taken anew."""
    sizes = np.bincount(np.maximum(tile.instances, 0).reshape(-1), minlength=len(tile.labels) + 1)[1:]
    kept = keep_instances(instances, sizes.astype(np.int64))
    present = np.bincount(islands.reshape(-1), minlength=len(tile.island_instance) + 1)[1:] > 0
    rows = np.flatnonzero(present)
    islands = renumber_islands(islands, rows, len(present))
    owner = tile.island_instance[rows]
    valid = channels[CHANNEL_NAMES.index("valid")] > 0.5
    channels = channels * valid
    channels[CHANNEL_NAMES.index("valid")] = valid
    channels[CHANNEL_NAMES.index("island")] = (islands > 0) & valid
    return tile.replace(
        channels=channels.astype(np.float16),
        instances=kept.instances,
        labels=tile.labels[kept.rows],
        islands=islands,
        island_boxes=label_boxes(islands, len(rows)),
        island_fluxes=tile.island_fluxes[rows],
        island_instance=np.where(owner > 0, kept.lookup[np.maximum(owner, 0)], owner),
    )
