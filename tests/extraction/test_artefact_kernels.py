"""The compiled loops of the artefact evidence against plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.extraction.artefacts import samples as artefact_samples
from neanias_ml.extraction.artefacts.far_noise import quantile_around
from neanias_ml.extraction.artefacts.geometry import (
    COMPANY_REACH,
    CULPRIT_RATIO,
    CULPRIT_REACH,
    CULPRIT_SNR,
    SIDELOBE_DECAY,
    SURROUNDINGS,
    company_on_rays_and_rings,
    count_around,
    find_culprits,
)
from neanias_ml.extraction.artefacts.samples import (
    AROUND,
    AROUND_START,
    N_CORE,
    N_RING,
    N_SAMPLES,
    RING_START,
    Sites,
    sample_map,
)
from neanias_ml.extraction.artefacts.summaries import SAMPLE_COLUMNS, summarise
from tests.conftest import make_map


def strewn(seed, *, number=400, width=900.0, height=500.0):
    rng = np.random.default_rng(seed)
    peak = np.exp(rng.uniform(np.log(5.0), np.log(3000.0), number))
    return rng.uniform(-50, width, number), rng.uniform(10, height, number), peak


def expected_culprits(x, y, peak, snr):
    distance = np.hypot(x - x[:, None], y - y[:, None])
    may = (distance <= CULPRIT_REACH) & (snr >= CULPRIT_SNR) & (peak >= CULPRIT_RATIO * peak[:, None])
    strength = np.where(may, peak / (1.0 + distance / SIDELOBE_DECAY), -1.0)
    return np.where(may.any(axis=1), strength.argmax(axis=1), -1)


@pytest.mark.parametrize("seed", range(4))
def test_culprits_are_the_strongest_of_all_in_reach(seed):
    x, y, peak = strewn(seed)
    culprits = find_culprits(x, y, peak, peak)
    assert 0.5 < np.mean(culprits >= 0) < 1.0
    np.testing.assert_array_equal(culprits, expected_culprits(x, y, peak, peak))


def test_of_equal_culprits_the_first_along_x_counts():
    x, y = np.array([0.0, 10.0, -10.0, 0.0]), np.array([0.0, 0.0, 0.0, 10.0])
    peak = np.array([1.0, 100.0, 100.0, 100.0])
    assert find_culprits(x, y, peak, peak).tolist() == [2, -1, -1, -1]
    assert find_culprits(x[:1], y[:1], peak[:1], peak[:1]).tolist() == [-1]
    assert len(find_culprits(x[:0], y[:0], peak[:0], peak[:0])) == 0


def test_company_and_islands_around_are_counted_among_all():
    x, y, peak = strewn(9)
    culprit, density = expected_culprits(x, y, peak, peak), len(x) / (950.0 * 490.0)
    company = company_on_rays_and_rings(x, y, peak, culprit, density)
    for row in range(len(x)):
        source = culprit[row]
        dx, dy = x[row] - x[source], y[row] - y[source]
        distance = np.hypot(dx, dy)
        if source < 0 or distance > COMPANY_REACH:
            assert (company[row] == 0).all()
            continue
        ex, ey = x - x[source], y - y[source]
        weak = (CULPRIT_RATIO * peak <= peak[source]) & (np.hypot(ex, ey) <= COMPANY_REACH) & (np.arange(len(x)) != row)
        on_ray = np.sum(weak & (np.abs(ex * dy - ey * dx) < distance))
        on_ring = np.sum(weak & (np.abs(np.hypot(ex, ey) - distance) < 1.0))
        expected = (
            np.log((1 + on_ray) / (1 + 4 * COMPANY_REACH * density)),
            np.log((1 + on_ring) / (1 + 4 * np.pi * distance * density)),
        )
        np.testing.assert_allclose(company[row], expected, rtol=1e-12, atol=1e-12)
    around = count_around(x[:50], y[:50], x, y)
    near = np.hypot(x - x[:50, None], y - y[:50, None]) <= SURROUNDINGS
    np.testing.assert_array_equal(around, near.sum(axis=1))
    np.testing.assert_array_equal(count_around(x + 1e4, y - 1e4, x, y), 0.0)
    np.testing.assert_array_equal(count_around(x, y, x[:0], y[:0]), 0.0)


@pytest.mark.parametrize(("shape", "share"), [((17, 23), 0.25), ((5, 40), 0.5), ((1, 1), 0.25)])
def test_quantile_around_nodes(shape, share):
    rng = np.random.default_rng(3)
    mesh = np.round(rng.uniform(1, 5, shape), 1)  # with equals
    mesh[rng.random(shape) < 0.3] = np.nan
    mesh[: shape[0] // 2, : shape[1] // 2] = np.nan
    expected = np.full(shape, np.nan)
    for row, col in np.ndindex(shape):
        values = mesh[max(0, row - 3) : row + 4, max(0, col - 3) : col + 4].ravel()
        values = np.sort(values[np.isfinite(values)])
        if len(values):
            expected[row, col] = values[int(share * len(values))]
    np.testing.assert_array_equal(quantile_around(mesh, half=3, share=share), expected)


def make_sites(radio_map, rng, *, number=60):
    ny, nx = radio_map.shape
    x, y = rng.integers(0, nx, number).astype(float), rng.integers(0, ny, number).astype(float)
    echo_x, echo_y = rng.integers(-30, nx + 30, (number, 7)) * 1.0, rng.integers(-30, ny + 30, (number, 7)) * 1.0
    culprit_x, culprit_y = rng.integers(0, nx, number).astype(float), rng.integers(0, ny, number).astype(float)
    culprit_x[::3], culprit_y[::3], echo_x[::3], echo_y[::3] = (np.nan,) * 4
    echo_x[1, 3], echo_y[1, 3] = np.nan, np.nan
    return Sites(x, y, culprit_x, culprit_y, echo_x, echo_y, np.ones((number, 7)))


def test_samples_are_the_pixels_at_their_places(monkeypatch):
    """A map that tells its places, sampled by plain numpy; and however it is cut into bands."""
    rng = np.random.default_rng(6)
    radio_map = make_map(np.arange(170 * 230, dtype=np.float32).reshape(170, 230))
    sites, beam = make_sites(radio_map, rng), radio_map.beam_fwhm
    samples = sample_map(radio_map, sites)

    def expected(x, y):
        column, row = np.floor(x + 0.5), np.floor(y + 0.5)
        inside = (column >= 0) & (column < 230) & (row >= 0) & (row < 170)
        return np.where(inside, row * 230 + column, np.nan)

    around = np.floor(beam * AROUND + 0.5)
    found = samples[:, AROUND_START:]
    np.testing.assert_array_equal(found, expected(sites.x[:, None] + around[:, 0], sites.y[:, None] + around[:, 1]))
    assert np.isnan(found).any() and not np.isnan(found).all()
    middle = samples[:, N_CORE // 2 : RING_START : N_CORE]
    np.testing.assert_array_equal(middle[:, 0], expected(sites.x, sites.y))
    np.testing.assert_array_equal(middle[:, 1:], expected(sites.echo_x, sites.echo_y))
    turn = 2 * np.pi * np.arange(N_RING) / N_RING
    dx, dy = (sites.x - sites.culprit_x)[:, None], (sites.y - sites.culprit_y)[:, None]
    ring_x = sites.culprit_x[:, None] + dx * np.cos(turn) - dy * np.sin(turn)
    ring_y = sites.culprit_y[:, None] + dx * np.sin(turn) + dy * np.cos(turn)
    same = samples[:, RING_START:AROUND_START] == expected(ring_x, ring_y)
    same |= np.isnan(samples[:, RING_START:AROUND_START]) & np.isnan(expected(ring_x, ring_y))
    assert same.mean() > 0.99  # places midway between two pixels are a matter of the last digit
    for rows in (1, 7, 64):
        monkeypatch.setattr(artefact_samples, "BAND_PIXELS", 230 * rows)
        np.testing.assert_array_equal(sample_map(radio_map, sites, workers=2), samples)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), blank=st.sampled_from([0.0, 0.3, 1.0]))
def test_holes_are_those_of_plain_numpy(seed, blank):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.0, 4.0, (5, N_SAMPLES)).astype(np.float32)
    values[rng.uniform(size=values.shape) < blank] = np.nan
    background, noise = np.full((5, 9), 0.5), np.full(5, 2.0)
    columns = summarise(values, np.ones(5), background, noise, np.ones((5, 7)))
    found = dict(zip(SAMPLE_COLUMNS, columns.T, strict=True))
    apart = np.hypot(AROUND[:, 0], AROUND[:, 1])
    around = (values[:, AROUND_START:].astype(float) - 0.5) / 2.0
    opposite = [int(np.flatnonzero((-place == AROUND).all(axis=1))[0]) for place in AROUND]
    pairs = np.maximum(around, around[:, opposite])

    def depth(of, radius):
        return np.max(np.nan_to_num(-of[:, apart <= radius]), axis=1, initial=0.0)

    np.testing.assert_allclose(found["deepest"], depth(around, 5.0), rtol=1e-5)
    np.testing.assert_allclose(found["hole"], depth(around, 3.0), rtol=1e-5)
    np.testing.assert_allclose(found["near_hole"], depth(around, 1.5), rtol=1e-5)
    np.testing.assert_allclose(found["opposite_holes"], depth(pairs, 3.0), rtol=1e-5)
    flat = np.ma.masked_invalid(around[:, (apart <= 3.0) & (apart >= 1.25)])
    np.testing.assert_allclose(found["plateau"], flat.mean(axis=1).filled(0.0), rtol=1e-4, atol=1e-5)
