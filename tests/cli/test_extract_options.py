"""Options of `extract`: what they change, and what they say when they cannot."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from tests.cli.conftest import map_header
from tests.conftest import correlated_noise, make_sky


def islands_of(folder):
    return QTable.read(folder / "islands.ecsv")


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def saved(map_file, tmp_path_factory):
    """Noise and background maps that an earlier run saved."""
    from neanias_ml.cli.main import main

    folder = tmp_path_factory.mktemp("saved") / "out"
    words = ["extract", str(map_file), "-o", str(folder), "--save-maps", "--no-pictures", "--quiet"]
    assert main(words) == 0
    return folder


def test_saved_noise_and_background_maps_can_be_supplied_again(run, map_file, saved, tmp_path):
    code, _, err = run(
        "extract", map_file, "-o", tmp_path / "out", "--noise-map", saved / "noise.fits",
        "--background-map", saved / "background.fits", "--no-pictures", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    first, again = islands_of(saved), islands_of(tmp_path / "out")
    np.testing.assert_array_equal(first["n_pixels"], again["n_pixels"])
    np.testing.assert_allclose(first["total_flux"].value, again["total_flux"].value, rtol=1e-6)
    assert record_of(tmp_path / "out")["configuration"]["noise_map"] == str(saved / "noise.fits")


def test_a_noise_map_is_used_as_it_is(run, map_file, saved, tmp_path):
    noise = 3 * fits.getdata(saved / "noise.fits")
    fits.writeto(tmp_path / "noise.fits", noise, map_header(noise.shape))
    code, _, err = run(
        "extract", map_file, "-o", tmp_path / "out", "--noise-map", tmp_path / "noise.fits", "--no-pictures", "--quiet"
    )
    assert code == 0, err
    first, again = islands_of(saved), islands_of(tmp_path / "out")
    assert again["snr"].max() == pytest.approx(first["snr"].max() / 3, rel=0.05)


def test_the_noise_map_may_lack_a_beam(run, map_file, saved, tmp_path):
    noise = fits.getdata(saved / "noise.fits")
    fits.writeto(tmp_path / "noise.fits", noise, map_header(noise.shape, beam=None))
    code, _, err = run(
        "extract", map_file, "-o", tmp_path / "out", "--noise-map", tmp_path / "noise.fits", "--no-pictures", "--quiet"
    )
    assert code == 0, err


def test_maps_that_do_not_fit_are_refused(run, map_file, saved, tmp_path):
    fits.writeto(tmp_path / "small.fits", np.ones((64, 32), np.float32), map_header((64, 32)))
    cases = {
        ("--noise-map", tmp_path / "small.fits"): (3, "32 x 64"),
        ("--noise-map", saved / "noise.fits", "--background-map", tmp_path / "small.fits"): (3, "background map"),
        ("--noise-map", tmp_path / "nowhere.fits"): (3, "nowhere.fits"),
        ("--background-map", saved / "background.fits"): (2, "--noise-map"),
    }
    for words, (expected, text) in cases.items():
        code, _, err = run("extract", map_file, "-o", tmp_path / "out", *words, "--quiet")
        assert code == expected and text in err and "Traceback" not in err
        assert len(err.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words, text",
    [
        (["--tile-size", "0"], "tile-size"),
        (["--tile-size", "-5"], "tile-size"),
        (["--workers", "-1"], "workers"),
        (["--target-purity", "1.5"], "target_purity"),
        (["--finder.connectivity", "5"], "connectivity"),
        (["--finder.background.estimator", "mode"], "estimator"),
        (["--finder.extended.method", "magic"], "magic"),
    ],
)
def test_impossible_values_are_usage_errors(run, map_file, tmp_path, words, text):
    code, _, err = run("extract", map_file, "-o", tmp_path / "out", *words)
    assert code == 2 and text in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_tiles_and_threads_change_no_byte_of_the_tables(run, map_file, saved, tmp_path):
    for name, words in {
        "a": ["--tile-size", 9],
        "b": ["--workers", 3],
        "c": ["--tile-size", 64, "--workers", 2],
    }.items():
        folder = tmp_path / name
        assert run("extract", map_file, "-o", folder, *words, "--no-pictures", "--quiet")[0] == 0
        for file in ("islands.ecsv", "components.ecsv", "sources.reg"):
            assert (folder / file).read_bytes() == (saved / file).read_bytes()


def test_purity_chooses_the_seed(run, tmp_path):
    radio_map, _ = make_sky(5, shape=(256, 256), n_sources=36, snr=(4.5, 20))
    fits.writeto(tmp_path / "faint.fits", np.asarray(radio_map.data), map_header((256, 256)))
    counts = {}
    for name, words in {"usual": [], "pure": ["--target-purity", "0.9"]}.items():
        folder = tmp_path / name
        assert run("extract", tmp_path / "faint.fits", "-o", folder, *words, "--no-pictures", "--quiet")[0] == 0
        counts[name] = len(islands_of(folder))
    assert counts["pure"] > counts["usual"]
    assert min(islands_of(tmp_path / "pure")["snr"]) < 5.0 <= min(islands_of(tmp_path / "usual")["snr"])


def test_extended_emission_is_searched_for_on_request(run, tmp_path):
    shape = (300, 300)
    rows, cols = np.indices(shape)
    disk = np.hypot(rows - 150, cols - 150) < 55
    pixels = 1e-4 * (correlated_noise(shape, np.random.default_rng(6)) + 1.5 * disk)
    fits.writeto(tmp_path / "disk.fits", pixels.astype(np.float32), map_header(shape))
    kinds = {}
    for name, words in {"without": [], "with": ["--extended"]}.items():
        folder = tmp_path / name
        assert run("extract", tmp_path / "disk.fits", "-o", folder, *words, "--no-pictures", "--quiet")[0] == 0
        kinds[name] = islands_of(folder)["kind"].tolist()
    assert kinds["with"].count("diffuse") == 1 and "diffuse" not in kinds["without"]


def test_descriptors_and_pictures_on_request(run, map_file, tmp_path):
    code, _, err = run("extract", map_file, "-o", tmp_path / "out", "--descriptors", "--no-pictures", "--quiet")
    assert code == 0, err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"components.ecsv", "islands.ecsv", "descriptors.ecsv", "catalogue.vot", "sources.reg", "run.json"}
    table = QTable.read(tmp_path / "out" / "descriptors.ecsv")
    islands = islands_of(tmp_path / "out")
    np.testing.assert_array_equal(table["island_id"], islands["island_id"])
    np.testing.assert_array_equal(table["area"], islands["n_pixels"])


def test_a_file_of_options_holds_them_all(run, map_file, tmp_path):
    config = tmp_path / "options.yaml"
    config.write_text(
        "tile_size: 32\nworkers: 1\nno_pictures: true\ndescriptors: true\nextended: true\ntarget_purity: 0.8\n"
    )
    code, _, err = run("extract", map_file, "-o", tmp_path / "out", "--config", config, "--quiet")
    assert code == 0, err
    configuration = record_of(tmp_path / "out")["configuration"]
    assert configuration["tile_size"] == 32 and configuration["target_purity"] == 0.8
    assert not (tmp_path / "out" / "overview.png").exists() and (tmp_path / "out" / "descriptors.ecsv").exists()
