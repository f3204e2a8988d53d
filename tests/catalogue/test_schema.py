"""The schema is legal, follows the contract of the files, and is what the documentation says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from astropy import units as u
from astropy.io.votable.ucd import check_ucd

from neanias_ml.catalogue.directory import RESULT_FILES
from neanias_ml.catalogue.reference import updated_page
from neanias_ml.catalogue.schema import COMPONENTS, ISLANDS, OBJECTS, TABLES, TableSchema
from neanias_ml.catalogue.wording import FILES, MAP_FLAGS, SOURCE_FLAGS, explain_map_flag
from neanias_ml.extraction.tables import SourceFlag
from neanias_ml.inference.objects import ObjectTable
from neanias_ml.maps import read_map

DOCS = Path(__file__).resolve().parents[2] / "docs" / "catalogue.md"
PROMISED = {
    "components": """component_id island_id ra dec ra_err dec_err x y peak_flux peak_flux_err total_flux total_flux_err
        major major_err minor minor_err pa pa_err dc_major dc_minor dc_pa local_rms local_background snr fit_quality
        flags""",
    "islands": """island_id object_id parent_id x y ra dec x0 y0 x1 y1 n_pixels peak_flux total_flux total_flux_err snr
        local_rms n_components kind major minor pa p_spurious flags""",
    "objects": """object_id class_name p_spurious p_compact p_extended p_multisland p_flagged morphology
        morphology_probability n_islands island_ids ra dec x y x0 y0 x1 y1 peak_flux total_flux total_flux_err
        largest_angular_size position_angle snr association_probability flags""",
    "descriptors": "island_id area perimeter circularity flux_mean hu_1 zernike_2_0",
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_promised_columns_come_in_the_promised_order(table: TableSchema) -> None:
    promised = PROMISED[table.name].split()
    assert [name for name in table.names if name in promised] == promised
    assert len(set(table.names)) == len(table.names)


def test_objects_have_exactly_the_columns_of_the_object_table() -> None:
    assert list(OBJECTS.names) == [field.name for field in dataclasses.fields(ObjectTable)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_units_and_ucds_are_in_the_standard_vocabularies(table: TableSchema) -> None:
    for column in table.columns:
        assert check_ucd(column.ucd, check_controlled_vocabulary=True), column
        assert column.unit == "" or u.Unit(column.unit, format="vounit") is not None
        assert column.description and not column.description.endswith(".")
        assert column.unit == "" or column.dtype == "float64"


def test_units_follow_the_contract() -> None:
    units = {column.name: column.unit for table in TABLES for column in table.columns}
    assert {units[name] for name in ("ra", "dec", "pa", "ra_err")} == {"deg"}
    assert {units[name] for name in ("peak_flux", "local_rms", "peak_flux_err")} == {"Jy/beam"}
    assert {units[name] for name in ("total_flux", "total_flux_err")} == {"Jy"}
    assert {units[name] for name in ("major", "dc_minor", "largest_angular_size")} == {"arcsec"}


def test_documentation_is_up_to_date() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert updated_page(page) == page, "run: python -m neanias_ml.catalogue.reference docs/catalogue.md"
    for table in (COMPONENTS, ISLANDS, OBJECTS):
        assert f"`{table.file}`" in page
    for flag, phrase in SOURCE_FLAGS.items():
        assert f"| `{str(flag.name).lower()}` | {phrase} |" in page


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        updated_page("# no markers here")


def test_flags_of_maps_are_those_that_reading_can_give() -> None:
    """The flags that `read_map` documents, and the one that the check of the pixels adds."""
    assert read_map.__doc__ is not None
    returns = read_map.__doc__.partition("Returns")[2].partition("Raises")[0]
    names = set(re.findall(r"``([A-Z]\w+)``", returns))
    assert set(MAP_FLAGS) == names | {"NonFinite"}
    assert "MJY/BEAM" in explain_map_flag("UnitCaseAssumed") and "mJy/beam" in explain_map_flag("UnitCaseAssumed")
    assert "CASA" not in explain_map_flag("BeamFromHistory")


def test_every_flag_and_file_is_explained() -> None:
    assert set(SOURCE_FLAGS) == set(SourceFlag)
    assert set(FILES) == set(RESULT_FILES)
    assert all(sentence.endswith(".") for sentence in MAP_FLAGS.values())
    assert explain_map_flag("SomethingNewHere") == "Something new here."
