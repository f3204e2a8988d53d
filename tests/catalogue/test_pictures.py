"""The overview shows the map, the classes and the counts, whatever the map."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from neanias_ml.catalogue.display import (
    BLANK,
    Picture,
    block_maxima,
    common_flux_prefix,
    flux_prefix,
    shades,
    stretch_limits,
    stretched,
    typical_noise,
    whole_map_picture,
)
from neanias_ml.catalogue.outlines import island_outlines
from neanias_ml.catalogue.overview import angle_text, brightness_ticks, round_angle, write_overview
from neanias_ml.catalogue.panels import logarithmic_bins, logarithmic_ticks
from neanias_ml.catalogue.png import png_file, without_colour
from neanias_ml.catalogue.sources import Sources
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.models.class_styles import STYLES, in_order, style_of


def draw(extraction: Extraction, catalogue: ObjectCatalogue | None, path: Path) -> np.ndarray:
    """The overview as RGB, (h, w, 3)."""
    sources = Sources.from_results(extraction, catalogue)
    write_overview(sources, island_outlines([extraction.islands]), path, title="a $map_ {with} <odd> name^")
    return imread(path)[..., :3]


def has_colour(image: np.ndarray, colour: str) -> bool:
    """Whether a colour fills some pixels."""
    return np.count_nonzero(np.abs(image - to_rgb(colour)).max(axis=2) < 0.02) > 20


def test_overview_shows_each_class_in_its_colour(
    extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path
) -> None:
    image = draw(extraction, catalogue, tmp_path / "overview.png")
    present = set(catalogue.objects.class_name.tolist())
    assert len(present) >= 3
    for name in present:
        assert has_colour(image, style_of(name).colour)
    for name in set(STYLES) - present:
        assert not has_colour(image, style_of(name).colour)


def test_overview_is_reproducible(extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path) -> None:
    draw(extraction, catalogue, tmp_path / "a.png")
    draw(extraction, catalogue, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "options",
    [{"wcs": False}, {"n": 0}, {"n": 0, "wcs": False}, {"shape": (40, 400)}, {"shape": (300, 30), "n": 4}],
    ids=["pixels", "empty", "empty pixels", "wide", "tall"],
)
def test_overview_of_odd_maps(options: dict, make_extraction: Callable[..., Extraction], tmp_path: Path) -> None:
    extraction = make_extraction(**options)
    image = draw(extraction, None, tmp_path / "overview.png")
    assert image.shape[0] > 900 and image.shape[1] > 1400
    assert image.std() > 0.05
    assert has_colour(image, style_of("compact").colour) == ("compact" in extraction.islands.table.kind)


def test_large_map_is_reduced_by_maxima(make_extraction: Callable[..., Extraction]) -> None:
    extraction = make_extraction(shape=(121, 169), n=5, blank=True)
    picture = whole_map_picture(extraction, longest=60)
    assert picture.block == 3 and picture.pixels.shape == (41, 57)
    data = extraction.radio_map.data - extraction.noise.evaluate()[0]
    padded = np.pad(data, ((0, 2), (0, 2)), constant_values=np.nan).reshape(41, 3, 57, 3)
    expected = np.where(np.isnan(padded).all(axis=(1, 3)), np.nan, np.fmax.reduce(np.fmax.reduce(padded, 3), 1))
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.noise == typical_noise(extraction) == pytest.approx(1e-4)


def test_block_of_one_keeps_the_pixels() -> None:
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert block_maxima(pixels, 1) is pixels
    assert block_maxima(pixels, 2).tolist() == [[4.0, 5.0]]


@pytest.mark.parametrize(("shape", "block"), [((7, 9), 2), ((12, 5), 3), ((4, 4), 9), ((1, 8), 5)])
def test_block_maxima_leave_out_blanks(shape: tuple[int, int], block: int) -> None:
    pixels = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    pixels[pixels > 0.7] = np.nan
    pixels[: 2 * block, :block] = np.nan
    rows = np.fmax.reduceat(pixels, np.arange(0, shape[0], block), axis=0)
    expected = np.fmax.reduceat(rows, np.arange(0, shape[1], block), axis=1)
    np.testing.assert_array_equal(block_maxima(pixels, block), expected)


def test_shades_are_those_of_a_grey_scale_and_blanks_have_their_own() -> None:
    pixels = np.linspace(-3.0, 60.0, 60, dtype=np.float32).reshape(6, 10)
    pixels[2, 3] = np.nan
    picture = Picture(pixels, 1, 1.0)
    expected = colormaps["gray"](stretched(picture), bytes=True)[..., :3]
    expected[2, 3] = BLANK
    np.testing.assert_allclose(shades(picture).astype(int), expected.astype(int), atol=1)  # rounded elsewhere
    assert shades(picture)[2, 3].tolist() == list(BLANK)


def test_png_files_keep_every_pixel() -> None:
    colours = np.random.default_rng(4).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert without_colour(colours) is colours
    grey = np.repeat(colours[..., :1], 3, axis=2)
    assert without_colour(grey).shape == (5, 7)
    for pixels in (colours, without_colour(grey)):
        read = imread(io.BytesIO(png_file(pixels)), format="png")
        np.testing.assert_array_equal(np.rint(255 * read), pixels)


def test_stretch_rises_and_keeps_blanks() -> None:
    pixels = np.array([[-5.0, -2.0, 0.0, 1.0, 5.0, 80.0, np.nan]], dtype=np.float32)
    grey = stretched(Picture(pixels, 1, 1.0))[0]
    assert grey[0] == grey[1] == 0.0 and grey[5] == pytest.approx(1.0) and np.isnan(grey[6])
    assert (np.diff(grey[1:6]) > 0).all()
    low, high = stretch_limits(Picture(np.full((2, 2), np.nan, dtype=np.float32), 1, 1.0))
    assert low < 0 < high


def test_handy_numbers() -> None:
    assert flux_prefix(2.0) == (1.0, "") and flux_prefix(2e-3)[1] == "m" and flux_prefix(3e-5)[1] == "µ"
    assert flux_prefix(0.0) == (1.0, "") and flux_prefix(5e-9)[1] == "n"
    assert common_flux_prefix(np.array([5e-4, 6e-4, np.nan]))[1] == "m" and common_flux_prefix(np.array([])) == (
        1.0,
        "",
    )
    angles = [angle_text(round_angle(value)) for value in (0.37, 47.0, 90.0, 1500.0, 9000.0)]
    assert angles == ["0.2″", "20″", "1\N{PRIME}", "20\N{PRIME}", "2°"]
    assert brightness_ticks(0.1, 80.0) == [0.0, 1.0, 10.0]
    assert logarithmic_ticks(0.9, 60.0) == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]


def test_bins_hold_every_positive_value() -> None:
    values = np.concatenate([np.geomspace(1e-5, 30, 200), [np.nan, -1.0, 0.0]])
    assert np.histogram(values[values > 0], logarithmic_bins(values))[0].sum() == 200
    assert (np.diff(logarithmic_bins(np.array([3.0]))) > 0).all()


def test_classes_are_told_apart_without_colour() -> None:
    assert len({(style.dashes, style.marker) for style in STYLES.values()}) == len(STYLES)
    assert len({style.colour for style in STYLES.values()}) == len(STYLES)
    assert in_order(["zeta", "extended", "spurious", "extended"]) == ["spurious", "extended", "zeta"]


def test_importing_the_room_is_light_and_drawing_leaves_no_global_state() -> None:
    code = (
        "import sys, neanias_ml.catalogue\n"
        "assert not {'torch', 'matplotlib', 'pyarrow', 'regions'} & set(sys.modules), 'heavy import'\n"
        "import neanias_ml.catalogue.report, neanias_ml.catalogue.overview\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    judged = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
