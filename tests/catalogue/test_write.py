"""`write_catalogue` leaves the promised files, with a manifest that vouches for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from regions import Regions

from neanias_ml.catalogue import ModelIdentity, OutputDirectory, RunRecord, write, write_catalogue
from neanias_ml.catalogue.manifest import peak_memory, plain
from neanias_ml.catalogue.write import refuse_input_as_output
from neanias_ml.errors import UsageError
from neanias_ml.extraction import SourceFinder
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import MapSource, read_map

EXTRACT = ["components.ecsv", "islands.ecsv", "catalogue.vot", "sources.reg", "overview.png", "report.html", "run.json"]
DETECT = [*EXTRACT, "objects.ecsv", "masks.json"]
MAPS = ["islands.fits", "background.fits", "noise.fits", "residual.fits"]
PARQUET = ["components.parquet", "islands.parquet", "catalogue.parquet"]
RUN = RunRecord(
    command=("neanias-ml", "detect", "m.fits"),
    configuration={"seed_threshold": np.float32(5.0), "path": Path("a/b"), "nothing": math.nan},
    timings={"background": 0.5, "islands": 0.25},
    models=(ModelIdentity("detector", "small", "cd" * 32), ModelIdentity("association", "graph", "ef" * 32)),
    seed=3,
    started=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    warnings=("the beam was assumed",),
)


@pytest.fixture(scope="module")
def detected(extraction: Extraction, catalogue: ObjectCatalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full run with everything on."""
    folder = tmp_path_factory.mktemp("detect")
    paths = write_catalogue(folder, extraction=extraction, catalogue=catalogue, run=RUN, save_maps=True, parquet=True)
    assert paths[-1] == folder / "run.json" and all(path.is_file() for path in paths)
    assert sorted(path.name for path in paths) == sorted([*DETECT, *MAPS, *PARQUET])
    return folder


def test_only_the_promised_files(detected: Path, extraction: Extraction, tmp_path: Path) -> None:
    assert {path.name for path in detected.iterdir()} == {*DETECT, *MAPS, *PARQUET}
    write_catalogue(tmp_path / "extract", extraction=extraction, catalogue=None, run=RunRecord())
    assert {path.name for path in (tmp_path / "extract").iterdir()} == set(EXTRACT)


