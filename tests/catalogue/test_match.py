"""Cross-matching against independent judges: astropy, stilts, known offsets, fluxes, spectra and chance rates."""

import shutil
import subprocess

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.catalogue.crossmatch import MatchConfig, match_catalogues
from neanias_ml.catalogue.crossmatch_chance import chance_matches
from neanias_ml.catalogue.crossmatch_summary import summary, summary_lines
from neanias_ml.catalogue.crossmatch_tables import matches_table, unmatched_table
from neanias_ml.catalogue.reading_sources import CatalogueColumns, sources_of
from neanias_ml.errors import InputError, UsageError
from neanias_ml.evaluation import CrossMatch, one_to_one, sky_offsets, sky_pairs

FIELDS = {"equator and RA 0": (0.0, 0.0), "north pole": (123.0, 89.999), "south": (200.0, -60.0)}


def sky_field(rng, n, *, ra=0.0, dec=0.0, reach=1200.0):
    """Random positions within ``reach`` arcsec of a place."""
    centre = SkyCoord(ra, dec, unit="deg")
    places = centre.directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, reach * np.sqrt(rng.uniform(0, 1, n)) * u.arcsec
    )
    return places


def table_of(places, **columns):
    table = Table({"ra": places.ra.deg, "dec": places.dec.deg})
    for name, values in columns.items():
        table[name] = values
    return table


def jittered(rng, places, sigma):
    return places.directional_offset_by(
        rng.uniform(0, 360, len(places)) * u.deg, sigma * rng.rayleigh(size=len(places)) * u.arcsec
    )


def nearest_first(first, second, *, radius):
    """The nearest pair of all, then the nearest of what is left, and so on."""
    distance = first[:, None].separation(second[None, :]).arcsec
    pairs = set()
    while distance.min() <= radius:
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        pairs.add((int(i), int(j)))
        distance[i, :] = distance[:, j] = np.inf
    return pairs


@pytest.mark.parametrize("field", FIELDS)
def test_nearest_pairs_are_those_of_astropy(field):
    rng = np.random.default_rng(1)
    ra, dec = FIELDS[field]
    first = sky_field(rng, 300, ra=ra, dec=dec)
    second = jittered(rng, first[:200], 0.3)
    matched = match_catalogues(
        sources_of(table_of(first)), sources_of(table_of(second)), config=MatchConfig(radius=3.0)
    )
    index, separation, _ = second.match_to_catalog_sky(first)
    mutual = first.match_to_catalog_sky(second)[0][index] == np.arange(200)
    sure = mutual & (separation.arcsec < 3.0)
    pairs = dict(zip(matched.pairs.second.tolist(), matched.pairs.first.tolist(), strict=True))
    assert sure.sum() > 190
    assert all(pairs[row] == index[row] for row in np.flatnonzero(sure))
    judged = first[matched.pairs.first].separation(second[matched.pairs.second]).arcsec
    np.testing.assert_allclose(matched.pairs.separation, judged, atol=1e-6)
    angle = first[matched.pairs.first].position_angle(second[matched.pairs.second])
    np.testing.assert_allclose(matched.east, judged * np.sin(angle.rad), atol=1e-5)
    np.testing.assert_allclose(matched.north, judged * np.cos(angle.rad), atol=1e-5)


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
@pytest.mark.parametrize("field", ["equator and RA 0", "north pole"])
def test_crowded_pairs_are_those_of_stilts(tmp_path, field):
    rng = np.random.default_rng(2)
    ra, dec = FIELDS[field]
    first = sky_field(rng, 250, ra=ra, dec=dec, reach=180.0)
    second = sky_field(rng, 250, ra=ra, dec=dec, reach=180.0)
    for name, places in (("a", first), ("b", second)):
        table_of(places, row=np.arange(len(places))).write(tmp_path / f"{name}.csv", format="ascii.csv")
    judged = {}
    for find in ("all", "best"):
        command = [
            "stilts", "tmatch2", "matcher=sky", "params=10", f"in1={tmp_path}/a.csv", f"in2={tmp_path}/b.csv",
            "values1=ra dec", "values2=ra dec", f"find={find}", "join=1and2", f"out={tmp_path}/m.csv",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        table = Table.read(tmp_path / "m.csv", format="ascii.csv")
        judged[find] = set(zip(table["row_1"].tolist(), table["row_2"].tolist(), strict=True))
    candidates = sky_pairs(first.ra.deg, first.dec.deg, second.ra.deg, second.dec.deg, radius_arcsec=10.0)
    assert set(zip(candidates.first.tolist(), candidates.second.tolist(), strict=True)) == judged["all"]
    matched = match_catalogues(
        sources_of(table_of(first)), sources_of(table_of(second)), config=MatchConfig(radius=10.0)
    )
    assert matched.ambiguous.sum() > 20
    ours = set(zip(matched.pairs.first.tolist(), matched.pairs.second.tolist(), strict=True))
    # where pairs compete in chains, stilts bars rows that have lost once; where they do not, all must agree
    alone = {
        (i, j)
        for i, j in judged["all"]
        if sum(pair[0] == i for pair in judged["all"]) == 1 == sum(pair[1] == j for pair in judged["all"])
    }
    assert len(alone) > 20 and alone <= ours and alone <= judged["best"]
    assert len(ours & judged["best"]) > 0.85 * len(judged["best"]) and len(ours) >= len(judged["best"])
    assert ours == nearest_first(first, second, radius=10.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 30))
