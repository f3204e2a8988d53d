import numpy as np
import pytest

from neanias_ml.extraction.components.fit_errors import correlation_table, error_blocks, widened
from neanias_ml.extraction.components.fit_islands import fit_islands
from neanias_ml.extraction.components.fit_kernels import evaluate, normal_equations, profile_emphasis, workspace
from neanias_ml.extraction.components.fit_model import Model, Pixels, starting_parameters
from tests.conftest import correlated_noise
from tests.extraction.fit_tools import BEAM, injected, islands_of


def errors_of(shape, *, snr, free, half=12, emphasised=False, white=False):
    """(6, 6) error covariance of one Gaussian fitted to a square of pixels."""
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    pixels = Pixels(columns.ravel() * 1.0, rows.ravel() * 1.0, np.zeros(rows.size), np.ones(rows.size))
    parameters = starting_parameters(np.array([float(snr)]), np.zeros(1), np.zeros(1), shape)
    blocks = np.zeros((1, 6, 6))
    model = Model(parameters, np.array([free]), np.zeros(0))
    beam = starting_parameters(np.ones(1), np.zeros(1), np.zeros(1), BEAM)[0, 3:]
    work = workspace(rows.size, 1)
    work.emphasis[:] = 1.0
    table = widened(np.ones((1, 1)) if white else correlation_table(BEAM), pixels.x, np.array([0, rows.size]))
    error_blocks(profile_emphasis(pixels, model, beam, work) if emphasised else pixels, model, table, blocks, work)
    return blocks[0]


def condon(shape, *, snr, along, across):
    """2 / rho^2 of Condon (1997, equations 41 and 21) with the exponents of a parameter; round sources and beams."""
    ratio = BEAM[0, 0] / shape[0, 0]
    rho_squared = 0.25 / ratio * (1.0 + ratio) ** (along + across) * snr**2
    return 2.0 / rho_squared


@pytest.mark.parametrize("factor", [1.0, 2.0, 10.0])
def test_errors_of_free_gaussians_beside_those_of_condon(factor):
    """For well-resolved sources both agree. For smaller ones his formula, made for the best possible estimate, is too
    optimistic for equal weights: in a coordinate by 1 + beam / source in variance, by Gaussian integrals."""
    shape, snr = factor * BEAM, 20.0
    errors = errors_of(shape, snr=snr, free=True, half=12 + round(2 * factor))
    position = condon(shape, snr=snr, along=2.5, across=0.5) * shape[0, 0]
    assert errors[1, 1] == pytest.approx((1.0 + 1.0 / factor) * position, rel=0.05)
    assert errors[2, 2] == pytest.approx(errors[1, 1], rel=1e-6)
    amplitude = condon(shape, snr=snr, along=1.5, across=1.5)
    assert errors[0, 0] == pytest.approx(amplitude, rel=0.3)
    if factor == 10.0:
        assert errors[0, 0] == pytest.approx(amplitude, rel=0.15)


@pytest.mark.parametrize(("emphasised", "spread"), [(False, 2.0), (True, 1.5)])
def test_fixed_beam_has_its_analytic_error(emphasised, spread):
    """Least squares with the beam as template in beam-correlated noise: a times the variance of one pixel, and
    a^2 / 2 s^2 / snr^2 for either coordinate, by Gaussian integrals; a = 2 equally weighted, 3 / 2 emphasised."""
    errors = errors_of(BEAM, snr=10.0, free=False, emphasised=emphasised)
    assert errors[0, 0] == pytest.approx(spread / 100.0, rel=0.02)
    assert errors[1, 1] == pytest.approx(0.5 * spread**2 * BEAM[0, 0] / 100.0, rel=0.03)
    assert not errors[3:].any()


