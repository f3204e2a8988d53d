"""Rotation by any angle and changes of scale with albumentations; the one file that imports it.

albumentations takes images of any number of channels as float32 and masks as integers, and moves both by one matrix.
Its draws come from a generator of the pipeline's own, which is seeded anew for every tile: what becomes of a tile
depends on nothing but the generator it is given.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from neanias_ml.datasets.channels import assemble_channels
from neanias_ml.datasets.tiles import PreparedTile, keep_instances, label_boxes, renumber_islands
from neanias_ml.errors import UsageError

MAX_SCALE_CHANGE = 0.15
"""Larger changes of scale would contradict the fixed number of pixels per beam."""
_CUBIC, _NEAREST = 2, 0
"""Interpolation by OpenCV's numbers. Linear interpolation would take 2 % of the noise away, cubic takes none."""


class GeometricAugmentation:
    """Random rotation and small changes of scale.

    Rows and columns are scaled each by its own factor, the beam with all else: maps whose beam is not quite round, or
    not quite what their header says.

    Parameters
    ----------
    degrees
        Angles lie in -+ this, 0 to 180. With the symmetries of the square, 45 gives every angle.
    scale_change
        Scale factors lie in 1 -+ this.

    Raises
    ------
    UsageError
        If albumentations is not installed, or a value lies outside its range.
    """

    def __init__(self, *, degrees: float = 180.0, scale_change: float = 0.1) -> None:
        if not 0 <= scale_change <= MAX_SCALE_CHANGE:
            raise UsageError("ScaleChange", f"scale_change must lie in [0, {MAX_SCALE_CHANGE}], not {scale_change}")
        if not (math.isfinite(degrees) and 0 <= degrees <= 180):
            raise UsageError("RotationAngle", f"degrees of rotation must lie in [0, 180], not {degrees}")
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for new versions otherwise
        try:
            import albumentations
        except ImportError as error:
            raise UsageError(
                "AlbumentationsMissing",
                "rotation of tiles needs albumentations; install it with: pip install 'neanias_ml[train]', "
                "or set the angle and the change of scale to 0",
            ) from error
        affine = albumentations.Affine(
            rotate=(-degrees, degrees),
            scale=(1 - scale_change, 1 + scale_change),
            interpolation=_CUBIC,
            mask_interpolation=_NEAREST,
            p=1.0,
        )
        self._changes = degrees > 0 or scale_change > 0
        self._transform = albumentations.Compose([affine])

    def __call__(self, tile: PreparedTile, rng: np.random.Generator) -> PreparedTile:
        """The tile turned and scaled; boxes are those of the turned islands, corners turned in are blank."""
        if not self._changes:
            return tile
        self._transform.set_random_seed(int(rng.integers(2**31)))
        valid = tile.valid
        image = np.stack([np.nan_to_num(tile.significance), tile.smoothed_significance, valid], axis=-1)
        turned = self._transform(image=image.astype(np.float32), masks=[tile.instances, tile.islands])
        snr, smoothed, covered = np.moveaxis(turned["image"], -1, 0)
        # cubic weights reach two pixels: beside a blank they would mix zeros in
        blank = covered < 1 - 1e-3
        snr = np.where(blank, np.float32(np.nan), snr).astype(np.float32)
        instances, islands = (np.where(blank, 0, mask).astype(np.int16) for mask in turned["masks"])
        return _rebuild(tile, snr, smoothed, instances, islands)


def _rebuild(
    tile: PreparedTile,
    snr: NDArray[np.float32],
    smoothed: NDArray[np.float32],
    instances: NDArray[np.int16],
    islands: NDArray[np.int16],
) -> PreparedTile:
    """A tile from its transformed maps: cut instances ignored, vanished islands dropped, boxes taken anew."""
    sizes = np.bincount(np.maximum(tile.instances, 0).reshape(-1), minlength=len(tile.labels) + 1)[1:]
    kept = keep_instances(instances, sizes.astype(np.int64))
    count = len(tile.island_instance)
    present = np.bincount(islands.reshape(-1), minlength=count + 1)[1:] > 0
    rows = np.flatnonzero(present)
    islands = renumber_islands(islands, rows, count)
    owner = tile.island_instance[rows]
    return tile.replace(
        channels=assemble_channels(snr, smoothed, islands > 0).astype(np.float16),
        instances=kept.instances,
        labels=tile.labels[kept.rows],
        islands=islands,
        island_boxes=label_boxes(islands, len(rows)),
        island_fluxes=tile.island_fluxes[rows],
        island_instance=np.where(owner > 0, kept.lookup[np.maximum(owner, 0)], owner),
    )
