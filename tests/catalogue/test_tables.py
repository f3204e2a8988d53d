"""Tables hold what extraction and inference measured, in the units of the sky."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

from neanias_ml.catalogue.schema import COMPONENTS, ISLANDS, TABLES
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.tables import build_tables, flags_in_words, provenance_facts, table_from_columns
from neanias_ml.extraction import SourceFinder
from neanias_ml.extraction.components.model_map import pixel_covariances
from neanias_ml.extraction.tables import Extraction, SourceFlag
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import Beam, MapSource, RadioMap, covariances_of_ellipses, ellipses_of_covariances


def test_columns_units_and_order_of_the_schema(
    extraction: Extraction, make_catalogue: Callable[..., ObjectCatalogue]
) -> None:
    measured = SourceFinder()(extraction.radio_map)
    described = dataclasses.replace(
        extraction, **{name: getattr(measured, name) for name in ("islands", "shapes", "sky_shapes", "evidence")}
    )
    tables = build_tables(described, catalogue=make_catalogue(described), descriptors=True)
    assert [table.meta["name"] for table in tables.all] == [schema.name for schema in TABLES]
    for schema, table in zip(TABLES, tables.all, strict=True):
        assert tuple(table.colnames) == schema.names
        for column in schema.columns:
            values = table[column.name]
            assert values.ndim == 1 and values.dtype.kind == {"int64": "i", "float64": "f", "text": "U"}[column.dtype]
            assert (values.unit or u.one) == u.Unit(column.unit)
            assert values.info.description == column.description


def test_descriptors_that_were_not_measured_cannot_be_written(extraction: Extraction) -> None:
    with pytest.raises(ValueError, match="without descriptors"):
        build_tables(extraction, descriptors=True)


def test_values_pass_unchanged(extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    tables = build_tables(extraction, catalogue=catalogue)
    assert tables.objects is not None and tables.main is tables.objects
    np.testing.assert_array_equal(tables.components["peak_flux"].value, extraction.components.peak_flux)
    np.testing.assert_array_equal(tables.islands["total_flux"].value, extraction.islands.table.total_flux)
    np.testing.assert_array_equal(tables.islands["object_id"], catalogue.island_object_ids)
    np.testing.assert_array_equal(tables.islands["p_spurious"], catalogue.island_spurious)
    np.testing.assert_array_equal(tables.objects["class_name"], catalogue.objects.class_name)


def test_before_detect_islands_belong_to_no_object(extraction: Extraction) -> None:
    tables = build_tables(extraction)
    assert tables.objects is None and tables.main is tables.islands
    assert not np.any(tables.islands["object_id"]) and np.isnan(tables.islands["p_spurious"]).all()


def test_rows_are_sorted_by_id(extraction: Extraction) -> None:
    shuffled = extraction.components.select(np.random.default_rng(0).permutation(len(extraction.components)))
    table = build_tables(dataclasses.replace(extraction, components=shuffled)).components
    assert list(table["component_id"]) == sorted(extraction.components.component_id)
    np.testing.assert_array_equal(table["x"].value, extraction.components.x)


def test_missing_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="island_id"):
        table_from_columns(COMPONENTS, {"component_id": np.array([1])})


def test_flags_become_words() -> None:
    flags = np.array([0, SourceFlag.EDGE | SourceFlag.OFF_SKY, SourceFlag.FIT_FAILED], dtype=np.int64)
    assert flags_in_words(flags).tolist() == ["", "edge,off_sky", "fit_failed"]
    assert flags_in_words(flags[:0]).dtype.kind == "U"


@pytest.mark.parametrize("angle", [0.0, 35.0, 90.0, 140.0])
def test_island_shape_of_a_bright_gaussian_is_its_own(angle: float, make_extraction: Callable[..., Extraction]) -> None:
    """Moments of a noiseless Gaussian come back as arcsec and degrees east of north, also far from the equator."""
    base = make_extraction(n=1, shape=(161, 161), centre=(120.0, 72.0))
    sky = base.radio_map.sky
    assert sky is not None
    covariance = base.radio_map.covariance_to_pixels(80, 80, major=30 / 3600, minor=14 / 3600, position_angle=angle)
    major, minor, pixel_angle = ellipses_of_covariances(covariance[None])
    island = base.islands.table.select(slice(0, 1)).replace(
        x=np.array([80.0]), y=np.array([80.0]), major=major, minor=minor, pixel_angle=pixel_angle
    )
    islands = dataclasses.replace(base.islands, table=island)
    row = build_tables(dataclasses.replace(base, islands=islands)).islands[0]
    assert row["major"].to_value("arcsec") == pytest.approx(30.0, rel=1e-6)
    assert row["minor"].to_value("arcsec") == pytest.approx(14.0, rel=1e-6)
    assert (row["pa"].to_value("deg") - angle + 90) % 180 - 90 == pytest.approx(0.0, abs=1e-5)


def test_geometry_of_many_rows_equals_that_of_each(extraction: Extraction, pixel_extraction: Extraction) -> None:
    for each in (extraction, pixel_extraction):
        radio_map, components = each.radio_map, each.components
        jacobians = radio_map.tangent_jacobian(components.x, components.y)
        covariances = pixel_covariances(radio_map, components)
        for row in range(len(components)):
            x, y = float(components.x[row]), float(components.y[row])
            np.testing.assert_allclose(jacobians[row], radio_map.tangent_jacobian(x, y), rtol=1e-9, atol=1e-15)
            expected = radio_map.covariance_to_pixels(
                x,
                y,
                major=components.major[row] / 3600,
                minor=components.minor[row] / 3600,
                position_angle=components.pa[row],
            )
            np.testing.assert_allclose(covariances[row], expected, rtol=1e-8)


def test_ellipse_conversions_are_inverse() -> None:
    rng = np.random.default_rng(5)
    minor = rng.uniform(1, 5, 50)
    major, angle = minor + rng.uniform(0.5, 5, 50), rng.uniform(0, 180, 50)
    back = ellipses_of_covariances(covariances_of_ellipses(major, minor, angle))
    np.testing.assert_allclose(back[0], major)
    np.testing.assert_allclose(back[1], minor)
    np.testing.assert_allclose((back[2] - angle + 90) % 180 - 90, 0, atol=1e-9)


def test_provenance_names_the_map_without_its_folder(extraction: Extraction, tmp_path: Path) -> None:
    facts = provenance_facts(extraction.radio_map, software="neanias_ml 9", models=("detector m sha256:ab", "b"))
    assert facts["software"] == "neanias_ml 9" and facts["models"] == "detector m sha256:ab; b"
    assert facts["beam_major_arcsec"] == pytest.approx(10.0) and facts["frequency_hz"] == 1.4e9
    (tmp_path / "field\n1.fits").write_bytes(b"pixels")
    source = MapSource(tmp_path / "field\n1.fits", hdu=2)
    bare = RadioMap.from_array(
        np.zeros((4, 4)), beam=Beam(1e-3, 1e-3), pixel_scale=1e-4, flags=("NoWcs", "UnitAssumed")
    )
    facts = provenance_facts(dataclasses.replace(bare, source=source), software="s")
    assert (
        facts["map"] == "field\\n1.fits"
        and facts["map_sha256"] == hashlib.sha256(b"pixels").hexdigest()
        and facts["map_hdu"] == 2
    )
    assert facts["map_flags"] == "NoWcs,UnitAssumed"
    assert "frequency_hz" not in facts and "model" not in facts


def test_sources_gather_their_islands(extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    sources = Sources.from_results(extraction, catalogue)
    assert sources.noun == "object" and len(sources) == len(catalogue.objects)
    for row, members in enumerate(sources.members):
        ids = ",".join(str(extraction.islands.table.island_id[member]) for member in members)
        assert ids == catalogue.objects.island_ids[row]
    assert sum(sources.counts().values()) == len(sources)
    assert sources.rows.snr[sources.brightest(1)[0]] == sources.rows.snr.max()
    assert [len(m) for m in Sources.from_results(extraction, None).members] == [1] * len(extraction.islands)


def test_empty_tables_have_all_columns(empty_extraction: Extraction) -> None:
    tables = build_tables(empty_extraction)
    assert len(tables.islands) == 0 and tuple(tables.islands.colnames) == ISLANDS.names
