"""Files hold the tables exactly and satisfy independent judges of their formats."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import astropy.io.votable
import numpy as np
import pytest
from astropy import units as u
from astropy.io import votable
from astropy.table import QTable, Table

from neanias_ml.catalogue.schema import TABLES
from neanias_ml.catalogue.tables import CatalogueTables, build_tables, provenance_facts
from neanias_ml.catalogue.text import ascii_printable, printable
from neanias_ml.catalogue.writers import parquet_names, require_parquet, write_ecsv, write_parquet, write_votable
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import MapSource

HOSTILE = "we<ird>\"&'\x07\n\udcff\u202e ☺ ]]>.fits"
SCHEMA = Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"


@pytest.fixture(scope="module", params=["sky", "pixels", "empty"])
def tables(
    request: pytest.FixtureRequest,
    make_extraction: Callable[..., Extraction],
    make_catalogue: Callable[..., ObjectCatalogue],
    tmp_path_factory: pytest.TempPathFactory,
) -> CatalogueTables:
    """Tables of maps with and without sky, with hostile names, and of an empty map."""
    options = {"sky": {"blank": True}, "pixels": {"wcs": False, "frequency": None}, "empty": {"n": 0}}[request.param]
    extraction = make_extraction(**options)
    hostile = tmp_path_factory.mktemp("maps") / HOSTILE
    hostile.write_bytes(b"")
    radio_map = dataclasses.replace(extraction.radio_map, source=MapSource(hostile))
    facts = provenance_facts(radio_map, software="neanias_ml 1", models=("small <x> sha256:1",))
    return build_tables(extraction, catalogue=make_catalogue(extraction), provenance=facts)


def assert_same(table: QTable, back: Table, *, rtol: float) -> None:
    """Same columns and values; a missing text reads as empty, a missing number as NaN."""
    assert back.colnames == table.colnames and len(back) == len(table)
    for name in table.colnames:
        found = back[name]
        if table[name].dtype.kind == "f":
            expected = table[name].value if isinstance(table[name], u.Quantity) else np.asarray(table[name])
            values = found.value if isinstance(found, u.Quantity) else np.ma.filled(np.ma.asarray(found), np.nan)
            np.testing.assert_allclose(values, expected, rtol=rtol, err_msg=name)
            assert (table[name].unit or u.one) == (found.unit or u.one)
        else:
            assert np.ma.filled(np.ma.asarray(found), "" if table[name].dtype.kind == "U" else 0).tolist() == list(
                table[name]
            )


def test_ecsv_round_trip(tables: CatalogueTables, tmp_path: Path) -> None:
    for table in tables.all:
        path = tmp_path / f"{table.meta['name']}.ecsv"
        write_ecsv(table, path)
        back = QTable.read(path)
        assert_same(table, back, rtol=1e-11)
        assert back.meta["provenance"] == table.meta["provenance"]
        assert back.colnames == list(next(schema for schema in TABLES if schema.name == table.meta["name"]).names)


def test_votable_round_trip(tables: CatalogueTables, tmp_path: Path) -> None:
    write_votable(tables, tmp_path / "catalogue.vot")
    for table in tables.all:
        back = Table.read(tmp_path / "catalogue.vot", format="votable", table_id=table.meta["name"])
        assert_same(table, back, rtol=1e-11)
    document = votable.parse(tmp_path / "catalogue.vot")
    assert [system.system for system in document.iter_coosys()] == ["ICRS"]
    for field in document.get_table_by_id("objects").fields:
        assert field.description and field.ucd and (field.ref == "icrs") == (field.name in ("ra", "dec"))


def test_votable_satisfies_astropy(tables: CatalogueTables, tmp_path: Path) -> None:
    write_votable(tables, tmp_path / "catalogue.vot")
    report = io.StringIO()
    assert votable.validate(tmp_path / "catalogue.vot", output=report), report.getvalue()


@pytest.mark.skipif(shutil.which("xmllint") is None, reason="xmllint (libxml2-utils) is not installed")
def test_votable_satisfies_its_xml_schema(tables: CatalogueTables, tmp_path: Path) -> None:
    write_votable(tables, tmp_path / "catalogue.vot")
    command = ["xmllint", "--noout", "--nonet", "--schema", str(SCHEMA), str(tmp_path / "catalogue.vot")]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
def test_votable_satisfies_votlint(tables: CatalogueTables, tmp_path: Path) -> None:
    write_votable(tables, tmp_path / "catalogue.vot")
    command = ["stilts", "votlint", "ucd=true", "unit=true", str(tmp_path / "catalogue.vot")]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0 and judged.stdout.strip() == "", judged.stdout


def test_parquet_round_trip_with_units(tables: CatalogueTables, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    names = parquet_names(tables)
    assert list(names) == ["components.parquet", "islands.parquet", "catalogue.parquet"]
    for name, table in names.items():
        write_parquet(table, tmp_path / name)
        assert_same(table, QTable.read(tmp_path / name, format="parquet.votable"), rtol=0)
        plain = parquet.read_table(tmp_path / name)
        assert plain.num_rows == len(table)
        assert {str(field.type) for field in plain.schema} <= {"int64", "double", "string"}


def test_before_detect_the_islands_are_the_parquet_catalogue(extraction: Extraction) -> None:
    names = parquet_names(build_tables(extraction))
    assert {name: table.meta["name"] for name, table in names.items()} == {
        "components.parquet": "components",
        "catalogue.parquet": "islands",
    }


def test_missing_pyarrow_is_explained(extraction: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neanias_ml.errors import UsageError

    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    table = build_tables(extraction).islands
    for action in (require_parquet, lambda: write_parquet(table, tmp_path / "x.parquet")):
        with pytest.raises(UsageError, match=r"pip install 'neanias_ml\[parquet\]'") as caught:
            action()
        assert caught.value.code == "PyarrowMissing"


def test_printable_text() -> None:
    assert printable("a\x00b\n\udcffé☺") == "a\\x00b\\n\\udcffé☺"
    assert ascii_printable("é☺\udc80") == "\\xe9\\u263a\\udc80"
    assert printable("plain {text} <b>") == "plain {text} <b>"
