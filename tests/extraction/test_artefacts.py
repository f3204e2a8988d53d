import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.columns import Columns
from neanias_ml.errors import UsageError
from neanias_ml.evaluation.calibration import brier_score, expected_calibration_error
from neanias_ml.extraction.artefacts import samples as artefact_samples
from neanias_ml.extraction.artefacts import summaries as artefact_summaries
from neanias_ml.extraction.artefacts.evidence import artefact_evidence
from neanias_ml.extraction.artefacts.terms import model_terms
from neanias_ml.maps import FWHM_PER_SIGMA, RadioMap, ellipses_of_covariances
from neanias_ml.simulation import random_config, simulate_sky
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, make_map, make_sky, round_covariance

RMS = 1e-4


@dataclass(frozen=True)
class Found(Columns):
    """The columns of an island table that the evidence needs."""

    island_id: np.ndarray
    peak_x: np.ndarray
    peak_y: np.ndarray
    peak_flux: np.ndarray
    snr: np.ndarray
    local_rms: np.ndarray
    local_background: np.ndarray
    major: np.ndarray
    minor: np.ndarray
    pixel_angle: np.ndarray
    n_beams: np.ndarray


@dataclass(frozen=True)
class KnownNoise:
    """A noise model of given maps."""

    background: np.ndarray
    noise: np.ndarray

    def evaluate(self, window):
        return self.background[window.slices], self.noise[window.slices]


def find(radio_map, noise, *, sign=1.0):
    """Islands of a map (of its inverse for sign -1) in known noise, measured by definition."""
    flux = np.nan_to_num(sign * (radio_map.data - noise.background))
    labels, _ = ndimage.label(flux > 2.6 * noise.noise, structure=np.ones((3, 3)))
    rows = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        y, x = np.nonzero(labels[box] == number)
        y, x = y + box[0].start, x + box[1].start
        value = flux[y, x].astype(float)
        best = int(np.argmax(value / noise.noise[y, x]))
        if value[best] < 5.0 * noise.noise[y[best], x[best]] or len(y) < 5:
            continue
        axes = ellipses_of_covariances(np.atleast_2d(np.cov(np.stack([x, y]), aweights=value, ddof=0)))
        rms = noise.noise[y[best], x[best]]
        shape = (*(float(axis) for axis in axes), len(y) / radio_map.beam_area)
        rows.append((len(rows) + 1, x[best], y[best], value[best], value[best] / rms, rms, 0.0, *shape))
    columns = np.array(rows, dtype=float).reshape(len(rows), 11).T
    whole = [column.astype(int) for column in columns[:3]]
    return Found(*whole, *columns[3:])


def weigh(radio_map, noise=None):
    """Evidence and islands of a map in known noise, uniform by default."""
    noise = noise or flat_noise(radio_map)
    islands = find(radio_map, noise)
    negatives = find(radio_map, noise, sign=-1.0)
    return artefact_evidence(radio_map, islands=islands, negatives=negatives, noise=noise), islands


def flat_noise(radio_map, *, rms=RMS):
    zeros = np.zeros(radio_map.shape, dtype=np.float32)
    return KnownNoise(zeros, zeros + np.float32(rms))