def test_one_to_one_is_stable(seed, n_a, n_b):
    """Each row once; no candidate left over whose two rows are both free; none nearer than what its rows have."""
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0, 0.01, (n_a, 2)), rng.uniform(0, 0.01, (n_b, 2))
    candidates = sky_pairs(*first.T, *second.T, radius_arcsec=8.0)
    pairs = one_to_one(candidates)
    assert len(set(pairs.first.tolist())) == len(set(pairs.second.tolist())) == len(pairs)
    best_a = dict(zip(pairs.first.tolist(), pairs.separation.tolist(), strict=True))
    best_b = dict(zip(pairs.second.tolist(), pairs.separation.tolist(), strict=True))
    for i, j, distance in zip(candidates.first, candidates.second, candidates.separation, strict=True):
        assert distance >= min(best_a.get(i, np.inf), best_b.get(j, np.inf))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 360), st.floats(-89.99999, 89.99999), st.floats(0, 360), st.floats(1e-6, 3600.0))
def test_offsets_have_the_length_of_the_arc(ra, dec, bearing, arc):
    place = SkyCoord(ra, dec, unit="deg")
    moved = place.directional_offset_by(bearing * u.deg, arc * u.arcsec)
    east, north = sky_offsets([ra], [dec], [moved.ra.deg], [moved.dec.deg])
    judge = angular_separation(*np.radians([ra, dec, moved.ra.deg, moved.dec.deg]))
    assert np.hypot(east, north)[0] == pytest.approx(np.degrees(judge) * 3600, abs=1e-7, rel=1e-9)
    assert east[0] == pytest.approx(arc * np.sin(np.radians(bearing)), abs=1e-5, rel=1e-6)


def test_known_offset_pulls_fluxes_and_spectrum_are_recovered():
    rng = np.random.default_rng(3)
    n = 800
    first = sky_field(rng, n, ra=359.999, dec=-45.0, reach=9000)
    shifted = first.spherical_offsets_by(np.full(n, 0.5) * u.arcsec, np.full(n, -0.3) * u.arcsec)
    noisy = shifted.spherical_offsets_by(rng.normal(0, 0.2, n) * u.arcsec, rng.normal(0, 0.1, n) * u.arcsec)
    flux = 10 ** rng.uniform(-3, -1, n)
    other = flux * 2.0**-0.7 * np.exp(rng.normal(0, 0.05, n))
    a = table_of(first, total_flux=flux * u.Jy, snr=flux / 1e-4)
    b = table_of(
        noisy, total_flux=other * 1e3 * u.mJy, ra_err=np.full(n, 0.2) * u.arcsec, dec_err=np.full(n, 0.1) * u.arcsec,
        total_flux_err=other * 0.05 * 1e3 * u.mJy,
    )  # fmt: skip
    sources = (
        sources_of(a, columns=CatalogueColumns(frequency=1e9)), sources_of(b, columns=CatalogueColumns(frequency=2e9))
    )  # fmt: skip
    matched = match_catalogues(*sources, config=MatchConfig(radius=3.0))
    content = summary(*sources, matched, None, config=MatchConfig(radius=3.0))
    assert content["matched"] == n
    assert content["offset_east"]["median"] == pytest.approx(0.5, abs=0.03)
    assert content["offset_north"]["median"] == pytest.approx(-0.3, abs=0.015)
    assert content["offset_east"]["scatter"] == pytest.approx(0.2, rel=0.1)
    assert content["pull_north"]["scatter"] == pytest.approx(1.0, rel=0.1)
    assert content["total_flux_ratio_b_over_a"]["median"] == pytest.approx(2.0**-0.7, rel=0.01)
    assert content["spectral_index"]["median"] == pytest.approx(-0.7, abs=0.01)
    assert content["spectral_index"]["scatter"] == pytest.approx(0.05 / np.log(2), rel=0.12)
    np.testing.assert_allclose(matched.spectral_index_err, np.nan)  # A has no flux errors
    bins = content["total_flux_ratio_b_over_a"]["by_snr"]
    assert sum(entry["n"] for entry in bins) == n and all(entry["snr_from"] >= 10 for entry in bins)
    assert any("spectral index: median -0.7" in line for line in summary_lines(content))


