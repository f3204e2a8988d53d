"""Classes and inputs of the morphology network."""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest

from neanias_ml.datasets.channels import asinh_scale
from neanias_ml.datasets.cutout_store import FRAME, MARGIN, MorphologyCutout
from neanias_ml.datasets.real import open_real_set
from neanias_ml.models.morphology.classes import (
    MORPHOLOGY_NAMES,
    MORPHOLOGY_OF_WORD,
    UNKNOWN,
    labels_of_words,
)
from neanias_ml.models.morphology.inputs import SCALAR_NAMES, cutout_inputs
from neanias_ml.simulation.truth import MORPHOLOGIES
from tests.models.morphology.cutout_makers import WORDS, drawn_cutout

ROOT = os.environ.get("NEANIAS_REAL_DATA", "")
needs_data = pytest.mark.skipif(not Path(ROOT or "/nowhere").is_dir(), reason="NEANIAS_REAL_DATA names no folder")
NOT_A_SHAPE = {"point"}


def test_every_simulated_kind_means_a_class_or_is_known_to_mean_none():
    assert set(MORPHOLOGIES) - set(MORPHOLOGY_OF_WORD) == NOT_A_SHAPE
    assert set(MORPHOLOGY_OF_WORD.values()) == set(MORPHOLOGY_NAMES)
    assert labels_of_words(["FR-I", "ORC", "point", "artefact", "no such word"]).tolist() == [
        0, MORPHOLOGY_NAMES.index("ring"), UNKNOWN, UNKNOWN, UNKNOWN,
    ]  # fmt: skip


@needs_data
@pytest.mark.parametrize("name", ["mirabest", "radiogalaxynet"])
def test_every_word_of_the_real_sets_means_a_class(name):
    real = open_real_set(name, ROOT)
    if name == "mirabest":
        rows = real._objects.values()
        words = {row["fr"] if row["morph"] == "standard" else row["morph"] for row in rows}
    else:
        words = {one["word"] for annotations in real._annotations.values() for one in annotations}
    assert words and (labels_of_words(sorted(words)) != UNKNOWN).all()


def disc(radius, *, peak=20.0, beam=8.0, islands=None):
    offsets = np.arange(FRAME) - (FRAME - 1) / 2
    inside = np.hypot(offsets[:, None], offsets[None, :]) <= radius
    snr = np.where(inside, peak, 0.0).astype(np.float32)
    return MorphologyCutout(
        asinh_scale(snr).astype(np.float16), inside.astype(np.uint8) if islands is None else islands, beam
    )


def test_numbers_of_a_disc_are_those_of_geometry():
    radius = FRAME / (2 * MARGIN)
    scalars = dict(zip(SCALAR_NAMES, cutout_inputs(disc(radius)).scalars.tolist(), strict=True))
    assert scalars["size"] == pytest.approx(math.log2(2 * radius / 8.0) - 3, abs=0.03)
    assert scalars["peak"] == pytest.approx(math.log10(20) - 1.5, abs=0.01)
    flux = 20 * math.pi * radius**2 / (1.1331 * 8.0**2)
    assert scalars["flux"] == pytest.approx(math.log10(flux) - 2, abs=0.02)
    assert scalars["axis_ratio"] == pytest.approx(1.0, abs=0.01)
    assert scalars["filled"] == pytest.approx(1.0, abs=0.04)
    assert scalars["concentration"] == pytest.approx(0.0, abs=0.01)
    assert (scalars["islands"], scalars["largest_share"]) == (0.0, 1.0)


def test_numbers_tell_a_double_from_a_blob():
    double, blob = (
        dict(zip(SCALAR_NAMES, cutout_inputs(drawn_cutout(word, 3)).scalars.tolist(), strict=True))
        for word in ("FR-II", "gauss")
    )
    assert double["islands"] == 1.0 and blob["islands"] == 0.0
    assert double["axis_ratio"] < 0.5 < blob["axis_ratio"]
    assert double["largest_share"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("word", sorted(WORDS))
def test_turning_a_cutout_turns_its_image_and_keeps_its_numbers(turns, word):
    cutout = drawn_cutout(word, 5)
    turned = dataclasses.replace(
        cutout, asinh_snr=np.rot90(cutout.asinh_snr, turns), islands=np.rot90(cutout.islands, turns)
    )
    one, other = cutout_inputs(cutout), cutout_inputs(turned)
    np.testing.assert_array_equal(np.rot90(one.image, turns, axes=(1, 2)), other.image)
    np.testing.assert_allclose(one.scalars, other.scalars, atol=0.03)


def test_blank_pixels_and_corners_are_zero():
    cutout = disc(30)
    asinh = cutout.asinh_snr.copy()
    asinh[:40] = np.nan
    inputs = cutout_inputs(dataclasses.replace(cutout, asinh_snr=asinh))
    assert np.isfinite(inputs.image).all() and np.isfinite(inputs.scalars).all()
    assert (inputs.image[0, :40] == 0).all() and (inputs.image[:, 0, 0] == 0).all()
    nothing = dataclasses.replace(cutout, islands=np.zeros_like(cutout.islands))
    assert np.isfinite(cutout_inputs(nothing).scalars).all()