def test_manifest_vouches_for_every_file(detected: Path) -> None:
    content = json.loads((detected / "run.json").read_text())
    listed = {entry["name"]: entry for entry in content["files"]}
    assert set(listed) == {path.name for path in detected.iterdir()} - {"run.json"}
    for name, entry in listed.items():
        data = (detected / name).read_bytes()
        assert entry == {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_manifest_tells_how_to_repeat_the_run(
    detected: Path, extraction: Extraction, catalogue: ObjectCatalogue
) -> None:
    content = json.loads((detected / "run.json").read_text())
    assert content["stage"] == "detect" and content["command"] == ["neanias-ml", "detect", "m.fits"]
    assert content["configuration"] == {"seed_threshold": 5.0, "path": "a/b", "nothing": None}
    assert content["models"] == {
        "detector": {"name": "small", "sha256": "cd" * 32},
        "association": {"name": "graph", "sha256": "ef" * 32},
    }
    assert content["seed"] == 3
    assert content["started"] == "2024-05-06T07:08:09+00:00"
    assert {"python", "numpy", "astropy", "neanias_ml"} <= set(content["versions"])
    assert content["timings_s"]["background"] == 0.5 and {"catalogue", "pictures"} <= set(content["timings_s"])
    assert content["counts"]["islands"] == len(extraction.islands)
    assert content["counts"]["objects"] == len(catalogue.objects) == sum(content["counts"]["by_class"].values())
    assert content["input"]["shape"] == [120, 160] and content["input"]["frequency_hz"] == 1.4e9
    assert content["warnings"] == ["the beam was assumed"]
    assert content["peak_memory_bytes"] > 10_000_000


def test_equal_runs_write_equal_files(
    detected: Path, extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path
) -> None:
    write_catalogue(tmp_path / "b", extraction=extraction, catalogue=catalogue, run=RUN, save_maps=True, parquet=True)
    for name in {*DETECT, *MAPS, *PARQUET} - {"run.json", "report.html"}:
        assert (tmp_path / "b" / name).read_bytes() == (detected / name).read_bytes(), name


def test_ids_agree_between_files(detected: Path) -> None:
    objects, islands = QTable.read(detected / "objects.ecsv"), QTable.read(detected / "islands.ecsv")
    for row in objects:
        members = [int(text) for text in str(row["island_ids"]).split(",")]
        assert len(members) == row["n_islands"]
        assert set(islands["object_id"][np.isin(islands["island_id"], members)]) == {row["object_id"]}
    components = QTable.read(detected / "components.ecsv")
    assert set(components["island_id"]) <= set(islands["island_id"])


def test_second_run_needs_overwrite(detected: Path, extraction: Extraction) -> None:
    before = (detected / "run.json").read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        write_catalogue(detected, extraction=extraction, catalogue=None, run=RUN)
    assert (detected / "run.json").read_bytes() == before


def test_directory_checked_before_the_work_is_used(extraction: Extraction, tmp_path: Path) -> None:
    output = OutputDirectory(tmp_path / "out")
    paths = write_catalogue(output, extraction=extraction, catalogue=None, run=RunRecord())
    assert {path.parent for path in paths} == {tmp_path / "out"}


def test_input_is_never_overwritten(extraction: Extraction, tmp_path: Path) -> None:
    precious = tmp_path / "residual.fits"
    precious.write_text("input")
    radio_map = dataclasses.replace(extraction.radio_map, source=MapSource(precious))
    with pytest.raises(UsageError, match="would overwrite the input") as caught:
        write_catalogue(
            tmp_path,
            extraction=dataclasses.replace(extraction, radio_map=radio_map),
            catalogue=None,
            run=RunRecord(),
            overwrite=True,
        )
    assert caught.value.code == "InputIsOutput" and precious.read_text() == "input"


@pytest.mark.parametrize("target", ["residual.fits", "run.json"])
def test_links_do_not_hide_that_the_input_is_an_output(target: str, tmp_path: Path) -> None:
    """The input under another name, the output folder under another name, and an output that leads to the input."""
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    results.mkdir()
    elsewhere.mkdir()
    (results / target).write_text("input")
    (elsewhere / "map.fits").symlink_to(results / target)
    (tmp_path / "alias").symlink_to(results)
    (elsewhere / target).symlink_to(results / target)
    for path, folder in (
        (elsewhere / "map.fits", results),
        (results / target, tmp_path / "alias"),
        (elsewhere / "map.fits", tmp_path / "alias"),
        (elsewhere / target, elsewhere),
    ):
        with pytest.raises(UsageError, match="would overwrite the input") as caught:
            refuse_input_as_output(path, folder)
        assert caught.value.code == "InputIsOutput"


def test_other_inputs_may_stand_beside_the_results(tmp_path: Path) -> None:
    for name in ("map.fits", "residual.fits"):
        (tmp_path / name).write_text("input")
    refuse_input_as_output(tmp_path / "map.fits", tmp_path)
    refuse_input_as_output(tmp_path / "map.fits", tmp_path / "new")
    refuse_input_as_output(tmp_path / "missing.fits", tmp_path)


def test_linked_input_survives_a_run(extraction: Extraction, tmp_path: Path) -> None:
    (tmp_path / "residual.fits").write_text("input")
    link = tmp_path / "map.fits"
    link.symlink_to("residual.fits")
    radio_map = dataclasses.replace(extraction.radio_map, source=MapSource(link))
    mapped = dataclasses.replace(extraction, radio_map=radio_map)
    with pytest.raises(UsageError, match="would overwrite the input"):
        write_catalogue(tmp_path, extraction=mapped, catalogue=None, run=RunRecord(), overwrite=True)
    assert link.read_text() == "input"


def test_parquet_without_pyarrow_is_refused_before_anything_is_written(
    extraction: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(write, "build_tables", lambda *_, **__: pytest.fail("work was done before the refusal"))
    with pytest.raises(UsageError, match=r"pip install 'neanias_ml\[parquet\]'"):
        write_catalogue(tmp_path / "out", extraction=extraction, catalogue=None, run=RunRecord(), parquet=True)
    assert not (tmp_path / "out").exists()


def test_empty_catalogue_has_all_files(
    empty_extraction: Extraction, make_catalogue: Callable[..., ObjectCatalogue], tmp_path: Path
) -> None:
    write_catalogue(
        tmp_path,
        extraction=empty_extraction,
        catalogue=make_catalogue(empty_extraction),
        run=RunRecord(),
        save_maps=True,
        parquet=True,
    )
    assert {path.name for path in tmp_path.iterdir()} == {*DETECT, *MAPS, *PARQUET}
    assert len(QTable.read(tmp_path / "objects.ecsv")) == 0


def test_after_the_real_finder(make_extraction: Callable[..., Extraction], tmp_path: Path) -> None:
    """Fluxes of bright isolated sources survive extraction, writing and reading."""
    truth = make_extraction(n=6, seed=21, shape=(200, 240), share_wide=0.0)
    write_catalogue(
        tmp_path, extraction=SourceFinder()(truth.radio_map), catalogue=None, run=RunRecord(), save_maps=True
    )
    found = QTable.read(tmp_path / "components.ecsv")
    bright = truth.components.select(truth.components.snr > 30)
    assert len(bright) >= 3
    for x, y, flux in zip(bright.x, bright.y, bright.peak_flux, strict=True):
        nearest = np.argmin(np.hypot(found["x"].value - x, found["y"].value - y))
        assert found["peak_flux"].value[nearest] == pytest.approx(flux, rel=0.1)


REAL_DATA = os.environ.get("NEANIAS_REAL_DATA")


@pytest.mark.skipif(REAL_DATA is None, reason="NEANIAS_REAL_DATA is not set")
@pytest.mark.parametrize("name", ["LoTSS_DR1/P218+55_200px.fits", "caesar_samples/galaxy0001.fits"])
def test_real_maps(name: str, tmp_path: Path) -> None:
    """A LOFAR map with sky and an ATCA cut-out with broken coordinates give complete, consistent files."""
    extraction = SourceFinder()(read_map(Path(str(REAL_DATA)) / name))
    assert len(extraction.islands) > 0
    write_catalogue(tmp_path, extraction=extraction, catalogue=None, run=RunRecord(), save_maps=True)
    nested = {"nested.fits"} if len(extraction.nested) else set()
    assert {path.name for path in tmp_path.iterdir()} == {*EXTRACT, *MAPS} | nested
    regions = Regions.read(tmp_path / "sources.reg", format="ds9")
    assert len(regions) == len(extraction.all_islands) + len(extraction.components)
    assert len(QTable.read(tmp_path / "islands.ecsv")) == len(extraction.all_islands)


@dataclasses.dataclass(frozen=True)
class Settings:
    """A nested configuration."""

    numbers: tuple[int, ...] = (1, 2)
    names: frozenset[str] = frozenset({"b", "a"})
    table: dict[str, float] = dataclasses.field(default_factory=lambda: {"x": math.inf})


def test_settings_become_plain_values() -> None:
    given = {"s": Settings(), "array": np.arange(2), "text": "a\nb", "flag": np.bool_(True), "none": None}
    assert plain(given) == {
        "s": {"numbers": [1, 2], "names": ["a", "b"], "table": {"x": None}},
        "array": [0, 1],
        "text": "a\\nb",
        "flag": True,
        "none": None,
    }
    json.dumps(plain(given), allow_nan=False)
    assert peak_memory() is None or peak_memory() > 0