def test_errors_decide_where_n_sigma_is_asked_for():
    a = sources_of(Table({"ra": [10.0, 20.0, 30.0], "dec": [0.0, 0.0, 0.0]}))
    b = Table({"ra": [10.0 + 2 / 3600, 20.0 + 2 / 3600, 30.0 + 2 / 3600], "dec": [0.0] * 3})
    b["ra_err"], b["dec_err"] = [1.0, 0.5, -1.0] * u.arcsec, [0.1, 5.0, -1.0] * u.arcsec
    b = sources_of(b)
    assert match_catalogues(a, b, config=MatchConfig(radius=5)).pairs.first.tolist() == [0, 1, 2]
    # the ellipse counts, not its mean; a row without errors is judged by the radius alone
    assert match_catalogues(a, b, config=MatchConfig(radius=5, n_sigma=3)).pairs.first.tolist() == [0, 2]
    wide = MatchConfig(radius=5, n_sigma=3, systematic=1.0)
    assert match_catalogues(a, b, config=wide).pairs.first.tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="position errors"):
        match_catalogues(a, a, config=MatchConfig(n_sigma=3))


def test_flux_limits_choose_the_farther_but_likelier_neighbour():
    a = sources_of(Table({"ra": [10.0], "dec": [0.0], "total_flux": [1.0] * u.Jy}))
    b = sources_of(
        Table({"ra": [10.0 + 1 / 3600, 10.0 + 2 / 3600], "dec": [0.0, 0.0], "total_flux": [10.0, 1100.0] * u.mJy})
    )
    assert match_catalogues(a, b, config=MatchConfig(radius=5)).pairs.second.tolist() == [0]
    limits = MatchConfig(radius=5, min_flux_ratio=0.5, max_flux_ratio=2)
    assert match_catalogues(a, b, config=limits).pairs.second.tolist() == [1]
    with pytest.raises(UsageError, match="total_flux or peak_flux"):
        match_catalogues(a, sources_of(Table({"ra": [1.0], "dec": [1.0]})), config=limits)


def test_chance_rate_is_that_of_the_densities():
    """Unrelated catalogues: N_a N_b pi r^2 / area pairs, up to pairs that compete for a row."""
    rng = np.random.default_rng(4)
    n, reach, radius = 2000, 9000.0, 25.0
    a, b = (sources_of(table_of(sky_field(rng, n, ra=1.0, dec=60.0, reach=reach))) for _ in range(2))
    config = MatchConfig(radius=radius, trials=40)
    matched = match_catalogues(a, b, config=config)
    chance = chance_matches(a, b, config=config, rule=matched.rule, seed=5)
    expected = n * n * radius**2 / reach**2
    assert chance.mean == pytest.approx(expected, rel=0.1)
    assert len(matched) == pytest.approx(chance.mean, abs=4 * np.sqrt(chance.mean))
    assert chance.annulus == (75.0, 125.0)
    again = chance_matches(a, b, config=config, rule=matched.rule, seed=5)
    np.testing.assert_array_equal(again.counts, chance.counts)


