import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime, least_squares

from neanias_ml.extraction.components.exponential import exponential
from neanias_ml.extraction.components.fit_kernels import evaluate, normal_equations, profile_emphasis, workspace
from neanias_ml.extraction.components.fit_model import Bounds, Model, Pixels, covariance_of, starting_parameters
from neanias_ml.extraction.components.least_squares import CONVERGED, SINGULAR, STOPPED, expected_gain, minimise
from tests.conftest import correlated_noise, gaussian
from tests.extraction.fit_tools import BEAM

WIDE = Bounds(np.full(6, -100.0), np.full(6, 100.0), np.full(6, 2.0))


def stamp(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return Pixels(columns.ravel() * 1.0, rows.ravel() * 1.0, image.ravel().astype(float), np.ones(image.size))


def two_components(free=(True, True), plane=0):
    parameters = starting_parameters(np.array([9.0, 5.0]), np.array([3.0, 6.0]), np.array([4.0, 5.0]), BEAM)
    return Model(parameters, np.array(free), np.zeros(plane))


def residuals(pixels, model):
    """(n,) weighted values minus model."""
    work = workspace(len(pixels.x), len(model.free))
    evaluate(pixels, model, work)
    return work.residual


def fit(pixels, model, tolerance, iterations, bounds=WIDE):
    return minimise(pixels, model, bounds, tolerance, iterations, workspace(len(pixels.x), len(model.free)))


def test_exponential_is_that_of_the_library():
    rng = np.random.default_rng(0)
    for x in np.concatenate([rng.uniform(-15.0, 0.0, 2000), rng.uniform(-708.0, 709.0, 2000), [0.0, -1e-300]]):
        assert exponential(x) == pytest.approx(math.exp(x), rel=4.5e-16)
    assert math.isnan(exponential(math.nan))


@pytest.mark.parametrize(("free", "plane"), [((True, True), 0), ((True, False), 3), ((False, False), 0)])
def test_derivatives_equal_differences(free, plane):
    rng = np.random.default_rng(1)
    model = two_components(free, plane)
    parameters = model.parameters + rng.normal(scale=0.1, size=(2, 6))
    active = np.concatenate([np.arange(6 if one else 3) + 6 * k for k, one in enumerate(free)])
    pixels = stamp(np.zeros((9, 9)))

    def value(flat):
        moved = parameters.ravel().copy()
        moved[active] = flat[: len(active)]
        return -residuals(pixels, Model(moved.reshape(2, 6), model.free, flat[len(active) :]))

    at = np.concatenate([parameters.ravel()[active], rng.normal(size=plane)])
    work, here = workspace(81, 2), Model(parameters, model.free, at[len(active) :])
    squares, count = evaluate(pixels, here, work), normal_equations(pixels, here, work)
    jacobian = work.jacobian[: 81 * count].reshape(count, 81).T
    np.testing.assert_allclose(jacobian, approx_fprime(at, value, 1e-7), atol=1e-5, rtol=1e-4)
    assert count == len(at) and squares == pytest.approx(np.sum(work.residual**2))
    np.testing.assert_allclose(work.gradient[:count], jacobian.T @ work.residual)
    np.testing.assert_allclose(np.tril(work.hessian[:count, :count]), np.tril(jacobian.T @ jacobian), atol=1e-10)


def test_noiseless_blend_on_a_plane_is_recovered():
    shape = np.array([[9.0, 2.0], [2.0, 5.0]])
    rows, columns = np.mgrid[:31, :31]
    image = 30 * gaussian((31, 31), 11.3, 14.2, shape) + 15 * gaussian((31, 31), 19.1, 16.0, BEAM)
    image += 1.5 + 0.02 * columns - 0.05 * rows
    start = starting_parameters(np.array([25.0, 12.0]), np.array([11.0, 19.0]), np.array([14.0, 16.0]), BEAM)
    model, squares, ended = fit(stamp(image), Model(start, np.array([True, False]), np.zeros(3)), 1e-9, 60)
    assert ended == CONVERGED and squares < 1e-6
    np.testing.assert_allclose(np.exp(model.parameters[:, 0]), [30, 15], rtol=1e-4)
    np.testing.assert_allclose(model.parameters[:, 1], [11.3, 19.1], atol=1e-3)
    np.testing.assert_allclose(covariance_of(model.parameters)[0], shape, rtol=1e-3)
    np.testing.assert_allclose(model.plane, [1.5, 0.02, -0.05], atol=1e-4)


def test_minimum_equals_that_of_scipy():
    rng = np.random.default_rng(2)
    image = correlated_noise((64, 64), rng)[20:41, 20:41]
    image += 12.0 * gaussian((21, 21), 10.2, 9.7, 1.5 * BEAM) + 9.0 * gaussian((21, 21), 14.0, 13.0, BEAM)
    pixels = stamp(image)
    start = starting_parameters(np.array([11.0, 8.0]), np.array([10.0, 14.0]), np.array([10.0, 13.0]), BEAM)
    free = np.array([True, True])
    ours, squares, ended = fit(pixels, Model(start, free, np.zeros(0)), 1e-8, 100)

    def left(flat):
        return residuals(pixels, Model(flat.reshape(2, 6), free, np.zeros(0)))

    theirs = least_squares(left, start.ravel(), method="lm", xtol=1e-10, ftol=1e-10)
    assert ended == CONVERGED
    assert squares == pytest.approx(2.0 * theirs.cost, rel=1e-5)
    np.testing.assert_allclose(ours.parameters.ravel(), theirs.x, atol=3e-3)


def test_fit_ends_whatever_it_is_given():
    rng = np.random.default_rng(3)
    start = starting_parameters(np.full(4, 5.0), np.full(4, 5.0), np.full(4, 5.0), BEAM)
    model, squares, ended = fit(
        stamp(rng.normal(size=(11, 11))), Model(start, np.ones(4, dtype=bool), np.zeros(0)), 1e-12, 8
    )
    assert ended in (CONVERGED, STOPPED, SINGULAR)
    assert np.isfinite(squares) and np.isfinite(model.parameters).all()


def test_parameters_stay_within_bounds_and_step_by_step_the_sum_falls():
    image = 20.0 * gaussian((31, 31), 25.0, 15.0, 9.0 * BEAM)
    bounds = Bounds(
        np.array([-1.0, 5.0, 5.0, 0.5, -3.0, 0.5]), np.array([4.0, 20.0, 20.0, 1.2, 3.0, 1.2]), np.full(6, 1.0)
    )
    start = Model(
        starting_parameters(np.array([5.0]), np.array([12.0]), np.array([12.0]), BEAM), np.ones(1, bool), np.zeros(0)
    )
    pixels, before = stamp(image), np.inf
    for iterations in range(1, 15):
        model, squares, _ = fit(pixels, start, 1e-6, iterations, bounds)
        assert squares <= before
        assert (model.parameters >= bounds.low).all() and (model.parameters <= bounds.high).all()
        before = squares


def test_expected_gain_tells_a_resolved_source_from_a_point():
    gains = []
    for factor in (1.0, 1.3):
        image = 20.0 * gaussian((25, 25), 12.0, 12.0, factor * BEAM)
        start = starting_parameters(np.array([20.0]), np.array([12.0]), np.array([12.0]), BEAM)
        fixed, squares, _ = fit(stamp(image), Model(start, np.zeros(1, bool), np.zeros(0)), 1e-9, 50)
        freed = Model(fixed.parameters, np.ones(1, bool), np.zeros(0))
        _, least, _ = fit(stamp(image), freed, 1e-9, 50)
        work = workspace(image.size, 1)
        assert evaluate(stamp(image), freed, work) == pytest.approx(squares)
        work.chosen[:6] = np.arange(normal_equations(stamp(image), freed, work))
        assert expected_gain(work, 3) == pytest.approx(0.0, abs=1e-3)
        gains.append((expected_gain(work, 6), squares - least))
    assert gains[0][0] == pytest.approx(0.0, abs=1e-3)
    assert gains[1][0] == pytest.approx(gains[1][1], rel=0.3) and gains[1][1] > 30


def test_emphasis_is_the_profile_of_points_and_flatter_for_wide_sources():
    parameters = starting_parameters(
        np.array([50.0, 1.0]), np.array([10.0, 30.0]), np.array([20.0, 20.0]), np.stack([BEAM, 4.0 * BEAM])
    )
    model, beam = Model(parameters, np.array([False, True]), np.zeros(0)), parameters[0, 3:]
    work, pixels = workspace(41 * 41, 2), stamp(np.zeros((41, 41)))._replace(weight=np.full(41 * 41, 3.0))
    emphasised = profile_emphasis(pixels, model, beam, work)
    np.testing.assert_allclose(emphasised.weight, 3.0 * work.emphasis)
    emphasis = (work.emphasis**2).reshape(41, 41)
    assert emphasis[20, 10] == emphasis[20, 30] == 1.0
    np.testing.assert_allclose(emphasis[16:21, 10], gaussian((41, 41), 10.0, 20.0, BEAM)[16:21, 10])
    np.testing.assert_allclose(emphasis[20, 30:], gaussian((41, 41), 30.0, 20.0, 10.0 * BEAM)[20, 30:])


def test_covariances_and_parameters_are_inverse():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(20, 2, 2))
    shapes = root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(2)
    parameters = starting_parameters(np.ones(20), np.zeros(20), np.zeros(20), shapes)
    np.testing.assert_allclose(covariance_of(parameters), shapes)
