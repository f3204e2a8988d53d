import numpy as np
import pytest
from scipy.optimize import approx_fprime

from neanias_ml.extraction import SourceFinder
from neanias_ml.extraction.components import MAX_FIT_PIXELS, FitContext, fit_island
from neanias_ml.extraction.gaussian_fit import (
    covariance_of,
    fit_gaussians,
    model_and_jacobian,
    noise_correlation,
    starting_parameters,
)
from neanias_ml.extraction.peaks import find_peaks
from tests.conftest import correlated_noise, gaussian, make_map, round_covariance

BEAM = round_covariance(5.0)


def grid(side):
    rows, cols = np.mgrid[:side, :side]
    return cols.ravel().astype(float), rows.ravel().astype(float)


def test_derivatives_equal_differences():
    rng = np.random.default_rng(1)
    x, y = grid(9)
    parameters = starting_parameters(np.array([2.0, 1.0]), np.array([3.0, 6.0]), np.array([4.0, 5.0]), BEAM)
    parameters += rng.normal(scale=0.2, size=parameters.shape)
    _, jacobian = model_and_jacobian(parameters, x, y)
    numeric = approx_fprime(
        parameters.ravel(), lambda flat: model_and_jacobian(flat.reshape(parameters.shape), x, y)[0], 1e-7
    )
    np.testing.assert_allclose(jacobian, numeric, atol=1e-5)


def test_noiseless_blend_is_recovered():
    x, y = grid(31)
    shape = np.array([[9.0, 2.0], [2.0, 5.0]])
    truth = 3.0 * gaussian((31, 31), 11.3, 14.2, shape) + 1.5 * gaussian((31, 31), 19.1, 16.0, BEAM)
    start = starting_parameters(np.array([2.5, 1.2]), np.array([11.0, 19.0]), np.array([14.0, 16.0]), BEAM)
    fit = fit_gaussians(truth.ravel(), x, y, rms=1e-3, start=start, beam_covariance=BEAM)
    assert fit.converged
    np.testing.assert_allclose(fit.amplitude, [3.0, 1.5], rtol=1e-4)
    np.testing.assert_allclose(fit.x, [11.3, 19.1], atol=1e-3)
    np.testing.assert_allclose(fit.covariance[0], shape, rtol=1e-3)


def test_errors_describe_the_scatter_in_correlated_noise():
    rng = np.random.default_rng(2)
    x, y = grid(21)
    source = 20.0 * gaussian((21, 21), 10.2, 9.7, BEAM)
    start = starting_parameters(np.array([20.0]), np.array([10.0]), np.array([10.0]), BEAM)
    pulls = []
    for _ in range(150):
        noise = correlated_noise((64, 64), rng)[20:41, 20:41]
        fit = fit_gaussians((source + noise).ravel(), x, y, rms=1.0, start=start, beam_covariance=BEAM)
        error = np.sqrt(np.diag(fit.parameter_covariance[0]))
        truth = np.array([np.log(20.0), 10.2, 9.7])
        pulls.append((fit.parameters[0, :3] - truth) / error[:3])
    spread = np.std(pulls, axis=0)
    assert (spread > 0.8).all() and (spread < 1.2).all()


def test_noise_correlation_matches_filtered_noise():
    rng = np.random.default_rng(3)
    rho = noise_correlation(np.array([0.0, 3.0]), np.array([0.0, 0.0]), BEAM)[0, 1]
    noise = np.stack([correlated_noise((128, 128), rng) for _ in range(20)])
    assert rho == pytest.approx(np.mean(noise[:, :, 3:] * noise[:, :, :-3]), abs=0.02)


def test_covariance_is_positive_definite():
    parameters = np.array([[0.0, 0, 0, 0.3, -2.0, -1.0]])
    assert (np.linalg.eigvalsh(covariance_of(parameters)) > 0).all()


def test_peaks_of_a_blend_and_of_a_noisy_single():
    rng = np.random.default_rng(4)
    blend = 30 * gaussian((40, 40), 14, 20, BEAM) + 20 * gaussian((40, 40), 24, 20, BEAM)
    peaks = find_peaks(blend, blend > 2.6, threshold=5.0)
    np.testing.assert_array_equal(peaks, [[20, 14], [20, 24]])
    broad = 30 * gaussian((40, 40), 20, 20, round_covariance(16)) + correlated_noise((40, 40), rng)
    assert len(find_peaks(broad, broad > 2.6, threshold=5.0)) == 1


def test_a_plateau_is_one_peak():
    image = np.zeros((9, 9))
    image[3:6, 3:6] = 10.0
    assert len(find_peaks(image, image > 0, threshold=5.0)) == 1


def test_errors_of_a_thinned_island_describe_the_scatter():
    """An island with more pixels than are fitted: quoted errors must not grow with the thinning."""
    rng = np.random.default_rng(5)
    shape = round_covariance(40.0)
    source = 40.0 * gaussian((200, 200), 100.3, 99.6, shape)
    pulls = []
    for _ in range(12):
        radio_map = make_map(source + correlated_noise((200, 200), rng))
        background, noise = np.zeros((200, 200), np.float32), np.ones((200, 200), np.float32)
        islands = SourceFinder().find_islands(radio_map, background=background, noise=noise)
        row = int(np.argmax(islands.table.n_pixels))
        assert islands.table.n_pixels[row] > MAX_FIT_PIXELS
        context = FitContext(radio_map, islands.labels, background, islands.table, 5.0)
        (component,) = fit_island(context, row=row)
        truth = np.array([np.log(40.0), 100.3, 99.6])
        pulls.append((component.parameters[:3] - truth) / np.sqrt(np.diag(component.errors)[:3]))
    spread = np.sqrt(np.mean(np.square(pulls)))
    assert 0.6 < spread < 1.6
