"""Simulated fields on disk."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from neanias_ml.errors import InputError
from neanias_ml.simulation import SkyConfig, files, random_config, read_truth, simulate_sky, write_simulation
from neanias_ml.simulation.files import field_files
from neanias_ml.simulation.truth import MORPHOLOGIES
from tests.simulation.makers import changed


@pytest.fixture(scope="module")
def sky():
    config = changed(random_config(np.random.default_rng(8), size=128), compact_density=20.0)
    return simulate_sky(config, seed=11)


def test_truth_comes_back_as_it_was_written(sky, tmp_path):
    write_simulation(sky, tmp_path)
    back = read_truth(tmp_path)
    assert np.array_equal(back.object_labels, sky.truth.object_labels)
    assert np.array_equal(back.island_labels, sky.truth.island_labels)
    assert np.array_equal(back.faint_labels, sky.truth.faint_labels)
    assert back.faint_labels.any()
    for name in ("objects", "components", "islands"):
        written, read = getattr(sky.truth, name), getattr(back, name)
        assert len(written) > 0
        for column in dataclasses.fields(written):
            assert np.array_equal(
                getattr(written, column.name),
                getattr(read, column.name),
                **({"equal_nan": True} if getattr(written, column.name).dtype.kind == "f" else {}),
            ), column.name


def test_the_table_of_objects_tells_their_morphology(sky, tmp_path):
    write_simulation(sky, tmp_path)
    table = Table.read(tmp_path / "truth_objects.ecsv")
    assert set(table["morphology"]) >= {"point", "resolved"}
    assert all(MORPHOLOGIES.get(kind, "artefact") == name for kind, name in table["kind", "morphology"].iterrows())


def test_the_map_carries_beam_unit_frequency_and_geometry(sky, tmp_path):
    write_simulation(sky, tmp_path)
    with fits.open(tmp_path / "map.fits") as hdus:
        data, header = hdus[0].data, hdus[0].header
    assert np.array_equal(data, sky.radio_map.data, equal_nan=True)
    assert header["BUNIT"] == "Jy/beam"
    assert header["BMAJ"] * 3600 == pytest.approx(sky.config.beam_major)
    assert header["BPA"] == pytest.approx(sky.config.beam_pa)
    assert header["RESTFRQ"] == pytest.approx(sky.config.frequency)
    objects = sky.truth.objects
    ra, dec = WCS(header).all_pix2world(objects.x, objects.y, 0)
    assert ra % 360 == pytest.approx(objects.ra, abs=1e-7)
    assert dec == pytest.approx(objects.dec, abs=1e-7)


def test_the_manifest_repeats_the_field(sky, tmp_path):
    write_simulation(sky, tmp_path)
    manifest = json.loads((tmp_path / "truth.json").read_text())
    again = simulate_sky(SkyConfig.from_dict(manifest["config"]), seed=manifest["seed"])
    assert np.array_equal(again.radio_map.data, sky.radio_map.data, equal_nan=True)


def test_writing_twice_gives_the_same_bytes_and_leaves_no_temporary_files(sky, tmp_path):
    first = {path.name: path.read_bytes() for path in write_simulation(sky, tmp_path, map_name="sky.fits.gz")}
    second = {path.name: path.read_bytes() for path in write_simulation(sky, tmp_path, map_name="sky.fits.gz")}
    assert first == second
    assert {path.name for path in tmp_path.iterdir()} == set(first)


def test_truth_maps_are_written_on_request_only(sky, tmp_path):
    names = {path.name for path in write_simulation(sky, tmp_path / "few")}
    more = {path.name for path in write_simulation(sky, tmp_path / "all", truth_maps=True)}
    assert more - names == {"truth_rms.fits", "truth_background.fits", "truth_model.fits", "truth_artefact.fits"}
    assert np.array_equal(fits.getdata(tmp_path / "all" / "truth_rms.fits"), sky.rms)


def test_an_earlier_field_is_replaced_as_a_whole(sky, tmp_path):
    earlier = write_simulation(dataclasses.replace(sky, seed=5), tmp_path, truth_maps=True)
    (tmp_path / "notes.txt").write_text("mine")
    later = write_simulation(sky, tmp_path)
    assert [path.name for path in earlier] == field_files()
    assert [path.name for path in later] == field_files(truth_maps=False)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in later} | {"notes.txt"}
    assert json.loads((tmp_path / "truth.json").read_text())["seed"] == sky.seed


@pytest.mark.parametrize("stop", [OSError("no space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", range(9))
@pytest.mark.parametrize("earlier", [False, True])
def test_a_write_that_stops_anywhere_leaves_what_was_there(sky, tmp_path, monkeypatch, earlier, after, stop):
    if earlier:
        write_simulation(sky, tmp_path / "field")
    before = {path: path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file()}
    _stop_writing(monkeypatch, stop, after=after)
    with pytest.raises(type(stop)):
        write_simulation(dataclasses.replace(sky, seed=5), tmp_path / "field", truth_maps=True)
    assert {path: path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file()} == before
    assert len(list(tmp_path.glob("**/*"))) == (7 if earlier else 0)


def _stop_writing(monkeypatch, stop, *, after):
    """Let ``after`` files be written and raise at the next one."""
    count = 0

    def counted(write):
        def wrapped(*arguments, **options):
            nonlocal count
            if count == after:
                raise stop
            count += 1
            return write(*arguments, **options)

        return wrapped

    for name in ("_write_hdus", "_write_table"):
        function = getattr(files, name)
        monkeypatch.setattr(files, name, counted(function))


def test_missing_truth_is_an_input_error(sky, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_truth(tmp_path)
    write_simulation(sky, tmp_path)
    table = tmp_path / "truth_objects.ecsv"
    table.write_text(table.read_text().replace("size_beams", "size_other"))
    with pytest.raises(InputError, match="size_beams"):
        read_truth(tmp_path)