def dirty_residual(size, *, seed):
    """Dirty beam of a few short uv tracks minus the restoring beam, unit peak, (size, size) around its middle."""
    rng = np.random.default_rng(seed)
    frequency = np.zeros((size, size))
    for _ in range(45):
        radius, angle = size * 0.42 / BEAM_PIXELS * np.sqrt(rng.uniform(0.01, 1)), rng.uniform(0, 2 * np.pi)
        turn = angle + np.linspace(0, 0.15, 30)
        for sign in (1, -1):
            u = np.rint(sign * radius * np.cos(turn)).astype(int)
            v = np.rint(sign * radius * np.sin(turn)).astype(int)
            frequency[v, u] = 1.0
    beam = np.fft.fftshift(np.fft.fft2(frequency).real)
    middle = gaussian((size, size), size // 2, size // 2, round_covariance(BEAM_PIXELS))
    return beam / beam.max() - middle


def sky_with_sidelobes(seed, *, size=400, level=0.03):
    """Two sources of 1500 and 800 sigma shallowly deconvolved, and faint ones; returns map and true positions."""
    rng = np.random.default_rng(seed)
    pixels = correlated_noise((size, size), rng) * RMS
    bright = ((size * 0.45, size * 0.5, 1500 * RMS), (size * 0.7, size * 0.62, 800 * RMS))
    faint = [(*rng.uniform(20, size - 20, 2), RMS * np.exp(rng.uniform(*np.log((12, 60))))) for _ in range(25)]
    for x, y, peak in (*bright, *faint):
        pixels += peak * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
    pattern = dirty_residual(2 * size, seed=seed)
    for x, y, peak in bright:
        shifted = ndimage.shift(pattern, (y - size, x - size), order=1)
        pixels += level * peak * shifted[:size, :size]
    return make_map(pixels), np.array([*bright, *faint])


def is_true(islands, truth, *, radius=4.0):
    distance = np.hypot(islands.peak_x[:, None] - truth[:, 0], islands.peak_y[:, None] - truth[:, 1])
    return distance.min(axis=1) < radius


def test_isolated_sources_are_real():
    radio_map, _ = make_sky(1, shape=(400, 400), n_sources=49, snr=(6, 300))
    evidence, islands = weigh(radio_map)
    assert len(islands) >= 45
    assert np.median(evidence.p_spurious) < 0.02 and np.mean(evidence.p_spurious > 0.5) < 0.03


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sidelobes_of_very_bright_sources_are_told(seed):
    radio_map, truth = sky_with_sidelobes(seed)
    evidence, islands = weigh(radio_map)
    true = is_true(islands, truth)
    assert (~true).sum() > 15 and true.sum() > 15
    assert np.mean(evidence.p_spurious[~true] > 0.5) > 0.6
    assert np.median(evidence.p_spurious[~true]) > 0.6
    assert np.median(evidence.p_spurious[true]) < 0.05 and (evidence.p_spurious[true] > 0.5).sum() <= 1
    culprits = islands.peak_flux[np.searchsorted(islands.island_id, evidence.culprit_id[~true])]
    assert (culprits > 500 * RMS).all()


def test_twins_speak_for_a_sidelobe_and_their_absence_against_it():
    """The same island with a twin mirrored through the bright source, with a hole there, and with nothing there."""
    found = {}
    for name, factor in (("twin", 1.0), ("hole", -1.0), ("nothing", 0.0)):
        pixels = 0.3 * RMS * correlated_noise((200, 200), np.random.default_rng(5))
        for x, y, peak in ((100, 100, 600.0), (130, 112, 8.0), (70, 88, 8.0 * factor)):
            pixels += peak * RMS * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
        evidence, islands = weigh(make_map(pixels))
        found[name] = evidence.select(np.flatnonzero((islands.peak_x > 120) & (islands.peak_x < 140)))
        assert len(found[name]) == 1
    ratios = [float(found[name].mirror_ratio[0]) for name in ("twin", "hole", "nothing")]
    np.testing.assert_allclose(ratios, [1.0, -1.0, 0.0], atol=0.15)
    assert found["twin"].echo_evidence[0] > 1 > -1 > found["nothing"].echo_evidence[0]
    assert found["twin"].p_spurious[0] > found["nothing"].p_spurious[0]
    assert found["nothing"].p_spurious[0] < 0.3
    assert found["twin"].culprit_distance[0] == pytest.approx(np.hypot(30, 12) / BEAM_PIXELS, abs=0.3)
    assert found["twin"].culprit_ratio[0] == pytest.approx(8 / 600, rel=0.2)


@pytest.mark.parametrize(("angle", "sign"), [(0.0, 1.0), (90.0, -1.0)])
def test_rays_and_rings_by_the_direction_of_an_island(angle, sign):
    along, across = (8.0 / FWHM_PER_SIGMA) ** 2 * 4, (5.0 / FWHM_PER_SIGMA) ** 2
    shape = np.diag([along, across] if angle == 0.0 else [across, along])
    pixels = 0.1 * RMS * correlated_noise((160, 160), np.random.default_rng(6))
    pixels += 500 * RMS * gaussian(pixels.shape, 40, 80, round_covariance(BEAM_PIXELS))
    pixels += 15 * RMS * gaussian(pixels.shape, 110, 80, shape)
    evidence, islands = weigh(make_map(pixels))
    row = int(np.argmax(islands.peak_x))
    assert sign * evidence.radial_elongation[row] > 0.4


def test_negative_surroundings_are_seen():
    pixels = 0.3 * RMS * correlated_noise((160, 160), np.random.default_rng(7))
    for x, y, peak in ((50, 50, 10.0), (110, 110, 10.0), (110, 122, -9.0), (122, 104, -7.0)):
        pixels += peak * RMS * gaussian(pixels.shape, x, y, round_covariance(BEAM_PIXELS))
    evidence, islands = weigh(make_map(pixels))
    clean, dirty = np.argsort(islands.peak_x)
    assert evidence.deepest_negative[dirty] > 0.6 > 0.3 > evidence.deepest_negative[clean]
    assert evidence.negatives_around[dirty] == pytest.approx(np.log(3.0)) and evidence.negatives_around[clean] == 0
    assert evidence.negative_share[dirty] > evidence.negative_share[clean]
    assert evidence.skewness[dirty] < evidence.skewness[clean] - 1


def test_holes_beside_a_crest_are_seen_and_those_afar_are_not():
    """Depths are those of the Gaussians put in: a trough on one side, on both sides, and one beyond 3 beam widths."""
    pixels = 0.02 * RMS * correlated_noise((200, 200), np.random.default_rng(9))
    reach = round(2 * BEAM_PIXELS)
    holes = {
        40: (),
        80: ((reach, 6.0),),
        120: ((reach, 6.0), (-reach, 4.0)),
        160: ((round(4 * BEAM_PIXELS), 6.0),),
    }
    for y, around in holes.items():
        pixels += 10 * RMS * gaussian(pixels.shape, 100, y, round_covariance(BEAM_PIXELS))
        for offset, depth in around:
            pixels -= depth * RMS * gaussian(pixels.shape, 100 + offset, y, round_covariance(BEAM_PIXELS))
    evidence, islands = weigh(make_map(pixels))
    assert islands.peak_y.tolist() == list(holes)
    np.testing.assert_allclose(evidence.deepest_negative, [0.0, 0.6, 0.6, 0.6], atol=0.05)
    np.testing.assert_allclose(evidence.hole_depth, [0.0, 0.6, 0.6, 0.04], atol=0.03)
    np.testing.assert_allclose(evidence.opposite_holes, [0.0, 0.0, 0.4, 0.0], atol=0.05)
    assert (evidence.near_hole <= evidence.hole_depth).all()
    assert (evidence.hole_depth <= evidence.deepest_negative).all()
    assert evidence.plateau[2] < evidence.plateau[1] < evidence.plateau[0]


def test_a_pedestal_is_a_plateau_without_holes():
    pixels = 0.02 * RMS * correlated_noise((200, 200), np.random.default_rng(10))
    for x, wide in ((50, 0.0), (140, 5.0)):
        pixels += 10 * RMS * gaussian(pixels.shape, x, 100, round_covariance(BEAM_PIXELS))
        pixels += wide * RMS * gaussian(pixels.shape, x, 100, round_covariance(8 * BEAM_PIXELS))
    evidence, islands = weigh(make_map(pixels))
    point, pedestal = np.argsort(islands.peak_x)
    assert evidence.plateau[pedestal] > 0.2 > 0.05 > abs(evidence.plateau[point])
    assert evidence.hole_depth[pedestal] == 0.0


def test_noise_that_follows_the_sidelobes_leaves_the_excess_visible():
    """Raised noise near the bright source shows as excess over the noise away from it."""
    radio_map, _ = sky_with_sidelobes(1)
    y, x = np.indices(radio_map.shape)
    noise = RMS * (1 + 3 * np.exp(-0.5 * (np.hypot(x - 180, y - 200) / 30) ** 2))
    evidence, islands = weigh(radio_map, KnownNoise(np.zeros(radio_map.shape, np.float32), noise.astype(np.float32)))
    near = np.hypot(islands.peak_x - 180, islands.peak_y - 200) < 20
    far = np.hypot(islands.peak_x - 180, islands.peak_y - 200) > 150
    assert np.median(evidence.noise_excess[near]) > 1.0 and abs(np.median(evidence.noise_excess[far])) < 0.05
    np.testing.assert_allclose(evidence.far_snr[far], evidence.snr[far], rtol=0.05)


def test_probabilities_do_not_depend_on_the_unit():
    radio_map, _ = sky_with_sidelobes(2)
    evidence, _ = weigh(radio_map)
    scaled = make_map(radio_map.data * np.float32(2.0**20))
    other, _ = weigh(scaled, flat_noise(scaled, rms=RMS * 2.0**20))
    np.testing.assert_allclose(other.p_spurious, evidence.p_spurious, atol=1e-4)


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], np.rot90, lambda a: a.T])
def test_probabilities_do_not_depend_on_the_orientation(turn):
    """Samples fall on other pixels and rows come in another order, so the agreement is not to the last digit."""
    radio_map, _ = sky_with_sidelobes(3)
    evidence, islands = weigh(radio_map)
    turned, turned_islands = weigh(make_map(np.ascontiguousarray(turn(radio_map.data))))
    place = np.zeros(radio_map.shape)
    place[islands.peak_y, islands.peak_x] = 1 + np.arange(len(islands))
    partner = turn(place)[turned_islands.peak_y, turned_islands.peak_x].astype(int) - 1
    assert sorted(partner) == list(range(len(islands)))
    difference = np.abs(turned.p_spurious - evidence.p_spurious[partner])
    assert np.median(difference) < 0.01 and np.mean(difference > 0.2) < 0.05
    np.testing.assert_allclose(turned.ray_excess, evidence.ray_excess[partner], atol=1e-9)


