"""`match` and `select` as a user runs them: files, summary, options, refusals."""

import json

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.table import Table

from neanias_ml.catalogue.crossmatch_files import MATCH_FILES
from neanias_ml.maps.source import file_digest


def one_sentence(err, *, code, mentions):
    assert code in err and mentions in err
    assert len(err.strip().splitlines()) == 1 and "bug of ours" not in err


@pytest.fixture
def catalogues(tmp_path):
    """B is A moved by half an arcsec north at 1.2 of its flux, without its last ten rows, with five of its own."""
    rng = np.random.default_rng(1)
    n = 60
    a = Table({"ra": rng.uniform(10, 11, n), "dec": rng.uniform(-31, -30, n)})
    a["total_flux"] = rng.uniform(1, 10, n) * u.mJy
    a["snr"] = rng.uniform(5, 100, n)
    a["kind"] = np.where(np.arange(n) % 3, "compact", "extended")
    a["flags"] = np.where(np.arange(n) % 4, "", "edge")
    b = Table({"RA": a["ra"][:-10], "DEC": a["dec"][:-10] + 0.5 / 3600, "Total_flux": a["total_flux"][:-10] * 1.2})
    for ra in np.linspace(10, 11, 5):
        b.add_row([ra, -35.0, 1.0])
    a.write(tmp_path / "a.ecsv")
    b.write(tmp_path / "b.fits")
    return tmp_path / "a.ecsv", tmp_path / "b.fits"


def test_match_writes_all_files_and_tells_the_truth(run, tmp_path, catalogues):
    out = tmp_path / "out"
    code, printed, err = run("match", *catalogues, "-o", out, "--match.radius", 3)
    assert code == 0, err
    assert {path.name for path in out.iterdir()} == set(MATCH_FILES)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["matched"] == 50
    assert summary["reliability_of_a_against_b"]["value"] == pytest.approx(50 / 60)
    assert summary["completeness_of_a_against_b"]["value"] == pytest.approx(50 / 55)
    assert summary["offset_north"]["median"] == pytest.approx(0.5, abs=1e-6)
    assert summary["total_flux_ratio_b_over_a"]["median"] == pytest.approx(1.2)
    assert "50" in printed and str(out / "match.png") in printed
    pairs = Table.read(out / "matches.ecsv", format="ascii.ecsv")
    assert len(pairs) == 50 and pairs["ra_a"][0] == pytest.approx(pairs["RA_b"][0])
    assert len(Table.read(out / "matches.vot", format="votable")) == 50
    assert len(Table.read(out / "unmatched_a.ecsv")) == 10 and len(Table.read(out / "unmatched_b.ecsv")) == 5
    assert (out / "match.png").read_bytes()[:4] == b"\x89PNG"
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["stage"] == "match" and manifest["counts"]["matched"] == 50
    assert [entry["sha256"] for entry in manifest["inputs"]] == [file_digest(path) for path in catalogues]
    assert {entry["name"]: entry["sha256"] for entry in manifest["files"]} == {
        name: file_digest(out / name) for name in MATCH_FILES[:-1]
    }


def test_match_repeats_itself_and_keeps_what_is_there(run, tmp_path, catalogues):
    for out in ("one", "two"):
        assert run("match", *catalogues, "-o", tmp_path / out, "--quiet", "--seed", 3)[:2] == (0, "")
    for name in set(MATCH_FILES) - {"run.json"}:
        assert file_digest(tmp_path / "one" / name) == file_digest(tmp_path / "two" / name)
    code, _, err = run("match", *catalogues, "-o", tmp_path / "one")
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="--overwrite")
    assert run("match", *catalogues, "-o", tmp_path / "one", "--overwrite", "--quiet")[0] == 0
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "islands.ecsv").write_text("mine")
    code, _, err = run("match", *catalogues, "-o", tmp_path / "foreign", "--overwrite")
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="islands.ecsv")
    code, _, err = run("match", tmp_path / "one" / "matches.ecsv", catalogues[1], "-o", tmp_path / "one", "--overwrite")
    assert code == 2
    one_sentence(err, code="InputIsOutput", mentions="matches.ecsv")


