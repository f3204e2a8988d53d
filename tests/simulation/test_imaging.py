"""The uv plane: antennas, tracks, weights, gridding and the dirty beam."""

from __future__ import annotations

import numpy as np
import pytest

from neanias_ml.simulation import LAYOUTS
from neanias_ml.simulation.imaging.antennas import antenna_layout
from neanias_ml.simulation.imaging.gridding import cell_sums, image_of_visibilities
from neanias_ml.simulation.imaging.interferometer import dirty_beam
from tests.simulation.makers import observed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_dirty_beam_has_unit_peak_and_point_symmetry(layout):
    _, _, coverage = observed(layout)
    beam = dirty_beam(coverage, extent=256)
    assert beam[128, 128] == pytest.approx(1.0, abs=1e-4)
    assert beam.argmax() == 128 * 256 + 128
    assert np.allclose(beam[1:, 1:], beam[:0:-1, :0:-1], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_main_lobe_has_the_curvature_of_the_restoring_beam(layout):
    _, covariance, coverage = observed(layout, beam_major=14.0, beam_minor=9.0, beam_pa=25.0)
    moment = np.einsum("im,jm,m->ij", *[np.stack([coverage.kx, coverage.ky])] * 2, coverage.weight)
    assert 4 * np.pi**2 * moment == pytest.approx(np.linalg.inv(covariance), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("layout", ["vla", "atca"])
def test_the_dirty_beam_is_the_direct_fourier_sum(layout):
    _, _, coverage = observed(layout)
    beam = dirty_beam(coverage, extent=40)
    place = np.arange(40) - 20
    down = np.exp(2j * np.pi * np.outer(coverage.ky, place))
    across = np.exp(2j * np.pi * np.outer(coverage.kx, place))
    direct = np.einsum("m,my,mx->yx", coverage.weight, down, across, optimize=True).real
    assert beam[4:-4, 4:-4] == pytest.approx(direct[4:-4, 4:-4], abs=3e-4)
    assert beam == pytest.approx(direct, abs=6e-3)


def test_images_of_any_visibilities_are_direct_sums_without_aliases():
    rng = np.random.default_rng(2)
    kx, ky = rng.uniform(-0.499, 0.499, (2, 500))
    values = (rng.normal(size=500) + 1j * rng.normal(size=500)) / np.sqrt(500)
    image = image_of_visibilities(kx, ky, values, extent=100)
    for x, y in ((0, 0), (-3, 5), (40, -44), (-45, 12)):
        direct = np.sum((values * np.exp(2j * np.pi * (kx * x + ky * y))).real)
        assert image[50 + y, 50 + x] == pytest.approx(direct, abs=0.03)


def test_cells_hold_visibilities_and_their_mirrors():
    kx, ky = np.array([0.1, -0.1, 0.0, 0.3]), np.array([0.2, 0.2, -0.4, 0.0])
    sums = cell_sums(kx, ky, np.array([1.0, 2.0, 3.0, 4.0]), size=10)
    assert (sums[2, 1], sums[8, 1], sums[6, 0], sums[4, 0], sums[0, 3]) == (1.0, 2.0, 3.0, 3.0, 4.0)
    # the transform of the half plane is the sum of cosines
    cosines = sum(w * np.cos(2 * np.pi * (x * 3 + y * 4)) for x, y, w in zip(kx, ky, (1, 2, 3, 4), strict=True))
    assert np.fft.irfft2(sums, s=(10, 10))[4, 3] * 100 == pytest.approx(2 * cosines)


def test_visibilities_have_weights_that_sum_to_one_within_the_sampled_band():
    for layout in LAYOUTS:
        _, _, coverage = observed(layout)
        assert coverage.weight.sum() == pytest.approx(1.0)
        assert np.all(coverage.weight >= 0)
        used = coverage.weight > 0
        assert max(np.abs(coverage.kx[used]).max(), np.abs(coverage.ky[used]).max()) < 0.5


def test_an_east_west_array_at_the_pole_sees_concentric_rings():
    _, _, coverage = observed("atca", declination=-89.0, hour_angle_span=12.0)
    beam = dirty_beam(coverage, extent=256)
    rows, columns = np.mgrid[:256, :256] - 128
    radius = np.rint(np.hypot(rows, columns)).astype(int)
    # around the main lobe a ring is nearly constant: most of the variance is that of the ring means
    means = np.bincount(radius.ravel(), beam.ravel()) / np.bincount(radius.ravel())
    near = (radius > 6) & (radius < 30)
    assert np.std(means[radius[near]]) > 2 * np.std(beam[near] - means[radius[near]])


def test_scans_leave_gaps_and_fill_the_span():
    _, _, coverage = observed(hour_angle_span=8.0, scans=4, scan_duty=0.1)
    times = np.unique(coverage.hour)
    gaps = np.diff(times)
    assert (gaps > 1.5).sum() == 3
    assert times[-1] - times[0] == pytest.approx(6.2, abs=0.05)


def test_layouts_have_their_number_of_antennas():
    counts = {name: len(antenna_layout(name).positions) for name in LAYOUTS}
    assert counts == {"askap": 36, "meerkat": 64, "vla": 27, "atca": 6, "lofar": 38}
    assert np.ptp(antenna_layout("atca").positions[:, 1]) == 0