def test_calibration_on_fresh_simulated_fields():
    probability, spurious = [], []
    for seed in range(90_001, 90_017):
        config = random_config(np.random.default_rng(seed), size=384)
        brighter = dataclasses.replace(config.population, bright_sources=config.population.bright_sources + 3.0)
        sky = simulate_sky(dataclasses.replace(config, population=brighter), seed=seed)
        evidence, islands = weigh(sky.radio_map, KnownNoise(sky.background, sky.rms))
        model = ndimage.maximum_filter(sky.model, size=3)[islands.peak_y, islands.peak_x]
        probability.append(evidence.p_spurious)
        spurious.append(model < 0.5 * islands.peak_flux)
    p, truth = np.concatenate(probability), np.concatenate(spurious)
    assert len(p) > 150 and truth.sum() > 20 and ((p >= 0) & (p <= 1)).all()
    share = truth.mean()
    assert brier_score(p, truth) < 0.8 * share * (1.0 - share)  # well below that of the share of all
    assert expected_calibration_error(p, truth, n_bins=8) < 0.09


def test_windows_are_bounded_and_batches_do_not_matter(monkeypatch):
    radio_map, _ = make_sky(8, shape=(1100, 1300), n_sources=25, snr=(8, 400))
    noise = flat_noise(radio_map)
    islands = find(radio_map, noise)
    windows = []

    def read(window):
        windows.append(window)
        return radio_map.data[window.slices]

    lazy = RadioMap(radio_map.shape, read, radio_map.beam, radio_map.pixel_scale, radio_map.sky)
    whole = artefact_evidence(lazy, islands=islands, negatives=islands.select([]), noise=noise)
    assert len(windows) == 1
    windows.clear()
    monkeypatch.setattr(artefact_samples, "BAND_PIXELS", 100 * 1300)
    monkeypatch.setattr(artefact_summaries, "BATCH", 7)
    monkeypatch.setattr(artefact_summaries, "PIECE", 3)
    batched = artefact_evidence(lazy, islands=islands, negatives=islands.select([]), noise=noise, workers=2)
    assert windows and all(window.shape == (100, 1300) for window in windows)
    for name in ("p_spurious", "echo_evidence", "ring_snr", "skewness"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(batched, name))


def test_blank_pixels_edges_and_empty_tables():
    radio_map, _ = make_sky(9, n_sources=16, snr=(20, 200))
    pixels = radio_map.data.copy()
    pixels[:, 120:140] = np.nan
    noise = flat_noise(radio_map)
    evidence, islands = weigh(make_map(pixels), noise)
    assert np.isfinite(evidence.p_spurious).all() and len(islands) > 5
    assert all(np.isfinite(term).all() for term in model_terms(evidence).values())
    nothing = artefact_evidence(
        make_map(pixels), islands=islands.select([]), negatives=islands.select([]), noise=noise
    )
    assert len(nothing) == 0 and nothing.p_spurious.shape == (0,)
    with pytest.raises(UsageError, match="merge_threshold"):
        artefact_evidence(radio_map, islands=islands, negatives=islands, noise=noise, merge_threshold=0.0)
