"""``detect`` on real maps of several telescopes (opt-in)."""

import json

import pytest
from astropy.table import QTable

MAPS = [
    "MiraBest_FIRST/fits/100_010.451-009.284_0.0529_0080.60.fits.gz",
    "LoTSS_DR1/P205+55_600px_ra207.fits",
    "VLASS_multiepoch/fits/pos005_ep1.fits.fz",
    "finder_tests/aegean/1904-66_SIN.fits",
    "caesar_samples/galaxy0001.fits",
    "caesar_samples/galaxy0002.fits",
    "caesar_samples/sidelobe0001.fits",
    pytest.param("SCORPIO_caesar/ScorpioExtendedSourceField.fits", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", MAPS)
def test_detect(name, run, real_data, tmp_path):
    code, _, err = run("detect", real_data / name, "-o", tmp_path, "--quiet")
    assert code == 0, err
    objects, islands = (QTable.read(tmp_path / f"{table}.ecsv") for table in ("objects", "islands"))
    assert len(objects) > 0
    assert set(islands["object_id"]) == set(objects["object_id"])
    assert (tmp_path / "overview.png").stat().st_size > 20_000
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["models"]["detector"]["sha256"] and record["timings_s"]
