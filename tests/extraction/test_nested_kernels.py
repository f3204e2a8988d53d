"""The compiled loops of the nested search against those of scipy."""

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.extraction.islands.gather import disc_half_widths
from neanias_ml.extraction.nested.blob_continuation import continue_image
from neanias_ml.extraction.nested.blob_kernels import PAD, TRUNCATE, greatest_around, scale_space
from neanias_ml.extraction.nested.blob_scales import ScaleSpace
from neanias_ml.extraction.nested.footprints import add_footprints
from neanias_ml.extraction.nested.pedestal_kernels import planes_under
from tests.conftest import BEAM_PIXELS, round_covariance

BEAM = round_covariance(BEAM_PIXELS)


@pytest.mark.parametrize("shape", [(80, 75), (140, 90), (71, 2300)])
def test_smoothing_and_laplacian(shape):
    scales = ScaleSpace.for_beam(BEAM, smallest=0.7, largest=3.0)
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    smoothed, response = scale_space(image, scales.kernels, scales.reach, scales.sigma**2)
    core = tuple(slice(scales.reach, -scales.reach) for _ in shape)
    for k, sigma in enumerate(scales.sigma):
        expected = ndimage.gaussian_filter(image.astype(np.float64), sigma, truncate=TRUNCATE)
        np.testing.assert_allclose(smoothed[k, PAD:-PAD, PAD:-PAD], expected[core], atol=2e-6)
        expected = -(sigma**2) * ndimage.laplace(expected)
        np.testing.assert_allclose(response[k, PAD:-PAD, PAD:-PAD], expected[core], atol=2e-5 * sigma**2)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2])
def test_the_continuation_takes_the_lowest_around(share):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(97, 5000 if share else 61)).astype(np.float32)
    known = rng.random(image.shape) < share
    known[40:45, 20:30] = True
    given = np.where(known, image, np.inf).astype(np.float32)
    expected, covered, step = given, 0, 3
    while covered < 33:
        around = ndimage.minimum_filter(expected, 2 * step + 1)
        expected = np.where(np.isinf(expected), around, expected)
        covered, step = covered + step, 2 * step
    expected = np.where(np.isinf(expected), given.min(), expected)
    continue_image(given, 3, 33)
    np.testing.assert_array_equal(given, expected)


def test_the_greatest_value_around_points():
    rng = np.random.default_rng(3)
    points, places = rng.integers(0, 60, (2, 200)).astype(np.int32), rng.integers(0, 60, (2, 30)).astype(np.int32)
    radius, value = rng.uniform(0, 9, 30), rng.uniform(0.1, 5, 30)
    near = np.hypot(points[0][:, None] - places[0], points[1][:, None] - places[1]) <= radius
    expected = np.where(near, value, 0.0).max(axis=1)
    np.testing.assert_array_equal(greatest_around(tuple(points), tuple(places), radius, value), expected)


@pytest.mark.parametrize("seed", range(4))
def test_planes_are_least_squares_through_the_exact_ring(seed):
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((70, 64))
    mother = ndimage.gaussian_filter(rng.normal(size=rows.shape), 9) > -0.03
    mother[20:50, 18:48] = True
    child = (np.hypot(rows - 35, cols - 32) < 6) & ~((rows == 33) & (cols == 30))
    distance = ndimage.distance_transform_edt(~child)
    ring = mother & (distance > 1.3) & (distance <= 6.2)
    flux = (3 + 0.2 * rows - 0.1 * cols + 0.05 * np.sin(rows * cols)).astype(np.float32)
    y, x = (place.astype(np.int32) for place in np.nonzero(mother))
    own_y, own_x = (place.astype(np.int32) for place in np.nonzero(child))
    planes = planes_under(
        (y, x, flux[mother], np.ones(len(y), np.float32)),
        (np.array([0, len(own_y)]), own_y, own_x, np.array([-1])),
        (disc_half_widths(1.3), disc_half_widths(6.2)),
        28.0,
    )
    design = np.stack([np.ones(ring.sum()), rows[ring] - own_y.mean(), cols[ring] - own_x.mean()], axis=1)
    expected = np.linalg.lstsq(design, flux[ring].astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(planes[0, [0, 4, 5]], expected, rtol=1e-9)
    assert planes[0, 6] == np.count_nonzero(ring)


def test_footprints_are_connected_and_keep_to_their_owner():
    rng = np.random.default_rng(5)
    image = ndimage.gaussian_filter(rng.normal(size=(60, 60)), 1.5) > -0.1
    image[30, 30] = True
    y, x = (place.astype(np.int32) for place in np.nonzero(image))
    owner_map = np.where(np.indices(image.shape)[1] < 33, -1, 0)
    covariance = np.array([[16.0, 5.0], [5.0, 9.0]])
    source = (np.array([30, 30], np.int32), np.array([30, 30], np.int32), np.array([2.0, 2.0]))
    owner = owner_map[image].astype(np.int64)
    members, counts, owners = add_footprints((y, x), owner, source, covariance, 3)
    offset = np.stack([np.indices(image.shape)[1] - 30, np.indices(image.shape)[0] - 30], axis=-1)
    within = np.einsum("...i,ij,...j", offset, np.linalg.inv(2.0 * covariance), offset) <= 1
    parts, _ = ndimage.label(within & image & (owner_map == -1), structure=np.ones((3, 3)))
    expected = np.flatnonzero((parts == parts[30, 30])[image])
    np.testing.assert_array_equal(members, expected)
    # the second source lies on the first one's footprint
    assert counts.tolist() == [len(expected), 0]
    assert owners[0] == -1
    assert (owner[expected] >= 1).all()
