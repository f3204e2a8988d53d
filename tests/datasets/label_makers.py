"""Label sets to write, read and break."""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy.io import fits
from hypothesis import strategies as st

from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelledImage, LabelledObject, LabelSet, SkyPlace
from neanias_ml.datasets.labels.run_length import RunLengthMask
from tests.conftest import correlated_noise, make_wcs

SHAPE = (40, 48)
RING_OBJECT = 3
"""Object of `sample_labels` that has a hole with an island in it."""


def disc(x, y, radius, *, shape=SHAPE):
    """Pixels within a radius of a place."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return (cols - x) ** 2 + (rows - y) ** 2 <= radius**2


def labelled(mask, class_name="compact", **fields):
    """An object with a mask of booleans."""
    return LabelledObject(class_name, RunLengthMask.of(mask), **fields)


def write_map(path, *, seed=0, shape=SHAPE, ra=150.0, pixels=None, beam=10.0, **cards):
    """A FITS map of noise with coordinates and a beam of five pixels."""
    header = make_wcs(shape, ra=ra).to_header()
    header["BUNIT"] = "Jy/beam"
    if beam:
        header["BMAJ"] = header["BMIN"] = beam / 3600
        header["BPA"] = 0.0
    header.update(cards)
    pixels = correlated_noise(shape, np.random.default_rng(seed)) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, np.asarray(pixels, dtype=np.float32), header)
    return path


def sample_labels(folder, *, n_images=2):
    """Images with objects of every class, one of them ignored and one with a hole that holds an island."""
    ring = disc(24, 20, 9) & ~disc(24, 20, 6) | disc(24, 20, 2)
    masks = [disc(6, 6, 3), disc(40, 8, 4), disc(8, 30, 4) | disc(18, 34, 3), ring, disc(40, 32, 5), disc(46, 20, 2)]
    names = ["compact", "extended", "extended-multisland", "spurious", "flagged", "compact"]
    objects = tuple(
        labelled(
            mask, name, name=f"S{number}", ignored=number == 5, attributes={"score": 0.5 + number / 16, "ids": [1, 2]}
        )
        for number, (mask, name) in enumerate(zip(masks, names, strict=True))
    )
    images = []
    for number in range(n_images):
        path = write_map(folder / "images" / f"map{number}.fits", seed=number, ra=150.0 + number)
        place = SkyPlace(150.0 + number, -30.0, 0.02) if number else None
        attributes = {"id": 7 + 2 * number, "note": None}
        images.append(LabelledImage(path, SHAPE, objects[: 6 - number], f"sky {number}", place, attributes))
    return LabelSet(tuple(images), CAESAR_CLASSES, {"made_by": {"name": "tests"}})


def without_ids(labels):
    """The same labels with paths resolved and without the numbers that only COCO gives."""
    return dataclasses.replace(
        labels,
        images=tuple(
            image.replace(
                path=image.path.resolve(),
                attributes=_no_id(image.attributes),
                objects=tuple(one.replace(attributes=_no_id(one.attributes)) for one in image.objects),
            )
            for image in labels
        ),
    )


def _no_id(attributes):
    return {name: value for name, value in attributes.items() if name != "id"}


masks = st.builds(
    lambda shape, seed, fill: np.random.default_rng(seed).random(shape) < fill,
    st.tuples(st.integers(8, 14), st.integers(8, 14)),
    st.integers(0, 2**20),
    st.floats(0.0, 1.0),
)
"""Masks of noise: islands that touch at corners, holes, specks, none, all."""
