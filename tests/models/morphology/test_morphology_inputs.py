"""Classes and inputs of the morphology network."""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest

from neanias_ml.datasets.channels import asinh_scale
from neanias_ml.datasets.cutout_store import FRAME, MARGIN, MorphologyCutout
from neanias_ml.datasets.field_names import source_of_field
from neanias_ml.datasets.real import open_real_set
from neanias_ml.models.morphology.classes import (
    MORPHOLOGY_NAMES,
    MORPHOLOGY_OF_WORD,
    UNKNOWN,
    bent_untold,
    edge_brightened,
    labels_of_words,
    told_apart,
)
from neanias_ml.models.morphology.inputs import LARGEST_NUMBER, SCALAR_NAMES, cutout_inputs
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


def test_where_labels_do_not_tell_bent_from_straight_neither_do_answers():
    assert bent_untold(["radiogalaxynet:a", "mirabest:b", "train-00001"]).tolist() == [True, False, False]
    assert [source_of_field(field) for field in ("mirabest:a:b", "train-00001")] == ["mirabest", "simulated"]
    probabilities = np.random.default_rng(2).dirichlet(np.ones(9), 2)
    said = told_apart(probabilities, np.array([True, False]))
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    np.testing.assert_array_equal(said[1], probabilities[1])
    assert said[0, 3] == 0 and said[0, 0] == pytest.approx(probabilities[0, 0] + probabilities[0, 3])


def test_bent_galaxies_are_edge_darkened():
    probabilities = np.zeros((3, 9))
    probabilities[0, [0, 1, 3]] = 0.2, 0.5, 0.3
    probabilities[1, [1, 4]] = 0.1, 0.9
    probabilities[2, 5] = 1.0
    assert edge_brightened(probabilities).tolist() == [0.5, 1.0, 0.5]


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
    np.testing.assert_allclose(one.scalars, other.scalars, atol=0.06)  # a shell has no axis of its own


def test_blank_pixels_and_corners_are_zero():
    cutout = disc(30)
    asinh = cutout.asinh_snr.copy()
    asinh[:40] = np.nan
    inputs = cutout_inputs(dataclasses.replace(cutout, asinh_snr=asinh))
    assert np.isfinite(inputs.image).all() and np.isfinite(inputs.scalars).all()
    assert (inputs.image[0, :40] == 0).all() and (inputs.image[:, 0, 0] == 0).all()
    nothing = dataclasses.replace(cutout, islands=np.zeros_like(cutout.islands))
    assert np.isfinite(cutout_inputs(nothing).scalars).all()


def numbers_of(snr, *, beam=8.0):
    """Numbers by name of a picture without noise whose islands are what lies above 2.6."""
    snr = snr.astype(np.float32)
    cutout = MorphologyCutout(asinh_scale(snr).astype(np.float16), (snr > 2.6).astype(np.uint8), beam)
    return dict(zip(SCALAR_NAMES, cutout_inputs(cutout).scalars.tolist(), strict=True))


def ridge(*, bright, curve=0.0, angle=0.0):
    """A ridge from end to end of the circle around an object: its flux at places -1 to 1 along it."""
    offsets = np.arange(FRAME) - (FRAME - 1) / 2
    y, x = offsets[:, None], offsets[None, :]
    half = FRAME / (2 * MARGIN)
    along = (x * np.cos(angle) + y * np.sin(angle)) / half
    across = (y * np.cos(angle) - x * np.sin(angle)) / half
    inside = np.abs(along) <= 0.97
    return np.where(inside, bright(along) * np.exp(-0.5 * ((across - curve * (along**2 - 0.4)) / 0.08) ** 2), 0.0)


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
def test_numbers_along_the_axis_tell_lobes_from_jets(angle):
    lobes = numbers_of(ridge(bright=lambda t: 10 + 90 * np.exp(-0.5 * ((np.abs(t) - 0.8) / 0.08) ** 2), angle=angle))
    jets = numbers_of(ridge(bright=lambda t: 10 + 90 * np.exp(-0.5 * (t / 0.3) ** 2), angle=angle))
    assert lobes["spots"] == pytest.approx(0.8, abs=0.1) and jets["spots"] < 0.15
    assert lobes["peak_place"] == pytest.approx(0.8, abs=0.1) and jets["peak_place"] < 0.15
    assert lobes["within_40"] < 0.25 < 0.7 < jets["within_60"]
    assert lobes["core"] < 0.3 < 1 < jets["core"] and lobes["mean_radius"] > 2 * jets["mean_radius"]
    for numbers in (lobes, jets):
        assert numbers["lopsided"] < 0.05 and numbers["off_middle"] < 0.05 and numbers["flux_bend"] < 0.1
        assert numbers["flux_axis_ratio"] < 0.4


def test_a_uniform_bar_has_the_numbers_of_a_uniform_bar():
    bar = numbers_of(ridge(bright=lambda t: np.full_like(t, 50.0)))
    for percent in (20, 40, 60, 80):
        assert bar[f"within_{percent}"] == pytest.approx(percent / 100, abs=0.04)
    assert bar["central"] == pytest.approx(0.25 / 0.97, abs=0.05)
    assert bar["mean_radius"] == pytest.approx(0.5, abs=0.05)


def test_a_bent_ridge_is_told_from_a_straight_one_and_its_curvature_is_the_drawn_one():
    bent = numbers_of(ridge(bright=lambda t: np.full_like(t, 50.0), curve=0.4))
    assert bent["flux_bend"] == pytest.approx(0.4, abs=0.08) and bent["bend"] == pytest.approx(0.4, abs=0.1)


def test_flux_on_one_side_is_told():
    heavy = numbers_of(ridge(bright=lambda t: np.where(t > 0, 60.0, 20.0)))
    assert heavy["lopsided"] == pytest.approx(0.25, abs=0.03) and heavy["off_middle"] == pytest.approx(0.25, abs=0.05)


def test_numbers_are_finite_and_limited_for_one_pixel_and_for_enormous_signal():
    one = np.zeros((FRAME, FRAME))
    one[40, 50] = 1e4
    for numbers in (numbers_of(one), numbers_of(np.full((FRAME, FRAME), 6e4), beam=1e-3)):
        values = np.array(list(numbers.values()))
        assert np.isfinite(values).all() and np.abs(values).max() <= LARGEST_NUMBER
