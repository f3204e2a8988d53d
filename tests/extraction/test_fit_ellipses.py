import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.extraction.components.fit_ellipses import covariance_errors, deconvolved_ellipses, ellipses_with_errors
from neanias_ml.extraction.components.fit_model import covariance_of, starting_parameters
from neanias_ml.maps import FWHM_PER_SIGMA, covariances_of_ellipses, transformed

EXACT = np.zeros((1, 3, 3))


def textbook_deconvolution(fitted, beam):
    """Axes and position angle without the beam from those with it (Wild 1970), angles in degrees."""
    (major, minor, angle), (beam_major, beam_minor, beam_angle) = fitted, beam
    excess, beam_excess = major**2 - minor**2, beam_major**2 - beam_minor**2
    turn = np.radians(angle - beam_angle)
    beta = np.sqrt(excess**2 + beam_excess**2 - 2.0 * excess * beam_excess * np.cos(2.0 * turn))
    squares = major**2 + minor**2 - beam_major**2 - beam_minor**2
    tangent = np.arctan2(excess * np.sin(2.0 * turn), excess * np.cos(2.0 * turn) - beam_excess)
    return np.sqrt((squares + beta) / 2), np.sqrt((squares - beta) / 2), beam_angle + np.degrees(tangent) / 2


def sky(major, minor, angle):
    """(1, 2, 2) covariance in (east, north) of an ellipse with a position angle."""
    return covariances_of_ellipses(major, minor, 90.0 - angle)[None]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(2.0, 20.0),
    st.floats(0.2, 0.9),
    st.floats(0, 180),
    st.floats(3.0, 9.0),
    st.floats(0.4, 0.95),
    st.floats(0, 180),
)
def test_deconvolution_undoes_a_convolution_and_equals_the_textbook(
    major, ratio, angle, beam_major, beam_ratio, beam_angle
):
    beam = sky(beam_major, beam_major * beam_ratio, beam_angle)
    fitted = beam + sky(major, major * ratio, angle)
    bare = deconvolved_ellipses(fitted, beam, EXACT, fixed=np.zeros(1, bool), snr=np.array([50.0])).ellipses
    assert bare.major[0] == pytest.approx(major, rel=1e-5) and bare.minor[0] == pytest.approx(major * ratio, rel=1e-5)
    turned = (bare.angle[0] - angle + 90) % 180 - 90
    assert abs(turned) < 1e-3
    whole = ellipses_with_errors(fitted, EXACT)
    expected = textbook_deconvolution(
        (whole.major[0], whole.minor[0], whole.angle[0]), (beam_major, beam_major * beam_ratio, beam_angle)
    )
    assert bare.major[0] == pytest.approx(expected[0], rel=1e-5)
    assert bare.minor[0] == pytest.approx(expected[1], rel=1e-4)
    assert abs((bare.angle[0] - expected[2] + 90) % 180 - 90) < 1e-3


def test_errors_of_axes_and_angles_equal_the_scatter():
    """Also without the beam, on a sky with another orientation and scale than the pixels."""
    rng = np.random.default_rng(1)
    shape, beam = np.array([[14.0, 3.0], [3.0, 8.0]]), np.array([[5.0, 0.5], [0.5, 4.0]])
    jacobian = np.array([[[-2.0, 0.3], [0.4, 2.1]]])
    mean = starting_parameters(np.ones(1), np.zeros(1), np.zeros(1), shape)
    root = 0.01 * rng.normal(size=(6, 6))
    errors = (root @ root.T)[None]
    drawn = rng.multivariate_normal(mean[0], errors[0], size=20_000)
    on_sky = transformed(covariance_of(drawn), np.repeat(jacobian, len(drawn), axis=0))
    beams = transformed(beam[None], jacobian)
    propagated = covariance_errors(mean, errors, jacobian)
    scatter = ellipses_with_errors(on_sky, np.zeros((len(drawn), 3, 3)))
    quoted = ellipses_with_errors(transformed(shape[None], jacobian), propagated)
    none = np.zeros(1, bool)
    bare = deconvolved_ellipses(transformed(shape[None], jacobian), beams, propagated, fixed=none, snr=np.ones(1))
    without = ellipses_with_errors(on_sky - beams, np.zeros((len(drawn), 3, 3)))
    for drawn_ellipse, ellipse in ((scatter, quoted), (without, bare.ellipses)):
        assert ellipse.major_err[0] == pytest.approx(np.std(drawn_ellipse.major), rel=0.05)
        assert ellipse.minor_err[0] == pytest.approx(np.std(drawn_ellipse.minor), rel=0.05)
        assert ellipse.angle_err[0] == pytest.approx(np.std(drawn_ellipse.angle), rel=0.05)


def test_upper_limits_where_axes_are_not_resolved():
    beam = np.repeat(sky(6.0, 5.0, 30.0), 4, axis=0)
    fitted = beam + np.concatenate([sky(0.1, 0.1, 0.0), sky(8.0, 0.1, 70.0), sky(8.0, 4.0, 70.0), -0.05 * beam[:1]])
    errors = np.repeat(0.01 * np.eye(3)[None], 4, axis=0)
    result = deconvolved_ellipses(
        fitted, beam, errors, fixed=np.array([True, False, False, False]), snr=np.full(4, 20.0)
    )
    np.testing.assert_array_equal(result.unresolved, [True, False, False, True])
    np.testing.assert_array_equal(result.minor_unresolved, [False, True, False, False])
    ellipses = result.ellipses
    assert np.isnan(ellipses.angle[[0, 3]]).all() and np.isnan(ellipses.major_err[[0, 3]]).all()
    assert (ellipses.major >= ellipses.minor).all() and (ellipses.minor > 0).all()
    assert ellipses.major[0] == pytest.approx(6.0 * np.sqrt(2 * 2 / 20.0), rel=1e-6)
    assert ellipses.major[1] == pytest.approx(8.0, rel=1e-3)
    sigma = FWHM_PER_SIGMA * np.sqrt(2.0 * 0.1)
    assert ellipses.minor[1] == pytest.approx(np.hypot(sigma, 0.1), rel=0.05)


def test_round_gaussian_has_no_angle():
    ellipse = ellipses_with_errors(np.eye(2)[None], 1e-4 * np.eye(3)[None])
    assert ellipse.angle_err[0] == 90.0
    assert ellipse.major_err[0] == pytest.approx(ellipse.minor_err[0], rel=0.01)
    negative = ellipses_with_errors(-np.eye(2)[None], 1e-4 * np.eye(3)[None])
    assert negative.major[0] == 0.0 and np.isnan(negative.major_err[0])
