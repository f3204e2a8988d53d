"""FITS maps line up with the input, and the residual is what the model leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from neanias_ml.catalogue import map_files
from neanias_ml.catalogue.map_files import map_header, map_writers, row_strips, write_map
from neanias_ml.extraction.components.model_map import GaussianModel
from neanias_ml.extraction.tables import ComponentTable, Extraction
from neanias_ml.maps import RadioMap, Window, read_map

Painter = Callable[[RadioMap, ComponentTable], np.ndarray]


def write_all(extraction: Extraction, folder: Path) -> dict[str, tuple[np.ndarray, fits.Header]]:
    """Write every map and read it back."""
    maps = {}
    for name, writer in map_writers(extraction, software="neanias_ml 1").items():
        writer(folder / name)
        with fits.open(folder / name) as file:
            file.verify("exception")
            maps[name] = (np.array(file[0].data), file[0].header.copy())
    return maps


def test_rendered_components_equal_brute_force(extraction: Extraction, brute_force_image: Painter) -> None:
    model = GaussianModel.of(extraction.radio_map, extraction.components)
    expected = brute_force_image(extraction.radio_map, extraction.components)
    np.testing.assert_allclose(model.render(extraction.radio_map.extent), expected, atol=2e-7 * expected.max())


def test_a_window_sees_what_the_whole_map_sees(extraction: Extraction) -> None:
    model = GaussianModel.of(extraction.radio_map, extraction.components)
    whole = model.render(extraction.radio_map.extent)
    for window in (Window(0, 7, 0, 160), Window(40, 90, 33, 101), Window(119, 120, 159, 160)):
        np.testing.assert_allclose(model.render(window), whole[window.slices], rtol=1e-5, atol=1e-12)


def test_total_flux_of_a_rendered_component(make_extraction: Callable[..., Extraction]) -> None:
    """The sum over pixels divided by the beam area is the component's flux (analytic)."""
    extraction = make_extraction(n=1, seed=8, shape=(200, 200))
    centred = extraction.components.replace(x=np.array([100.3]), y=np.array([99.6]))
    image = GaussianModel.of(extraction.radio_map, centred).render(extraction.radio_map.extent)
    assert image.sum() / extraction.radio_map.beam_area == pytest.approx(centred.total_flux[0], rel=1e-3)


def test_maps_share_the_geometry_of_the_input(extraction: Extraction, tmp_path: Path) -> None:
    sky = extraction.radio_map.sky
    assert sky is not None
    for name, (pixels, header) in write_all(extraction, tmp_path).items():
        assert pixels.shape == extraction.radio_map.shape
        x, y = np.array([0.0, 80.0, 159.0]), np.array([0.0, 60.0, 119.0])
        np.testing.assert_allclose(WCS(header).all_pix2world(x, y, 0), sky.wcs.all_pix2world(x, y, 0), atol=1e-10)
        assert header["BMAJ"] == pytest.approx(10 / 3600) and header["BPA"] == pytest.approx(30.0)
        assert header["FREQ"] == 1.4e9
        assert header.get("BUNIT") == (None if name == "islands.fits" else "Jy/beam")


FRAMES = {
    "icrs": ("RA---SIN", "DEC--SIN", {"RADESYS": "ICRS"}),
    "j2000": ("RA---SIN", "DEC--SIN", {"RADESYS": "FK5", "EQUINOX": 2000.0}),
    "galactic": ("GLON-SIN", "GLAT-SIN", {}),
    "b1950": ("RA---SIN", "DEC--SIN", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("angle", [-25.0, 30.0])
def test_written_beam_reads_back(frame: str, angle: float, tmp_path: Path) -> None:
    """A map written beside the geometry of any frame says the beam of the map that it was made from."""
    longitude, latitude, further = FRAMES[frame]
    cards = {
        "CTYPE1": longitude, "CTYPE2": latitude, "CRVAL1": 150.0, "CRVAL2": -60.0, "CRPIX1": 24.5, "CRPIX2": 16.5,
        "CDELT1": -0.0005, "CDELT2": 0.0005, "BMAJ": 0.004, "BMIN": 0.002, "BPA": angle, "BUNIT": "Jy/beam",
    } | further  # fmt: skip
    pixels = np.random.default_rng(0).normal(size=(32, 48)).astype(np.float32)
    fits.PrimaryHDU(pixels, fits.Header(cards)).writeto(tmp_path / "input.fits")
    radio_map = read_map(tmp_path / "input.fits")
    header = map_header(radio_map, integer=False, content="the same", software="neanias_ml 1")
    write_map(radio_map.read, header, tmp_path / "output.fits")
    assert header["BPA"] % 180 == pytest.approx(angle % 180, abs=1e-6)
    again = read_map(tmp_path / "output.fits")
    assert again.beam.position_angle % 180 == pytest.approx(radio_map.beam.position_angle % 180, abs=1e-6)
    np.testing.assert_allclose(again.beam_covariance, radio_map.beam_covariance, rtol=1e-6)


def test_contents_of_the_maps(extraction: Extraction, tmp_path: Path) -> None:
    maps = write_all(extraction, tmp_path)
    labels, residual = maps["islands.fits"][0], maps["residual.fits"][0]
    assert labels.dtype.kind == "i" and np.array_equal(labels, extraction.islands.labels)
    blank = np.isnan(extraction.radio_map.data)
    background, noise = extraction.noise.evaluate()
    for name, expected in (("background.fits", background), ("noise.fits", noise)):
        assert np.array_equal(np.isnan(maps[name][0]), blank)
        np.testing.assert_array_equal(maps[name][0][~blank], expected[~blank])
    assert np.array_equal(np.isnan(residual), blank)


def test_residual_of_the_true_model_is_noise(make_extraction: Callable[..., Extraction], tmp_path: Path) -> None:
    extraction = make_extraction(n=8, seed=11)
    residual = write_all(extraction, tmp_path)["residual.fits"][0]
    assert np.std(residual) == pytest.approx(1e-4, rel=0.03)
    assert np.abs(residual).max() < 6e-4 < 1e-2 < extraction.radio_map.data.max()


def test_strips_do_not_change_a_map(extraction: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_all(extraction, tmp_path)
    monkeypatch.setattr(map_files.row_strips, "__kwdefaults__", {"pixels": 7 * 160})
    assert len(list(row_strips(extraction.radio_map.shape))) == 18
    (tmp_path / "strips").mkdir()
    for name, (pixels, _) in write_all(extraction, tmp_path / "strips").items():
        np.testing.assert_allclose(pixels, whole[name][0], rtol=1e-5, atol=1e-9)


def test_maps_without_sky_or_components(
    pixel_extraction: Extraction, empty_extraction: Extraction, tmp_path: Path
) -> None:
    header = write_all(pixel_extraction, tmp_path)["noise.fits"][1]
    assert "CTYPE1" not in header and header["BMAJ"] > 0
    (tmp_path / "empty").mkdir()
    maps = write_all(empty_extraction, tmp_path / "empty")
    assert not maps["islands.fits"][0].any()
    np.testing.assert_array_equal(maps["residual.fits"][0], empty_extraction.radio_map.data)


def test_unfittable_components_are_not_rendered(extraction: Extraction) -> None:
    broken = extraction.components.replace(
        minor=np.where(extraction.components.component_id == extraction.components.component_id[0], 0.0, 8.0)
    )
    image = GaussianModel.of(extraction.radio_map, broken).render(extraction.radio_map.extent)
    assert np.isfinite(image).all() and image.max() > 0
    assert dataclasses.replace(extraction, components=broken).components.minor[0] == 0.0
