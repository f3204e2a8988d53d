"""Extended emission that no pixel shows is found where it is asked for, and holds the sources inside it."""

import numpy as np
import pytest

from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.extraction.components.model_map import GaussianModel
from neanias_ml.maps import Window
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, round_covariance

SHAPE = (512, 512)
NOISE = 1e-4
CENTRE, RADIUS = (250.0, 262.0), 12.5 * BEAM_PIXELS
INSIDE = ((240.0, 250.0, 4e-3), (275.0, 262.0, 3e-3), (250.0, 290.0, 2e-3))
OUTSIDE = ((60.0, 70.0, 4e-3), (430.0, 400.0, 3e-3))


@pytest.fixture(scope="module")
def faint_disk():
    """A disk of 1.2 sigma per pixel, 25 beams across, with points inside and outside."""
    rows, cols = np.indices(SHAPE)
    disk = np.hypot(rows - CENTRE[1], cols - CENTRE[0]) < RADIUS
    pixels = NOISE * (correlated_noise(SHAPE, np.random.default_rng(1)) + 1.2 * disk)
    for x, y, peak in (*INSIDE, *OUTSIDE):
        pixels += peak * gaussian(SHAPE, x, y, round_covariance(BEAM_PIXELS))
    radio_map = make_map(pixels)
    return radio_map, disk, 1.2 * NOISE * disk.sum() / radio_map.beam_area


@pytest.fixture(scope="module")
def found(faint_disk):
    return SourceFinder(FinderConfig(search_extended=True))(faint_disk[0])


def test_without_the_search_the_disk_is_not_found(faint_disk):
    extraction = SourceFinder()(faint_disk[0])
    assert len(extraction.diffuse) == 0
    assert extraction.islands.table.n_beams.max() < 10
    assert np.count_nonzero(extraction.islands.table.snr > 10) == len(INSIDE) + len(OUTSIDE)


def test_the_disk_is_found_with_its_place_and_flux(faint_disk, found):
    _, disk, flux = faint_disk
    table = found.diffuse.table
    assert len(table) == 1 and table.kind[0] == "diffuse"
    assert np.hypot(table.x[0] - CENTRE[0], table.y[0] - CENTRE[1]) < 2 * BEAM_PIXELS
    region = found.diffuse.labels > 0
    assert (region & disk).sum() > 0.8 * (region | disk).sum()
    assert table.own_flux[0] == pytest.approx(flux, rel=0.15)
    assert table.total_flux[0] == pytest.approx(flux + sum(peak for _, _, peak in INSIDE), rel=0.15)


def test_the_sources_inside_name_it_as_their_parent(found):
    table, diffuse = found.islands.table, found.diffuse.table
    bright = table.select(table.snr > 10)  # the disk lifts a peak of the noise above the seed at its edge
    inside = np.hypot(bright.x - CENTRE[0], bright.y - CENTRE[1]) < RADIUS
    assert np.count_nonzero(inside) == len(INSIDE)
    assert (bright.parent_id[inside] == diffuse.island_id[0]).all() and not bright.parent_id[~inside].any()
    assert diffuse.island_id[0] == len(table) + 1


def test_the_sources_are_as_without_the_search(faint_disk, found):
    plain = SourceFinder()(faint_disk[0])
    np.testing.assert_array_equal(found.components.total_flux, plain.components.total_flux)
    np.testing.assert_array_equal(found.islands.table.total_flux, plain.islands.table.total_flux)


def test_own_fluxes_count_every_source_once(found):
    everything = found.all_islands
    top = everything.parent_id == 0
    assert everything.own_flux.sum() == pytest.approx(everything.total_flux[top].sum(), rel=1e-9)


def test_noise_and_points_alone_are_no_diffuse_emission():
    pixels = NOISE * correlated_noise(SHAPE, np.random.default_rng(2))
    for x, y, peak in (*INSIDE, *OUTSIDE):
        pixels += 10 * peak * gaussian(SHAPE, x, y, round_covariance(BEAM_PIXELS))
    assert len(SourceFinder(FinderConfig(search_extended=True))(make_map(pixels)).diffuse) == 0


def test_an_island_measured_by_its_pixels_is_not_counted_twice():
    """A bright disk with a point on it, inside a faint one: the flux of both disks and the point, once."""
    rows, cols = np.indices(SHAPE)
    faint = np.hypot(rows - CENTRE[1], cols - CENTRE[0]) < RADIUS
    bright = np.hypot(rows - CENTRE[1], cols - CENTRE[0] - 20) < 20
    pixels = NOISE * (correlated_noise(SHAPE, np.random.default_rng(3)) + 1.5 * faint + 10.0 * bright)
    pixels += 0.02 * gaussian(SHAPE, 270.0, 262.0, round_covariance(BEAM_PIXELS))
    extraction = SourceFinder(FinderConfig(search_extended=True))(make_map(pixels))
    everything = extraction.all_islands
    truth = NOISE * (1.5 * faint.sum() + 10.0 * bright.sum()) / extraction.radio_map.beam_area + 0.02
    assert len(extraction.diffuse) >= 1 and len(extraction.nested) >= 1
    assert everything.own_flux.sum() == pytest.approx(truth, rel=0.15)
    assert everything.own_flux.sum() == pytest.approx(everything.total_flux[everything.parent_id == 0].sum())
    nested = extraction.nested.table
    assert set(nested.parent_id) <= set(everything.island_id) and (nested.island_id > len(extraction.islands)).all()
    within = extraction.components.nested_id
    assert set(within[within > 0]) <= set(nested.island_id)


def test_the_model_of_the_sources_takes_them_out_of_the_map(faint_disk, found):
    radio_map, _, _ = faint_disk
    model = GaussianModel.of(radio_map, found.components)
    for x, y, peak in INSIDE:
        window = Window(int(y) - 8, int(y) + 9, int(x) - 8, int(x) + 9)
        left = radio_map.data[window.slices] - model.render(window)
        assert np.abs(left).max() < 0.06 * peak + 6 * NOISE
    far = Window(100, 120, 400, 440)
    assert not model.render(far).any()
    whole = model.render(radio_map.extent)
    np.testing.assert_allclose(model.render(Window(200, 300, 220, 300)), whole[200:300, 220:300], atol=1e-9)