def test_displaced_sources_never_meet_their_own_counterpart():
    rng = np.random.default_rng(6)
    grid = np.stack(np.meshgrid(np.arange(10) * 0.2, np.arange(-5, 5) * 0.2), -1).reshape(-1, 2)
    a = sources_of(Table({"ra": grid[:, 0], "dec": grid[:, 1]}))
    b = sources_of(table_of(jittered(rng, SkyCoord(*grid.T, unit="deg"), 1.0)))
    config = MatchConfig(radius=12.0, trials=30)
    matched = match_catalogues(a, b, config=config)
    assert len(matched) == 100
    assert chance_matches(a, b, config=config, rule=matched.rule, seed=7).mean == 0


def test_duplicates_and_empty_catalogues():
    twice = sources_of(Table({"ra": [5.0, 5.0, 6.0], "dec": [1.0, 1.0, 1.0]}))
    once = sources_of(Table({"ra": [5.0, np.nan], "dec": [1.0, 1.0]}))
    matched = match_catalogues(twice, once)
    assert matched.pairs.first.tolist() == [0] and matched.ambiguous.tolist() == [True]
    content = summary(twice, once, matched, None, config=MatchConfig())
    assert content["completeness_of_a_against_b"]["of"] == 1  # a row without a position cannot be missed
    assert len(unmatched_table(twice, matched.pairs.first, name="unmatched_a")) == 2
    empty = sources_of(Table({"ra": [], "dec": []}))
    for a, b in ((empty, twice), (twice, empty), (empty, empty)):
        matched = match_catalogues(a, b)
        chance = chance_matches(a, b, config=MatchConfig(), rule=matched.rule, seed=0)
        content = summary(a, b, matched, chance, config=MatchConfig())
        assert content["matched"] == 0 and content["chance"]["expected"] == 0
        assert content["separation"]["median"] is None
        assert len(matches_table(a, b, matched)) == 0


def test_pixel_catalogues_are_matched_in_pixels():
    a = sources_of(Table({"x": [1.0, 50.0], "y": [1.0, 50.0]}))
    b = sources_of(Table({"x": [52.0, 1.5], "y": [50.5, 1.0], "ra": [0.0, 0.0], "dec": [0.0, 0.0]}))
    matched = match_catalogues(a, b)
    assert (matched.rule.frame, matched.rule.radius) == ("pixels", 2.5)
    assert matched.pairs.second.tolist() == [1, 0]
    np.testing.assert_allclose(matched.east, [0.5, 2.0])
    sky = sources_of(Table({"ra": [1.0], "dec": [1.0]}))
    with pytest.raises(InputError, match="in common"):
        match_catalogues(a, sky)
    with pytest.raises(InputError, match="no sky positions"):
        match_catalogues(a, b, config=MatchConfig(frame="sky"))


def test_default_radius_follows_the_larger_beam():
    small, large = ({"provenance": {"beam_major_arcsec": beam, "pixel_scale_arcsec": 2.0}} for beam in (6.0, 20.0))
    columns = {"ra": [1.0], "dec": [1.0], "x": [1.0], "y": [1.0]}
    a, b = sources_of(Table(columns, meta=small)), sources_of(Table(columns, meta=large))
    assert match_catalogues(a, b).rule.radius == 10.0
    assert match_catalogues(a, b, config=MatchConfig(frame="pixels")).rule.radius == 5.0
    sized = sources_of(Table({**columns, "maj": np.array([8.0]) * u.arcsec}))
    assert match_catalogues(sized, sized).rule.radius == pytest.approx(4.0)
    plain = sources_of(Table({"ra": [1.0], "dec": [1.0]}))
    assert match_catalogues(plain, plain).rule.radius == 5.0


def label_maps(tmp_path):
    """Island 1 equal in both; 2 of A swallowed by a far larger 7 of B; 3 shifted by half its width."""
    first, second = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    first[2:6, 2:6], second[2:6, 2:6] = 1, 5
    first[20:22, 20:22], second[15:30, 15:30] = 2, 7
    first[2:6, 20:30], second[2:6, 23:33] = 3, 6
    paths = []
    for name, labels in (("a", first), ("b", second)):
        paths.append(tmp_path / f"{name}.fits")
        fits.writeto(paths[-1], labels)
    return [str(path) for path in paths], (first, second)