def test_match_reads_its_options_from_a_file(run, tmp_path, catalogues):
    config = {"match": {"radius": 0.1}, "a": {"total_flux": "total_flux [Jy]"}, "output": str(tmp_path / "out")}
    (tmp_path / "match.yaml").write_text(yaml.safe_dump(config))
    code, _, err = run("match", *catalogues, "--config", tmp_path / "match.yaml", "--match.radius", 2, "--quiet")
    assert code == 0, err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["rule"]["radius"] == 2.0  # the command line beats the file
    assert summary["total_flux_ratio_b_over_a"]["median"] == pytest.approx(1.2e-3)
    code, printed, _ = run("match", *catalogues, "--print_config")
    assert code == 0 and yaml.safe_load(printed)["match"]["trials"] == 20


def test_match_of_empty_catalogues(run, tmp_path):
    (tmp_path / "empty.csv").write_text("ra,dec,flux\n")
    (tmp_path / "one.csv").write_text("ra,dec,flux\n1,2,3\n")
    for index, names in enumerate((("empty", "one"), ("one", "empty"), ("empty", "empty"))):
        out = tmp_path / f"out{index}"
        code, _, err = run("match", *(tmp_path / f"{name}.csv" for name in names), "-o", out)
        assert code == 0, err
        assert json.loads((out / "summary.json").read_text())["matched"] == 0


@pytest.mark.parametrize(
    ("words", "expected", "error", "mentions"),
    [
        (("--match.radius", "-1"), 2, "MatchOption", "radius"),
        (("--match.n_sigma", "3"), 2, "ErrorsMissing", "ra_err"),
        (("--a.ra", "RAA"), 2, "ColumnMissing", "nearest: ra"),
        (("--a.frequency", "-1"), 2, "Frequency", "positive"),
        (("--b.table", "nothing"), 2, "TableChoice", "nothing"),
        (("--match.by", "overlap"), 2, "LabelMapMissing", "--save-maps"),
        (("--seed", "-1"), 2, "Seed", "at least 0"),
    ],
)
def test_match_refuses(run, tmp_path, catalogues, words, expected, error, mentions):
    code, _, err = run("match", *catalogues, "-o", tmp_path / "out", *words, "--quiet")
    assert code == expected
    one_sentence(err, code=error, mentions=mentions)
    assert not (tmp_path / "out").exists()


def test_match_of_files_that_are_none(run, tmp_path, catalogues):
    code, _, err = run("match", tmp_path / "none.csv", catalogues[0], "-o", tmp_path / "out", "--quiet")
    assert code == 3
    one_sentence(err, code="CatalogueMissing", mentions="none.csv")
    (tmp_path / "names.csv").write_text("alpha,delta\n1,2\n")
    code, _, err = run("match", tmp_path / "names.csv", catalogues[0], "-o", tmp_path / "out", "--quiet")
    assert code == 3
    one_sentence(err, code="NoPositions", mentions="--a.ra")
    assert run("match", *catalogues)[0] == 2


@pytest.mark.parametrize("ending", ["ecsv", "vot", "fits", "csv", "parquet"])
def test_select_writes_the_asked_format(run, tmp_path, catalogues, ending):
    out = tmp_path / f"rows.{ending}"
    code, printed, err = run("select", catalogues[0], "-o", out, "--where", "snr > 50 and kind == 'compact'")
    assert code == 0, err
    a = Table.read(catalogues[0])
    expected = int(((a["snr"] > 50) & (a["kind"] == "compact")).sum())
    assert f"{expected} of 60 rows pass" in printed
    report = json.loads((tmp_path / f"rows.{ending}.run.json").read_text())
    assert report["counts"]["selected"] == expected and report["counts"]["cuts"][0]["removed"] == 60 - expected
    code, _, err = run("select", out, "-o", tmp_path / "again.ecsv", "--where", "total_flux > 0", "--quiet")
    assert code == 0, err
    again = Table.read(tmp_path / "again.ecsv")
    assert len(again) == expected and again.colnames == a.colnames


