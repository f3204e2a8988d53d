"""Shapes of extended objects: what distinguishes their kinds, and that they fill their sites."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max

from neanias_ml.simulation.sources.diffuse import relic
from neanias_ml.simulation.sources.families import ALL_FAMILIES
from neanias_ml.simulation.sources.galaxy_clusters import galaxy_cluster
from neanias_ml.simulation.sources.models import render
from neanias_ml.simulation.sources.nebulae import snr_filled, snr_shell
from neanias_ml.simulation.sources.painting import paint_gaussians
from neanias_ml.simulation.sources.radio_galaxies import double_double, draw_lobes, fr2, remnant
from neanias_ml.simulation.sources.shapes import Site, Sketch, oriented_covariance
from neanias_ml.simulation.sources.spirals import spiral
from neanias_ml.simulation.sources.tailed_galaxies import fr1, narrow_angle_tail, wide_angle_tail
from neanias_ml.simulation.truth import MORPHOLOGIES

BUILDERS = [builder for family in ALL_FAMILIES for builder in family.builders]
BEAM = oriented_covariance(4.0, 4.0, 0.0)
CENTRE = np.array([100.3, 90.6])


def site(length, angle=0.0):
    return Site(CENTRE, length, angle, BEAM)


def image_of(builder, seed, *, length=100.0, angle=0.0):
    """Convolved image in a frame of 401 pixels whose middle is the site's, unit peak."""
    stamp = render(builder(np.random.default_rng(seed), site(length, angle)), beam=BEAM)
    frame = np.zeros((401, 401))
    left, top = 200 - 100, 200 - 91
    part = stamp.inside((91 + 200, 100 + 200))
    assert part is not None
    window = part.window
    frame[window.y0 + top : window.y1 + top, window.x0 + left : window.x1 + left] = part.data
    return frame / frame.max()


def peak_separation(image):
    """Distance of the two brightest regions on opposite sides over the size at 5 % of the peak (Fanaroff & Riley)."""
    columns = image.max(0)
    extent = np.flatnonzero(columns > 0.05)
    left, right = columns[:200], columns[201:]
    return (201 + right.argmax() - left.argmax()) / np.ptp(extent)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_objects_are_positive_fill_their_site_and_repeat(builder):
    extents = []
    for seed in range(6):
        model = builder(np.random.default_rng(seed), site(80.0, 0.7))
        stamp = render(model, beam=BEAM)
        assert model.kind in MORPHOLOGIES
        assert model.total_flux > 0 and (model.gaussians.total_flux >= 0).all()
        assert model.patch is None or model.patch.brightness.min() >= 0
        assert np.isfinite(stamp.data).all() and stamp.data.min() > -1e-4 * stamp.data.max()
        bright = np.argwhere(stamp.data > 0.1 * stamp.data.max())
        extents.append(np.hypot(*np.ptp(bright, axis=0)))
        again = builder(np.random.default_rng(seed), site(80.0, 0.7))
        assert np.array_equal(render(again, beam=BEAM).data, stamp.data)
    assert 30.0 < np.median(extents) < 140.0


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("length", [1.0, 6.0])
def test_objects_smaller_than_the_beam_are_still_drawn(builder, length):
    model = builder(np.random.default_rng(1), site(length))
    data = render(model, beam=BEAM).data
    assert np.isfinite(data).all() and data.max() > 0


def test_classical_doubles_are_edge_brightened_and_jets_edge_darkened():
    doubles = np.array([peak_separation(image_of(fr2, seed)) for seed in range(40)])
    jets = np.array([peak_separation(image_of(fr1, seed)) for seed in range(40)])
    assert np.mean(doubles > 0.5) > 0.8
    assert np.mean(jets < 0.5) > 0.9


def test_double_doubles_show_two_pairs_on_one_axis():
    counts = []
    for seed in range(20):
        image = image_of(double_double, seed, length=160.0)
        peaks = peak_local_max(image, min_distance=4, threshold_abs=0.03)
        counts.append(len(peaks))
        across = peaks[:, 0] - 200.0
        assert np.sqrt(np.mean(across**2)) < 0.15 * 160.0
    assert np.median(counts) >= 4


def test_remnants_have_no_hot_spots():
    sharpness = []
    for builder in (fr2, remnant):
        images = [image_of(builder, seed) for seed in range(20)]
        sharpness.append(np.median([(image > 0.5).sum() / (image > 0.05).sum() for image in images]))
    assert sharpness[1] > 2 * sharpness[0]


