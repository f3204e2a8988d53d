"""Region files are read back by an independent package with the same shapes in the same places."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from regions import EllipsePixelRegion, EllipseSkyRegion, PolygonPixelRegion, PolygonSkyRegion, Regions

from neanias_ml.catalogue.outlines import island_outlines
from neanias_ml.catalogue.regions import write_regions
from neanias_ml.catalogue.sources import Sources
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.models.class_styles import style_of


def read_back(extraction: Extraction, catalogue: ObjectCatalogue | None, folder: Path) -> list:
    """Write the regions and read them with the ``regions`` package."""
    sources = Sources.from_results(extraction, catalogue)
    write_regions(sources, island_outlines([extraction.islands]), folder / "sources.reg")
    return list(Regions.read(folder / "sources.reg", format="ds9"))


def of_kind(found: list, kind: type) -> list:
    """The regions of one kind."""
    return [region for region in found if isinstance(region, kind)]


def test_sky_shapes_round_trip(extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path) -> None:
    found = read_back(extraction, catalogue, tmp_path)
    assert len(of_kind(found, PolygonSkyRegion)) == len(extraction.islands)
    assert len(of_kind(found, EllipseSkyRegion)) == len(extraction.components)
    assert len(found) == len(extraction.islands) + len(extraction.components)


def test_polygons_cover_their_islands(extraction: Extraction, tmp_path: Path) -> None:
    sky = extraction.radio_map.sky
    assert sky is not None
    polygons = of_kind(read_back(extraction, None, tmp_path), PolygonSkyRegion)
    for island_id, polygon in zip(extraction.islands.table.island_id, polygons, strict=True):
        mask = polygon.to_pixel(sky.wcs).to_mask(mode="center").to_image(extraction.radio_map.shape)
        labelled = extraction.islands.labels == island_id
        assert np.count_nonzero((mask > 0) & labelled) >= 0.97 * labelled.sum()
        assert np.count_nonzero((mask > 0) & ~labelled) <= 0.1 * labelled.sum() + 2


def test_ellipses_have_the_shape_and_direction_of_the_components(extraction: Extraction, tmp_path: Path) -> None:
    """The moments of the drawn ellipse point along the position angle on the sky."""
    radio_map, components = extraction.radio_map, extraction.components
    assert radio_map.sky is not None
    ellipses = of_kind(read_back(extraction, None, tmp_path), EllipseSkyRegion)
    for row, ellipse in enumerate(ellipses):
        assert ellipse.center.ra.deg == pytest.approx(components.ra[row], abs=2e-7)
        assert ellipse.width.to_value(u.arcsec) == pytest.approx(components.major[row], abs=0.01)
        assert ellipse.height.to_value(u.arcsec) == pytest.approx(components.minor[row], abs=0.01)
        expected = radio_map.covariance_to_pixels(
            float(components.x[row]), float(components.y[row]), major=1.0, minor=0.1, position_angle=components.pa[row]
        )
        _, vectors = np.linalg.eigh(expected)
        pixel_angle = ellipse.to_pixel(radio_map.sky.wcs).angle.to_value(u.deg)
        truth = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
        assert (pixel_angle - truth + 90) % 180 - 90 == pytest.approx(0.0, abs=0.5)


def test_tags_and_colours_name_object_and_class(
    extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path
) -> None:
    polygons = of_kind(read_back(extraction, catalogue, tmp_path), PolygonSkyRegion)
    tagged: dict[str, set[str]] = {}
    for polygon in polygons:
        identity, class_name, island = polygon.meta["tag"]
        tagged.setdefault(identity, set()).add(island.removeprefix("island "))
        assert polygon.visual["edgecolor"] == style_of(class_name).colour
    objects = catalogue.objects
    expected = {
        f"object {i}": set(str(m).split(",")) for i, m in zip(objects.object_id, objects.island_ids, strict=True)
    }
    assert tagged == expected
    assert any(len(islands) > 1 for islands in tagged.values())


def test_without_sky_everything_is_in_image_pixels(pixel_extraction: Extraction, tmp_path: Path) -> None:
    found = read_back(pixel_extraction, None, tmp_path)
    ellipses = of_kind(found, EllipsePixelRegion)
    assert len(of_kind(found, PolygonPixelRegion)) == len(pixel_extraction.islands)
    assert len(ellipses) == len(pixel_extraction.components)
    for row, ellipse in enumerate(ellipses):  # the reader turns 1-based into 0-based pixels
        assert ellipse.center.x == pytest.approx(pixel_extraction.components.x[row], abs=0.006)
        assert ellipse.width == pytest.approx(pixel_extraction.components.major[row] / 2.0, rel=1e-3)
        difference = ellipse.angle.to_value(u.deg) - pixel_extraction.components.pa[row] - 90.0
        assert (difference + 90) % 180 - 90 == pytest.approx(0.0, abs=0.02)


def test_shapes_off_the_sky_fall_back_to_pixels(extraction: Extraction, tmp_path: Path) -> None:
    ra = extraction.components.ra.copy()
    ra[0] = np.nan
    odd = dataclasses.replace(extraction, components=extraction.components.replace(ra=ra))
    found = read_back(odd, None, tmp_path)
    assert len(of_kind(found, EllipsePixelRegion)) == 1
    assert len(of_kind(found, EllipseSkyRegion)) == len(extraction.components) - 1


def test_empty_and_hostile_maps(
    empty_extraction: Extraction, make_extraction: Callable[..., Extraction], tmp_path: Path
) -> None:
    assert read_back(empty_extraction, None, tmp_path) == []
    extraction = make_extraction(n=4)
    table = extraction.islands.table
    strange = table.replace(kind=np.full(len(table), "od{d}\nkind ☺"))
    extraction = dataclasses.replace(extraction, islands=dataclasses.replace(extraction.islands, table=strange))
    found = read_back(extraction, None, tmp_path)
    assert len(of_kind(found, PolygonSkyRegion)) == len(table)
    assert found[0].meta["tag"][1] == "od(d)\\nkind \\u263a"
