import numpy as np

from neanias_ml.extraction.components.fit_model import starting_parameters
from neanias_ml.extraction.components.fit_render import render_components
from neanias_ml.maps import Window
from tests.conftest import gaussian


def test_sum_of_gaussians_on_a_window_equals_brute_force():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(15, 2, 2))
    shapes = 4.0 * root @ np.swapaxes(root, 1, 2) + np.eye(2)
    x, y, peak = rng.uniform(-10, 90, 15), rng.uniform(-10, 70, 15), rng.uniform(0.1, 5, 15)
    whole = sum(peak[k] * gaussian((60, 80), x[k], y[k], shapes[k]) for k in range(15))
    parameters = starting_parameters(peak, x, y, shapes)
    window = Window(7, 55, 20, 71)
    np.testing.assert_allclose(render_components(parameters, window), whole[window.slices], atol=1e-5)
    assert not render_components(parameters[:0], window).any()


def test_windows_fit_together_and_broken_rows_are_left_out():
    parameters = starting_parameters(np.array([3.0]), np.array([31.0]), np.array([20.0]), np.diag([30.0, 9.0]))
    broken = np.concatenate([parameters, np.full((1, 6), np.nan)])
    whole = render_components(broken, Window(0, 40, 0, 64))
    halves = [render_components(parameters, Window(0, 40, a, b)) for a, b in ((0, 30), (30, 64))]
    np.testing.assert_array_equal(whole, np.concatenate(halves, axis=1))
