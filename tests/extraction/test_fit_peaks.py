import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import reconstruction

from neanias_ml.extraction.components.fit_peaks import persistent_peaks
from tests.conftest import correlated_noise, gaussian, round_covariance
from tests.extraction.fit_tools import BEAM


def peaks_of(image, inside, *, threshold=5.0, prominence=3.0):
    """(K, 2) rows and columns of the peaks of one island."""
    y, x = np.nonzero(inside)
    offsets = np.array([0, len(x)])
    found = persistent_peaks(offsets, image[y, x], x=x, y=y, threshold=threshold, prominence=prominence)
    return np.stack([y[found], x[found]], axis=1)


def h_dome_peaks(image, inside, *, threshold, prominence):
    """The same by morphological reconstruction."""
    height = np.where(inside, image, 0.0)
    domes = height - reconstruction(np.maximum(height - prominence, 0.0), height, method="dilation")
    top = (ndimage.maximum_filter(height, size=3) == height) & inside
    return top & (domes >= np.minimum(prominence, height) - 1e-9) & (height >= threshold)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(2.0, 8.0))
def test_peaks_equal_h_domes(seed, scale):
    rng = np.random.default_rng(seed)
    image = 10.0 + scale * correlated_noise((40, 40), rng)
    labels, _ = ndimage.label(image > 8.0, structure=np.ones((3, 3)))
    inside = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    found = peaks_of(image, inside, threshold=12.0, prominence=3.0)
    expected = h_dome_peaks(image, inside, threshold=12.0, prominence=3.0)
    expected |= inside & (image == image[inside].max())
    assert {tuple(peak) for peak in found} == {tuple(peak) for peak in np.argwhere(expected)}


def test_peaks_of_a_blend_and_of_a_noisy_broad_source():
    rng = np.random.default_rng(4)
    blend = 30 * gaussian((40, 40), 14, 20, BEAM) + 20 * gaussian((40, 40), 24, 20, BEAM)
    np.testing.assert_array_equal(peaks_of(blend, blend > 2.6), [[20, 14], [20, 24]])
    broad = 30 * gaussian((40, 40), 20, 20, round_covariance(16)) + correlated_noise((40, 40), rng)
    labels, _ = ndimage.label(broad > 2.6)
    assert len(peaks_of(broad, labels == labels[20, 20])) == 1


def test_a_plateau_is_one_peak():
    image = np.zeros((9, 9))
    image[3:6, 3:6] = 10.0
    np.testing.assert_array_equal(peaks_of(image, image > 0), [[3, 3]])


def test_islands_of_a_list_do_not_mix():
    image = np.zeros((6, 12))
    image[1:3, 1:3], image[1:3, 8:10] = 6.0, 9.0
    labels, _ = ndimage.label(image > 0)
    parts = [np.nonzero(labels == number) for number in (1, 2)]
    y, x = (np.concatenate([part[axis] for part in parts]) for axis in (0, 1))
    found = persistent_peaks(np.array([0, 4, 8]), image[y, x], x=x, y=y, threshold=20.0, prominence=3.0)
    np.testing.assert_array_equal(found, [0, 4])
    nothing = np.zeros(0, dtype=np.int64)
    assert len(persistent_peaks(np.array([0]), np.zeros(0), x=nothing, y=nothing, threshold=5, prominence=3)) == 0


def test_islands_of_a_list_have_their_own_h_domes():
    """Whether an island has one maximum or several; in the order of the islands, each from its highest peak."""
    rng = np.random.default_rng(12)
    image = 4.0 + 4.0 * correlated_noise((200, 200), rng)
    labels, count = ndimage.label(image > 4.0, structure=np.ones((3, 3)))
    parts = [np.nonzero(labels == number) for number in range(1, count + 1)]
    offsets = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
    y, x = (np.concatenate([part[axis] for part in parts]) for axis in (0, 1))
    found = persistent_peaks(offsets, image[y, x], x=x, y=y, threshold=6.0, prominence=2.0)
    island, counts = labels[y, x][found], np.bincount(labels[y, x][found], minlength=count + 1)[1:]
    assert count > 20 and (counts == 1).sum() > 10 and (counts > 1).sum() > 3
    np.testing.assert_array_equal(np.lexsort((-image[y, x][found], island)), np.arange(len(found)))
    for number in range(1, count + 1):
        inside = labels == number
        expected = h_dome_peaks(image, inside, threshold=6.0, prominence=2.0)
        expected |= inside & (image == image[inside].max())
        own = found[island == number]
        assert set(zip(y[own], x[own], strict=True)) == {tuple(peak) for peak in np.argwhere(expected)}