def opening(image):
    """Angle in degrees between the directions of the two tails' ends, seen from the core in the middle."""
    rows, columns = np.nonzero(image > 0.05)
    offsets = np.stack([columns - 200.0, rows - 200.0], -1)
    far = offsets[np.hypot(*offsets.T) > 0.5 * np.hypot(*offsets.T).max()]
    angles = np.degrees(np.arctan2(far[:, 1], far[:, 0]))
    difference = np.abs((angles[:, None] - angles + 180.0) % 360.0 - 180.0)
    return difference.max()


def test_narrow_tails_are_narrower_than_wide_ones():
    wide = [opening(image_of(wide_angle_tail, seed, length=160.0)) for seed in range(20)]
    narrow = [opening(image_of(narrow_angle_tail, seed, length=160.0)) for seed in range(20)]
    assert np.median(narrow) < 80.0 < np.median(wide) < 175.0


def test_shells_are_bright_at_the_limb_and_filled_remnants_in_the_middle():
    rows, columns = np.mgrid[:401, :401] - 200
    radius = np.hypot(rows, columns)
    ratios = []
    for builder in (snr_shell, snr_filled):
        images = [image_of(builder, seed) for seed in range(12)]
        ratios.append(np.median([i[(radius > 30) & (radius < 48)].mean() / i[radius < 20].mean() for i in images]))
    assert ratios[0] > 1.2 and ratios[1] < 0.7


def test_spirals_wind_around_their_middle():
    image = image_of(spiral, 3)
    y, x = ndimage.center_of_mass(image)
    assert (x, y) == pytest.approx((200.0, 200.0), abs=5.0)


def test_relics_lie_across_their_axis():
    for seed in range(8):
        _, _, covariance = relic(np.random.default_rng(seed), site(100.0, 0.0)).moments()
        assert covariance[1, 1] > 3 * covariance[0, 0]


def test_arms_and_brightness_of_lobes_differ_as_published():
    rng = np.random.default_rng(1)
    pairs = [draw_lobes(rng, site(100.0), filling=0.5, bridge=0.1) for _ in range(3000)]
    x = np.array([(a.arm - b.arm) / (a.arm + b.arm) for a, b in pairs])
    assert np.median(np.abs(x)) == pytest.approx(0.6745 * 0.12, rel=0.1)
    ratios = np.log10([a.peak / b.peak for a, b in pairs])
    assert np.std(ratios) == pytest.approx(0.2 * np.sqrt(2), rel=0.1)
    assert all(a.arm + b.arm == pytest.approx(100.0) for a, b in pairs)


def test_a_cluster_holds_tails_around_a_central_galaxy():
    kinds, offsets = [], []
    for seed in range(30):
        sources = galaxy_cluster(np.random.default_rng(seed), site(120.0), rms=1.0)
        kinds += [source.kind for source in sources]
        offsets += [np.hypot(*(np.array(source.moments()[:2]) - CENTRE)) for source in sources]
        assert sum(MORPHOLOGIES[source.kind] == "bent" for source in sources) in (1, 2, 3)
    assert np.median(offsets) < 60.0
    assert 5 < kinds.count("halo") < 20 and kinds.count("relic") > 5


def test_a_stroke_has_the_ridge_it_is_asked_for():
    line = np.stack([np.linspace(0.0, 200.0, 50), np.full(50, 60.0)], -1)
    for width in (0.5, 4.0, 20.0):
        sketch = Sketch(site(200.0))
        sketch.stroke(line, ridge=np.full(50, 3.0), width=np.full(50, width))
        stamp = render(sketch.model("filament", rng=np.random.default_rng(0)), beam=BEAM)
        middle = stamp.data[60 - stamp.window.y0, 100 - stamp.window.x0]
        assert middle == pytest.approx(3.0, rel=0.03)


def test_painted_gaussians_equal_their_formula_and_end_at_the_canvas():
    rng = np.random.default_rng(2)
    canvas = np.zeros((40, 50), dtype=np.float32)
    x, y, peak = rng.uniform(-5, 55, 12), rng.uniform(-5, 45, 12), rng.uniform(-1, 2, 12)
    width = np.stack([oriented_covariance(*rng.uniform(3, 9, 2), rng.uniform(0, 3)) for _ in range(12)])
    paint_gaussians(canvas, x, y, peak, width, 6.0)
    rows, columns = np.mgrid[:40, :50]
    expected = np.zeros((40, 50))
    for number in range(12):
        offset = np.stack([columns - x[number], rows - y[number]], -1)
        form = np.einsum("...i,ij,...j", offset, np.linalg.inv(width[number]), offset)
        expected += peak[number] * np.exp(-0.5 * form)
    assert canvas == pytest.approx(expected, abs=1e-5)
