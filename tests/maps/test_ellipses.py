import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neanias_ml.maps import (
    FWHM_PER_SIGMA,
    covariances_of_ellipses,
    ellipse_from_covariance,
    ellipses_of_covariances,
    position_angle,
    transformed,
)


@given(minor=st.floats(0.1, 10), extra=st.floats(0.1, 10), angle=st.floats(0, 179.9))
def test_there_and_back(minor, extra, angle):
    covariance = covariances_of_ellipses(minor + extra, minor, angle)
    np.testing.assert_allclose(covariance, covariance.T)
    back = ellipses_of_covariances(covariance)
    assert back[0] == pytest.approx(minor + extra) and back[1] == pytest.approx(minor)
    assert (back[2] - angle + 90) % 180 - 90 == pytest.approx(0, abs=1e-3)


def test_variance_along_and_across():
    covariance = covariances_of_ellipses(4.0, 2.0, 30.0)
    along = np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    assert along @ covariance @ along == pytest.approx((4.0 / FWHM_PER_SIGMA) ** 2)
    across = np.array([-along[1], along[0]])
    assert across @ covariance @ across == pytest.approx((2.0 / FWHM_PER_SIGMA) ** 2)


def test_many_at_once_and_negative_widths():
    many = covariances_of_ellipses(np.array([3.0, 5.0]), np.array([1.0, 2.0]), np.array([0.0, 90.0]))
    assert many.shape == (2, 2, 2)
    major, minor, _ = ellipses_of_covariances(many - 10 * np.eye(2))
    np.testing.assert_array_equal([major, minor], 0.0)


def test_position_angle_is_east_of_north():
    """A source along the first axis (east) has position angle 90, one along the second (north) 0."""
    assert position_angle(0.0) == 90.0 and position_angle(90.0) == 0.0
    assert ellipse_from_covariance(np.diag([4.0, 1.0]))[2] == pytest.approx(90.0)
    assert position_angle(position_angle(33.0)) == pytest.approx(33.0)


def test_linear_maps_carry_covariances():
    rng = np.random.default_rng(1)
    jacobian, samples = rng.normal(size=(2, 2)), rng.normal(size=(40000, 2)) * [2.0, 1.0]
    np.testing.assert_allclose(transformed(np.diag([4.0, 1.0]), jacobian), np.cov((samples @ jacobian.T).T), rtol=0.05)
