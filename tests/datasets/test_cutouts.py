"""Cutouts of objects: the frame against known fields, words of both kinds of truth, files that tell their damage."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neanias_ml.datasets.circles import enclosing_circle, outer_corners
from neanias_ml.datasets.cutout_store import (
    CUTOUT_SUFFIX,
    FRAME,
    MARGIN,
    CutoutStore,
    MorphologyCutout,
    read_cutouts,
    write_cutouts,
)
from neanias_ml.datasets.cutouts import (
    CUT_CLASSES,
    cut_object,
    labelled_morphologies,
    object_cutouts,
    simulated_morphologies,
)
from neanias_ml.datasets.fields import extract_islands
from neanias_ml.datasets.labelled_truth import labelled_truth
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.observed_truth import ObservedTruth, observed_truth
from neanias_ml.datasets.real import open_real_set
from neanias_ml.errors import InputError
from neanias_ml.extraction import FinderConfig
from neanias_ml.maps import Beam, RadioMap
from neanias_ml.simulation import SkyConfig, simulate_sky
from tests.datasets.real_makers import gaussians
from tests.models.morphology.cutout_makers import drawn_set
from tests.simulation.makers import changed

ROOT = os.environ.get("NEANIAS_REAL_DATA", "")
needs_data = pytest.mark.skipif(not Path(ROOT or "/nowhere").is_dir(), reason="NEANIAS_REAL_DATA names no folder")
RMS, BEAM, SIGMA = 1e-4, 5.0, 5.0 / 2.3548


def extraction_of(sources, *, size=200, seed=1, moved=(0, 0)):
    """Extraction of Gaussians (peak in sigma, x, y, sigma, sigma) on white noise of unit rms, all moved by pixels."""
    noise = np.random.default_rng(seed).normal(size=(size, size))
    pixels = (RMS * np.roll(gaussians((size, size), sources) + noise, moved, axis=(0, 1))).astype(np.float32)
    radio_map = RadioMap.from_array(pixels, beam=Beam(BEAM / 3600, BEAM / 3600), pixel_scale=1 / 3600)
    return extract_islands(radio_map, config=FinderConfig())


def pair(x=100.0, y=90.0, *, apart=30.0):
    return [(40.0, x - apart / 2, y, SIGMA, SIGMA), (20.0, x + apart / 2, y, SIGMA, SIGMA)]


@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-100, 100, width=32)))
@settings(max_examples=60, deadline=None)
def test_the_circle_holds_all_points_and_is_the_smallest(points):
    cv2 = pytest.importorskip("cv2")
    centre, radius = enclosing_circle(points)
    assert (np.hypot(*(points - centre).T) <= radius + 1e-9).all()
    _, least = cv2.minEnclosingCircle(points.astype(np.float32))
    assert radius <= 1.02 * least + 1e-2


def test_corners_of_a_mask_bound_its_pixels():
    mask = np.random.default_rng(3).random((9, 12)) < 0.2
    y, x = np.nonzero(mask)
    corners = outer_corners(mask)
    np.testing.assert_array_equal(corners.min(axis=0), [y.min(), x.min()])
    np.testing.assert_array_equal(corners.max(axis=0), [y.max() + 1, x.max() + 1])


@pytest.mark.parametrize("apart", [20.0, 60.0, 110.0])
def test_an_object_fills_its_frame_whatever_its_size(apart):
    extraction = extraction_of(pair(apart=apart))
    assert len(extraction.islands) == 2
    cutout = cut_object(extraction, [0, 1])
    assert cutout.asinh_snr.shape == (FRAME, FRAME) and set(np.unique(cutout.islands)) == {0, 1, 2}
    centre, radius = enclosing_circle(outer_corners(cutout.islands > 0))
    assert abs(radius - FRAME / (2 * MARGIN)) < 1.5
    np.testing.assert_allclose(centre, FRAME / 2, atol=1.5)
    table = extraction.islands.table
    box = max(table.x1.max() - table.x0.min(), table.y1.max() - table.y0.min())
    assert cutout.beam == pytest.approx(BEAM * FRAME / (MARGIN * box), rel=0.1)


def test_a_frame_keeps_peaks_where_it_enlarges_and_flux_where_it_shrinks():
    small = cut_object(extraction_of(pair(apart=20.0)), [0, 1])
    assert np.nanmax(small.significance) == pytest.approx(40.0, abs=4.0)
    wide = [(30.0, 60.0 + 20 * step, 100.0, 8.0, 8.0) for step in range(5)]
    extraction = extraction_of(wide)
    shrunk = cut_object(extraction, [0])
    scale = shrunk.beam / BEAM
    assert scale < 1
    expected = gaussians((200, 200), wide).sum()
    assert np.nansum(shrunk.significance) / scale**2 == pytest.approx(expected, rel=0.1)


def test_moving_the_map_does_not_change_a_cutout():
    one = cut_object(extraction_of(pair(100, 90)), [0, 1])
    other = cut_object(extraction_of(pair(100, 90), moved=(27, -29)), [0, 1])
    assert one.beam == pytest.approx(other.beam, rel=0.05)
    both = (one.islands > 0) & (other.islands > 0)
    assert both.sum() > 0.8 * (one.islands > 0).sum()
    assert np.corrcoef(one.significance[both], other.significance[both])[0, 1] > 0.95


def test_what_lies_beyond_the_map_is_blank():
    cutout = cut_object(extraction_of([(40.0, 2.0, 90.0, 6.0, 6.0)]), [0])
    blank = np.isnan(cutout.significance)
    assert blank[:, :10].all() and not blank[:, 60:].any()
    assert not (blank & (cutout.islands > 0)).any()


def test_the_smallest_islands_of_a_large_object_are_still_there():
    small = [(12.0, 100.0 + 61.3 * number, 400.0, 1.3, 1.3) for number in range(10)]
    extraction = extraction_of([*pair(400, 400, apart=700), *small], size=800, seed=7)
    rows = np.arange(len(extraction.islands))
    cutout = cut_object(extraction, rows)
    assert len(rows) >= 10 and cutout.beam < 1  # most are narrower than a pixel of the frame
    assert set(np.unique(cutout.islands)) == {0, *(rows + 1)}


def test_only_extended_objects_with_islands_and_a_word_are_cut():
    extraction = extraction_of(pair())
    truth = ObservedTruth(
        labels=np.zeros((200, 200), np.int32),
        class_names=np.array(["extended-multisland", "extended", "compact", "extended"]),
        object_ids=np.array([1, 2, 3, 4]),
        island_instance=np.array([1, 3]),
    )
    image = LabelledImage(Path("f.fits"), (200, 200), tuple(_labelled(**facts) for facts in (
        {"fr": "FRII", "confidence": "uncertain", "morphology": "standard"}, {"morphology": "FR-I"}, {"fr": "FRI"}, {},
    )))  # fmt: skip
    known = labelled_morphologies(truth, image)
    assert known.words.tolist() == ["FRII", "FR-I", "FRI", ""]
    assert known.confidence.tolist() == [0.5, 1.0, 1.0, 1.0]
    (cutout,) = object_cutouts(extraction, truth, known, name="sky")
    assert (cutout.word, cutout.confidence, cutout.field) == ("FRII", 0.5, "sky")
    assert set(np.unique(cutout.islands)) == {0, 1}  # the other island belongs to a compact object


def _labelled(**attributes):
    pixels = np.zeros((200, 200), bool)
    pixels[3, 3] = True
    return LabelledObject("extended", RunLengthMask.of(pixels), attributes=attributes)


def test_the_form_of_a_labelled_galaxy_counts_more_than_its_class():
    truth = ObservedTruth(np.zeros((200, 200), np.int32), np.array(["extended"]), np.array([1]), np.array([1]))
    image = LabelledImage(
        Path("f"), (200, 200), (_labelled(fr="FRI", morphology="WAT", confidence="confident"),)
    )  # fmt: skip
    known = labelled_morphologies(truth, image)
    assert known.words.tolist() == ["WAT"] and known.confidence.tolist() == [1.0]


def test_simulated_objects_carry_their_kind():
    config = changed(SkyConfig(size=320), compact_density=4.0, double_density=3.0, bright_sources=0.0)
    sky = simulate_sky(config, seed=5)
    extraction = extract_islands(sky.radio_map, config=FinderConfig())
    truth = observed_truth(sky, extraction.islands, noise=extraction.noise.evaluate()[1])
    known = simulated_morphologies(truth, sky.truth.objects)
    assert len(known.words) == len(truth)
    assert (known.words[truth.class_names == "spurious"] == "").all()
    cutouts = object_cutouts(extraction, truth, known, name="sky-1")
    wanted = np.isin(truth.class_names, CUT_CLASSES) & np.isin(np.arange(1, len(truth) + 1), truth.island_instance)
    assert [cutout.word for cutout in cutouts] == known.words[wanted].tolist()
    assert "FR-II" in known.words[wanted]
    number = int(np.flatnonzero(wanted)[0])
    row = sky.truth.objects.object_id.tolist().index(truth.object_ids[number])
    assert cutouts[0].word == sky.truth.objects.kind[row]
    assert all((cutout.islands > 0).any() and np.isfinite(cutout.significance).any() for cutout in cutouts)


def test_cutouts_come_back_from_a_file_as_they_were(tmp_path):
    cutouts = drawn_set(5, seed=2)
    path = tmp_path / f"a{CUTOUT_SUFFIX}"
    write_cutouts(path, cutouts)
    for one, other in zip(read_cutouts(path), cutouts, strict=True):
        np.testing.assert_array_equal(one.asinh_snr, other.asinh_snr)
        np.testing.assert_array_equal(one.islands, other.islands)
        assert (one.beam, one.word, one.confidence, one.field) == (
            other.beam, other.word, other.confidence, other.field,
        )  # fmt: skip
    again = tmp_path / f"b{CUTOUT_SUFFIX}"
    write_cutouts(again, cutouts)
    assert again.read_bytes() == path.read_bytes()


def test_a_file_may_hold_no_cutout(tmp_path):
    path = tmp_path / f"a{CUTOUT_SUFFIX}"
    write_cutouts(path, [])
    assert read_cutouts(path) == [] and len(CutoutStore(tmp_path)) == 0


def test_a_store_is_all_files_in_order_and_travels(tmp_path):
    first, second = drawn_set(4, seed=1), drawn_set(3, seed=2)
    write_cutouts(tmp_path / f"a{CUTOUT_SUFFIX}", first)
    write_cutouts(tmp_path / f"b{CUTOUT_SUFFIX}", second)
    store = CutoutStore(tmp_path)
    assert store.words == [cutout.word for cutout in [*first, *second]]
    part = store.rows([5, 0])
    assert [cutout.word for cutout in part] == [second[1].word, first[0].word]
    np.testing.assert_array_equal(part.confidence, [1.0, 1.0])
    assert part[0] is not part[0]
    copied = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(copied[1].asinh_snr, first[0].asinh_snr)
    assert len(store[2:6]) == 4


def test_damage_is_told(tmp_path):
    path = tmp_path / f"a{CUTOUT_SUFFIX}"
    write_cutouts(path, drawn_set(3, seed=1))
    content = bytearray(path.read_bytes())
    content[-5] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_cutouts(path)
    assert caught.value.code == "CutoutsDamaged"
    path.write_bytes(content[:50])
    with pytest.raises(InputError, match="prepare the data again"):
        CutoutStore(tmp_path)
    path.unlink()
    with pytest.raises(InputError) as caught:
        CutoutStore(tmp_path)
    assert caught.value.code == "NoCutouts"


@pytest.mark.parametrize("changes", [{"beam": 0.0}, {"confidence": 1.5}, {"islands": np.zeros((4, 4), np.uint8)}])
def test_a_cutout_is_checked(changes):
    values = {"asinh_snr": np.zeros((8, 8), np.float16), "islands": np.zeros((8, 8), np.uint8), "beam": 3.0}
    with pytest.raises(ValueError, match=r"cutout|beam"):
        MorphologyCutout(**(values | changes))


def test_stored_cutouts_are_read_without_the_libraries_of_preparation(tmp_path):
    write_cutouts(tmp_path / f"a{CUTOUT_SUFFIX}", drawn_set(1, seed=1))
    script = (
        "import sys\n"
        "for name in ('astropy', 'skimage', 'numba'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from neanias_ml.datasets.cutout_store import CutoutStore\n"
        "from neanias_ml.models.morphology.inputs import cutout_inputs\n"
        f"print(cutout_inputs(CutoutStore(Path({str(tmp_path)!r}))[0]).image.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"(3, {FRAME}, {FRAME})", done.stderr


@needs_data
def test_galaxies_of_mirabest_are_cut_with_their_class():
    real = open_real_set("mirabest", ROOT)
    found = []
    for entry in real.entries[:12]:
        labelled = real.read(entry)
        extraction = extract_islands(labelled.radio_map, config=FinderConfig())
        background, noise = extraction.noise.evaluate()
        snr = (labelled.radio_map.data - background) / noise
        truth = labelled_truth(labelled.image, extraction.islands, significance=snr).truth
        known = labelled_morphologies(truth, labelled.image)
        for cutout in object_cutouts(extraction, truth, known, name=entry.name):
            facts = labelled.image.attributes
            assert cutout.word == (facts["fr"] if facts["morphology"] == "standard" else facts["morphology"])
            assert cutout.confidence == {"confident": 1.0, "uncertain": 0.5}[facts["confidence"]]
            found.append(cutout.word)
    assert len(found) >= 6