def test_select_with_cut_file_region_and_tag(run, tmp_path, catalogues):
    (tmp_path / "cuts.yaml").write_text(
        "cuts: [{name: bright, where: snr > 20}, {name: inner, where: not flags contains 'edge'}]"
    )
    (tmp_path / "box.reg").write_text("icrs\nbox(10.5,-30.5,0.5,0.5,0) # text={middle}\n")
    common = (catalogues[0], "--cuts", tmp_path / "cuts.yaml", "--region", tmp_path / "box.reg")
    a = Table.read(catalogues[0])
    bright = (a["snr"] > 20) & (np.ma.filled(a["flags"], "") != "edge")
    x, y = (a["ra"] - 10.5) * np.cos(np.radians(a["dec"])), a["dec"] + 30.5
    inside = (np.abs(x) < 0.25) & (np.abs(y) < 0.25)
    code, printed, err = run("select", *common, "-o", tmp_path / "in.ecsv")
    assert code == 0, err
    assert "bright" in printed and "box.reg" in printed
    assert len(Table.read(tmp_path / "in.ecsv")) == (bright & inside).sum() > 0
    assert run("select", *common, "-o", tmp_path / "out.ecsv", "--inside", "drop", "--quiet")[0] == 0
    assert len(Table.read(tmp_path / "out.ecsv")) == (bright & ~inside).sum() > 0
    assert (
        run("select", *common, "-o", tmp_path / "tag.ecsv", "--tag", "good", "--where", "snr < 90", "--quiet")[0] == 0
    )
    tagged = Table.read(tmp_path / "tag.ecsv")
    assert np.array_equal(tagged["good"], bright & inside & (a["snr"] < 90))
    assert np.array_equal(np.ma.filled(tagged["good_region"], "") == "middle", inside)


@pytest.mark.parametrize(
    ("words", "expected", "error", "mentions"),
    [
        (("--where", "snr > > 7"), 2, "ExpressionUnreadable", "snr > [HERE]> 7"),
        (("--where", "snrr > 7"), 2, "ColumnMissing", "nearest: snr"),
        (("--where", "total_flux > 1 arcsec"), 2, "UnitMismatch", "arcsec"),
        (("--cuts", "nothing.yaml"), 3, "CutFileUnreadable", "nothing.yaml"),
        (("--region", "nothing.reg"), 3, "RegionsUnreadable", "nothing.reg"),
        (("--where", "snr > 7", "--tag", "a b"), 2, "TagName", "a b"),
        (("--where", "snr > 7", "--tag", "snr"), 2, "TagExists", "snr"),
        ((), 2, "NoCut", "--where"),
    ],
)
def test_select_refuses(run, tmp_path, catalogues, words, expected, error, mentions):
    code, _, err = run("select", catalogues[0], "-o", tmp_path / "rows.ecsv", *words)
    assert code == expected
    one_sentence(err, code=error, mentions=mentions)
    assert not (tmp_path / "rows.ecsv").exists()


def test_select_keeps_what_is_there(run, tmp_path, catalogues):
    (tmp_path / "rows.ecsv").write_text("mine")
    code, _, err = run("select", catalogues[0], "-o", tmp_path / "rows.ecsv", "--where", "snr > 7")
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="--overwrite")
    assert (tmp_path / "rows.ecsv").read_text() == "mine"
    code, _, err = run("select", catalogues[0], "-o", catalogues[0], "--where", "snr > 7", "--overwrite")
    assert code == 2
    one_sentence(err, code="InputIsOutput", mentions="a.ecsv")
    code, _, err = run("select", catalogues[0], "-o", tmp_path / "rows.doc", "--where", "snr > 7")
    assert code == 2
    one_sentence(err, code="TableFormat", mentions=".ecsv")


def test_both_verbs_read_the_folder_of_a_run(run, tmp_path, map_file):
    folder = tmp_path / "run"
    code, _, err = run("extract", map_file, "-o", folder, "--save-maps", "--quiet")
    assert code == 0, err
    code, _, err = run("match", folder, folder, "-o", tmp_path / "m", "--match.by", "overlap")
    assert code == 0, err
    n_islands = len(Table.read(folder / "islands.ecsv"))
    assert json.loads((tmp_path / "m" / "summary.json").read_text())["matched"] == n_islands
    code, _, err = run(
        "select", folder, "--table", "components", "-o", tmp_path / "c.fits", "--where",
        "snr > 10 and total_flux > 1 uJy",        "--region", folder / "sources.reg", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    code, _, err = run(
        "match", tmp_path / "c.fits", folder, "--b.table", "components", "-o", tmp_path / "m2", "--quiet"
    )
    assert code == 0, err
    summary = json.loads((tmp_path / "m2" / "summary.json").read_text())
    assert summary["reliability_of_a_against_b"]["value"] == 1.0
    assert summary["rule"]["radius_reason"] == "half the major axis of the larger beam"
