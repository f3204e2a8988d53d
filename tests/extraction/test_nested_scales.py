import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.blob_scales import ScaleSpace, filtered_covariance, find_blobs
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, round_covariance

BEAM = round_covariance(BEAM_PIXELS)
SCALES = ScaleSpace.for_beam(BEAM, smallest=0.7, largest=3.0)


def whole(image):
    """The pixels of an image as one island of unit noise."""
    flux = image.astype(np.float32)
    return IslandPixels.from_labels(np.ones(image.shape, np.int32), flux=flux, noise=np.ones_like(flux))


def laplacian(image, sigma):
    return -ndimage.laplace(ndimage.gaussian_filter(image, sigma, mode="wrap", truncate=6), mode="wrap")


def test_noise_of_the_filters_is_that_of_correlated_noise():
    noise = correlated_noise((512, 512), np.random.default_rng(1))
    for k, sigma in enumerate(SCALES.sigma[:4]):
        smoothed = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=6)
        curvature = 2 * smoothed - np.roll(smoothed, 1, axis=1) - np.roll(smoothed, -1, axis=1)
        assert laplacian(noise, sigma).std() == pytest.approx(SCALES.laplacian_noise[k], rel=0.05)
        assert curvature.std() == pytest.approx(SCALES.curvature_noise[k], rel=0.05)
    both = np.mean(laplacian(noise, 2.0) * laplacian(noise, 3.5))
    assert both == pytest.approx(filtered_covariance(BEAM, 2.0, 3.5)[0], rel=0.05)


@pytest.mark.parametrize("widths", [1.3, 1.8, 2.5])
def test_a_blob_is_found_at_its_own_scale_and_height(widths):
    image = 50 * gaussian((121, 121), 60, 58, BEAM * widths**2)
    pixels = whole(image)
    blobs = find_blobs(pixels, pixels.flux, scales=SCALES, threshold=5.0)
    row = int(np.flatnonzero(blobs.of_own_scale)[0])
    assert (blobs.y[row], blobs.x[row]) == (58, 60)
    assert blobs.scale[row] == pytest.approx(widths * BEAM_PIXELS / 2.3548, rel=0.08)
    assert blobs.height[row] == pytest.approx(50, rel=0.08)
    assert blobs.roundness[row] == pytest.approx(1, abs=1e-3)


def test_roundness_is_the_ratio_of_the_curvatures():
    shape = np.diag([36.0, 9.0])
    pixels = whole(100 * gaussian((141, 141), 70, 70, shape))
    blobs = find_blobs(pixels, pixels.flux, scales=SCALES, threshold=5.0)
    finest = int(np.argmin(blobs.scale))
    sigma_squared = SCALES.sigma[0] ** 2
    assert blobs.roundness[finest] == pytest.approx((9 + sigma_squared) / (36 + sigma_squared), rel=0.03)


@pytest.mark.parametrize(("dome", "lowest", "highest"), [(0, 11.5, 12.5), (60, 10.2, 12.2)])
def test_the_excess_of_a_point_tells_its_height(dome, lowest, highest):
    """Exactly on a slope; too low by what the weight of the smooth scale takes off too much on a broad dome."""
    rows, cols = np.indices((141, 141))
    broad = 100 + 1.5 * cols + 0.7 * rows + dome * gaussian((141, 141), 70, 70, np.eye(2) * 30.0**2)
    pixels = whole(broad + 12 * gaussian((141, 141), 60, 75, BEAM))
    blobs = find_blobs(pixels, pixels.flux, scales=SCALES, threshold=3.0)
    strongest = int(np.argmax(blobs.excess_snr))
    assert abs(blobs.x[strongest] - 60) <= 1
    assert abs(blobs.y[strongest] - 75) <= 1
    assert lowest < blobs.excess_snr[strongest] * SCALES.point_contrast < highest