def test_error_covariance_equals_that_of_dense_matrices():
    """H^-1 (J^T W C W J) H^-1 by numpy, for two components on the ragged pixels of an island with a gap."""
    rng = np.random.default_rng(11)
    rows, columns = np.nonzero(np.hypot(*np.mgrid[-14:15, -14:15]) < 13.5 - 3.0 * rng.random((29, 29)))
    gap = abs(rows - 20) > 1
    x, y = columns[gap] * 1.0, rows[gap] * 1.0
    pixels = Pixels(x, y, np.zeros(len(x)), rng.uniform(0.5, 1.5, len(x)))
    parameters = starting_parameters(np.array([20.0, 9.0]), np.array([12.0, 17.0]), np.array([13.0, 16.0]), BEAM)
    model = Model(parameters, np.array([True, False]), np.zeros(0))
    work, blocks = workspace(len(x), 2), np.zeros((2, 6, 6))
    emphasised = profile_emphasis(pixels, model, parameters[0, 3:], work)
    table = correlation_table(BEAM)
    evaluate(emphasised, model, work)
    count = normal_equations(emphasised, model, work)
    jacobian = work.jacobian[: count * len(x)].reshape(count, -1).T.copy()
    reach = len(table) // 2
    dx, dy = (np.subtract.outer(position, position).astype(int) for position in (x, y))
    near = (abs(dx) <= reach) & (abs(dy) <= reach)
    correlation = np.where(near, table[np.clip(dy, -reach, reach) + reach, np.clip(dx, -reach, reach) + reach], 0.0)
    weighted, inverse = jacobian * work.emphasis[:, None], np.linalg.inv(jacobian.T @ jacobian)
    expected = inverse @ weighted.T @ correlation @ weighted @ inverse
    error_blocks(emphasised, model, widened(table, x, np.array([0, len(x)])), blocks, work)
    np.testing.assert_allclose(blocks[0], expected[:6, :6], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(blocks[1, :3, :3], expected[6:, 6:], rtol=1e-7, atol=1e-12)
    assert not blocks[1, 3:].any()


@pytest.mark.parametrize("factor", [1.0, 2.0, 10.0])
def test_emphasis_pays_in_correlated_noise_and_costs_little_in_white(factor):
    """Standard errors of position and peak: for points three quarters of those of equal weights where the beam has
    correlated the noise; nowhere more than an eighth worse."""
    ratios = {}
    for white in (False, True):
        flat, peaked = (
            errors_of(factor * BEAM, snr=20.0, free=factor > 1, half=35, emphasised=emphasised, white=white)
            for emphasised in (False, True)
        )
        ratios[white] = np.sqrt(np.diag(peaked)[:3] / np.diag(flat)[:3])
    assert (ratios[True] < 1.13).all() and (ratios[False] < 1.02).all()
    if factor == 1.0:
        assert ratios[False][1] == pytest.approx(0.75, abs=0.02) and ratios[False][0] < 0.9
        assert ratios[True][1] == pytest.approx(np.sqrt(0.75**4 / 0.25), abs=0.02)


def test_correlation_is_that_of_filtered_noise():
    rng = np.random.default_rng(3)
    table = correlation_table(BEAM)
    middle = len(table) // 2
    noise = np.stack([correlated_noise((128, 128), rng) for _ in range(20)])
    assert table[middle, middle] == 1.0
    assert table[middle, middle + 3] == pytest.approx(np.mean(noise[:, :, 3:] * noise[:, :, :-3]), abs=0.02)
    assert table[middle + 2, middle + 2] == pytest.approx(np.mean(noise[:, 2:, 2:] * noise[:, :-2, :-2]), abs=0.02)


@pytest.mark.parametrize(("factor", "peaks"), [(1.0, (12.0, 30.0)), (2.5, (15.0, 30.0))])
def test_quoted_errors_are_the_scatter(factor, peaks):
    """Pulls of position, peak and integrated flux of points (beam-shaped) and resolved sources (free) are standard."""
    rng = np.random.default_rng(5)
    image, truth = injected(rng, peaks=peaks, shape=factor * BEAM, side=16)
    fitted = fit_islands(islands_of(image), beam_covariance=BEAM)
    distance = np.hypot(fitted.x[:, None] - truth[:, 0], fitted.y[:, None] - truth[:, 1])
    best, source = distance.argmin(axis=0), np.arange(len(truth))
    alone = fitted.islands.n_components[fitted.island_row[best]] == 1
    usual = fitted.shape_fixed if factor == 1.0 else ~fitted.shape_fixed
    chosen = alone & usual[best] & (distance[best, source] < 3.0)
    assert chosen.mean() > 0.85
    best, truth = best[chosen], truth[chosen]
    error = np.sqrt(np.einsum("kii->ki", fitted.errors[best]))
    log_flux = np.array([1.0, 0, 0, 1.0, 0, 1.0])
    total = fitted.total_flux(1.0)[best] / (truth[:, 2] * 2 * np.pi * factor * BEAM[0, 0]) - 1.0
    total_error = np.sqrt(np.einsum("i,kij,j->k", log_flux, fitted.errors[best], log_flux))
    pulls = np.stack(
        [
            (fitted.x[best] - truth[:, 0]) / error[:, 1],
            (fitted.y[best] - truth[:, 1]) / error[:, 2],
            (fitted.amplitude[best] / truth[:, 2] - 1.0) / error[:, 0],
            total / total_error,
        ]
    )
    assert (pulls.std(axis=1) > 0.85).all() and (pulls.std(axis=1) < 1.15).all()
    assert (np.abs(np.median(pulls, axis=1)) < 0.35).all()
