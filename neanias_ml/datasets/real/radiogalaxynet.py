"""RadioGalaxyNET: extended radio galaxies of the ASKAP EMU pilot survey (Gupta et al. 2024, PASA 41, e001).

16-bit pictures of 450 x 450 pixels of 2 arcsec without sky coordinates. They are no fluxes: noise is clipped to zero
and every island is scaled to its own peak on a logarithmic scale. `read` therefore rebuilds a map that may have looked
like that (`neanias_ml.datasets.real.pseudo_flux`). Annotated are extended radio galaxies alone; whatever else emits is
ignored.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy import ndimage
from skimage.draw import polygon

from neanias_ml.datasets.labels.labelled import LabelledObject
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet, existing, labelled_image
from neanias_ml.datasets.real.pseudo_flux import EIGHT, PictureScaling, rebuild_significance
from neanias_ml.datasets.real.regions import unlabelled_object
from neanias_ml.datasets.real.tables import read_document
from neanias_ml.errors import InputError
from neanias_ml.maps import FWHM_PER_SIGMA, Beam, RadioMap

Mask = NDArray[np.bool_]

BEAM_ARCSEC = 18.0
PIXEL_ARCSEC = 2.0
FREQUENCY = 944e6
RMS = 25e-6
"""Noise of the survey, Jy/beam (Norris et al. 2021, PASA 38, e046)."""
SCALING = PictureScaling(beam_sigma=BEAM_ARCSEC / PIXEL_ARCSEC / FWHM_PER_SIGMA)
MULTISLAND = "extended-multisland"
FILES = {
    "annotations_train.json": ("train", "validation"),
    "annotations_val.json": ("test",),
}
"""Splits that the images of each file may go to: those held back by sky stay held back."""


class RadioGalaxyNet(RealSet):
    """RadioGalaxyNET, pictures as maps and polygons as masks."""

    name = "radiogalaxynet"
    label_files: ClassVar[tuple[str, ...]] = tuple(FILES)

    @cached_property
    def entries(self) -> tuple[MapEntry, ...]:
        """All pictures; ``sky_group`` is that of the annotations."""
        return tuple(
            MapEntry(
                name=image["file_name"].removesuffix(".png"),
                path=self.folder / "images" / image["file_name"],
                sky_group=str(image["sky_group"]),
                splits=splits,
            )
            for label_file, splits in FILES.items()
            for image in self._documents[label_file]["images"]
        )

    def read(self, entry: MapEntry, *, seed: int = 0) -> LabelledMap:
        """A map in pseudo-flux (the survey's rms as unit) and the annotated galaxies in its pixels."""
        picture = read_picture(entry)
        emission = picture > 0
        annotations = self._annotations[entry.name]
        objects = [_labelled(annotation, emission) for annotation in annotations]
        labelled = np.zeros(picture.shape, dtype=bool)
        for one in objects:
            labelled |= one.mask.pixels()
        objects.append(unlabelled_object(emission, labelled))
        significance = rebuild_significance(picture, scaling=SCALING, seed=seed)
        radio_map = RadioMap.from_array(
            significance * np.float32(RMS),
            beam=Beam(BEAM_ARCSEC / 3600, BEAM_ARCSEC / 3600),
            pixel_scale=PIXEL_ARCSEC / 3600,
            frequency=FREQUENCY,
            flags=("PseudoFlux",),
        )
        return LabelledMap(radio_map, labelled_image(entry, radio_map.shape, objects))

    @cached_property
    def _documents(self) -> dict[str, dict[str, Any]]:
        keys = ("images", "annotations", "categories")
        return {label_file: read_document(self.folder / label_file, keys=keys) for label_file in FILES}

    @cached_property
    def _annotations(self) -> dict[str, list[dict[str, Any]]]:
        """Annotations by name of the picture, with the word of their category."""
        by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for document in self._documents.values():
            names = {image["id"]: image["file_name"].removesuffix(".png") for image in document["images"]}
            words = {category["id"]: category["name"] for category in document["categories"]}
            for annotation in document["annotations"]:
                by_name[names[annotation["image_id"]]].append({**annotation, "word": words[annotation["category_id"]]})
        return by_name


def read_picture(entry: MapEntry) -> NDArray[np.int64]:
    """Pixel values (ny, nx) of a picture.

    Raises
    ------
    InputError
        ``Picture`` if it is no grey picture.
    """
    path = existing(entry.path)
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError("Picture", f"{path} is no readable picture ({error}); fetch it again") from error
    if pixels.ndim != 2:
        raise InputError("Picture", f"{path} is no picture of one grey value per pixel; fetch it again")
    return pixels.astype(np.int64)


def _labelled(annotation: dict[str, Any], emission: Mask) -> LabelledObject:
    """One annotated galaxy: the emission that its polygons enclose."""
    # polygons are traced half a pixel outside and simplified: one pixel more holds all that was meant
    mask = ndimage.binary_dilation(polygon_mask(annotation["segmentation"], emission.shape), EIGHT) & emission
    word = str(annotation["derived_class"])
    if word != MULTISLAND:
        mask = _largest_piece(mask)
    return LabelledObject(
        class_name=word,
        mask=RunLengthMask.of(mask),
        name=str(annotation["id"]),
        attributes={
            "morphology": annotation["word"],
            "n_islands": annotation["n_islands"],
            "second_island_flux_frac": annotation["second_island_flux_frac"],
            "host": annotation["keypoints"][:2],
        },
    )


def polygon_mask(polygons: list[list[float]], shape: tuple[int, ...]) -> Mask:
    """Pixels (ny, nx) whose centres, at whole numbers, lie inside one of the polygons ``x, y, x, y, ...``."""
    mask = np.zeros(shape, dtype=bool)
    for corners in polygons:
        xy = np.asarray(corners, dtype=float).reshape(-1, 2)
        mask[polygon(xy[:, 1], xy[:, 0], shape=(shape[0], shape[1]))] = True
    return mask


def _largest_piece(mask: Mask) -> Mask:
    """The largest connected piece: the others of a one-island galaxy are small neighbours inside its box."""
    pieces, count = ndimage.label(mask, structure=EIGHT)
    if count <= 1:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return pieces == int(sizes.argmax()) + 1