def islands_table(labels):
    ids = np.unique(labels[labels > 0])
    centres = [np.argwhere(labels == label).mean(axis=0) for label in ids]
    return Table({"island_id": ids, "x": [c[1] for c in centres], "y": [c[0] for c in centres]})


def test_islands_are_matched_by_their_common_pixels(tmp_path):
    paths, labels = label_maps(tmp_path)
    a, b = (
        sources_of(islands_table(label), columns=CatalogueColumns(islands=path))
        for label, path in zip(labels, paths, strict=True)
    )
    matched = match_catalogues(a, b, config=MatchConfig(by="overlap"))
    pairs = dict(
        zip(a.table["island_id"][matched.pairs.first], b.table["island_id"][matched.pairs.second], strict=True)
    )
    assert pairs == {1: 5, 3: 6}  # the swallowed one is no match
    assert dict(zip(a.table["island_id"][matched.pairs.first], matched.overlap, strict=True)) == pytest.approx(
        {1: 1.0, 3: 0.7}
    )
    strict = match_catalogues(a, b, config=MatchConfig(by="overlap", min_overlap=0.9))
    assert len(strict) == 1
    several = sources_of(
        Table({"island_id": [1, 1], "x": [1.0, 2.0], "y": [1.0, 2.0]}), columns=CatalogueColumns(islands=paths[0])
    )
    with pytest.raises(UsageError, match="table islands"):
        match_catalogues(several, b, config=MatchConfig(by="overlap"))
    with pytest.raises(UsageError, match="--save-maps"):
        match_catalogues(sources_of(islands_table(labels[0])), b, config=MatchConfig(by="overlap"))


def test_the_table_of_pairs_keeps_both_catalogues(tmp_path):
    a = sources_of(Table({"name": ["p", "q"], "ra": [1.0, 2.0], "dec": [0.0, 0.0]}))
    b = sources_of(Table({"name": ["r"], "ra": [2.0], "dec": [0.0]}))
    table = matches_table(a, b, match_catalogues(a, b))
    assert (table["name_a"][0], table["name_b"][0], table["row_a"][0]) == ("q", "r", 1)
    assert table["separation"].unit == u.arcsec


@pytest.mark.parametrize(
    "bad", [{"radius": 0.0}, {"n_sigma": -1.0}, {"min_overlap": 0.0}, {"trials": -1}, {"systematic": -1.0},
            {"min_flux_ratio": 2.0, "max_flux_ratio": 1.0}, {"radius": np.nan}]
)  # fmt: skip
def test_settings_out_of_range(bad):
    with pytest.raises(UsageError):
        MatchConfig(**bad)


def test_pairs_can_be_chosen():
    pairs = CrossMatch(np.array([0, 1]), np.array([1, 0]), np.array([0.5, 0.7]))
    assert len(pairs.select(pairs.separation < 0.6)) == 1


def test_lotss_rows_against_their_own_fits_copy(real_data, tmp_path):
    from neanias_ml.catalogue.reading_sources import read_sources

    a = read_sources(real_data / "LoTSS_DR1" / "P205+55_600px_ra207_pybdsf_srl.csv")
    copy = Table({"RA": a.get("ra") * u.deg, "DEC": a.get("dec") * u.deg, "Total_flux": a.get("total_flux") * u.Jy,
                  "Isl_id": np.arange(len(a)), "Peak_flux": a.get("peak_flux") * u.Jy / u.beam})  # fmt: skip
    copy.write(tmp_path / "b.fits")
    b = read_sources(tmp_path / "b.fits")
    matched = match_catalogues(a, b)
    assert len(matched) == len(a) and matched.pairs.separation.max() < 1e-6
    np.testing.assert_allclose(matched.total_ratio, 1.0)


def test_simulated_square_kilometre_sources_against_their_truth(real_data):
    from neanias_ml.catalogue.reading_sources import read_sources

    a = read_sources(real_data / "SDC1_B1" / "B1_1000h_0.05tr.pybdsm.srl")
    b = read_sources(
        real_data / "SDC1_B1" / "truth_B1_1000h_0.05tr.csv", columns=CatalogueColumns(total_flux="flux_Jy [Jy]")
    )
    matched = match_catalogues(a, b)
    assert len(matched) >= 0.95 * len(a)
    assert 0.9 < np.median(matched.total_ratio) < 1.4
    assert np.abs(np.median(matched.east)) < 0.05
