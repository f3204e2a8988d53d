import io
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import QTable, Table

from neanias_ml.cli import progress as progress_module
from neanias_ml.cli.main import VERBS, as_known_error
from neanias_ml.cli.progress import ProgressLine

FILES = {"components.ecsv", "islands.ecsv", "catalogue.vot", "sources.reg", "overview.png", "report.html", "run.json"}


def test_extract_writes_all_files_and_says_where(run, map_file, tmp_path):
    code, out, err = run("extract", map_file, "-o", tmp_path / "out")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert "9 islands" in out and str(tmp_path / "out" / "overview.png") in out
    table = QTable.read(tmp_path / "out" / "components.ecsv")
    assert len(table) == 9 and table["ra"].unit == "deg"


def test_save_maps_and_parquet_on_request(run, map_file, tmp_path):
    code, _, _ = run("extract", map_file, "-o", tmp_path / "out", "--save-maps", "--parquet", "--quiet")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert code == 0
    assert {"islands.fits", "background.fits", "noise.fits", "residual.fits"} < names
    assert any(name.endswith(".parquet") for name in names)


def test_results_of_another_run_are_kept(run, map_file, tmp_path):
    assert run("extract", map_file, "-o", tmp_path, "--quiet")[0] == 0
    before = (tmp_path / "run.json").read_bytes()
    code, _, err = run("extract", map_file, "-o", tmp_path)
    assert code == 2 and "--overwrite" in err
    assert (tmp_path / "run.json").read_bytes() == before
    assert run("extract", map_file, "-o", tmp_path, "--quiet", "--overwrite")[0] == 0


def test_yaml_and_overrides_and_the_record_of_both(run, map_file, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"finder": {"seed_threshold": 12.0, "merge_threshold": 4.0}}))
    code, _, err = run(
        "extract", map_file, "-o", tmp_path / "out", "--config", config, "--finder.merge_threshold", 5, "--quiet"
    )
    assert code == 0, err
    finder = json.loads((tmp_path / "out" / "run.json").read_text())["configuration"]["finder"]
    assert finder["seed_threshold"] == 12.0 and finder["merge_threshold"] == 5.0


def test_print_config_is_a_config(run, map_file, tmp_path):
    code, out, _ = run("extract", map_file, "-o", tmp_path / "out", "--finder.seed_threshold", 7, "--print_config")
    assert code == 0
    printed = yaml.safe_load(out)
    assert printed["finder"]["seed_threshold"] == 7.0
    config = tmp_path / "printed.yaml"
    config.write_text(out)
    assert run("extract", "--config", config, "--quiet")[0] == 0
    assert (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(
    "words, code, text",
    [
        ([], 2, ""),
        (["--help"], 0, ""),
        (["frobnicate"], 2, "no verb"),
        (["extract"], 2, "map"),
        (["extract", "MAP", "-o", "OUT", "--finder.seed_threshold", "-1"], 2, "threshold"),
        (["extract", "MAP", "-o", "OUT", "--finder.sed_threshold", "4"], 2, "sed_threshold"),
        (["extract", "MAP"], 2, "-o"),
        (["extract", "MAP", "-o", "OUT", "--beam", "-5"], 2, "beam"),
        (["extract", "MAP", "-o", "OUT", "--beam", "5", "4", "3", "2"], 2, "beam"),
        (["detect", "MAP", "-o", "OUT", "--model", "nowhere"], 5, "nowhere"),
        (["detect", "MAP", "-o", "OUT", "--device", "toaster"], 2, "toaster"),
        (["detect", "MAP", "-o", "OUT", "--association-threshold", "7"], 2, "threshold"),
        (["extract", "MAP", "-o", "OUT", "--finder.background.mesh_beams=-1"], 2, "mesh_beams"),
    ],
)
def test_usage_errors(run, map_file, tmp_path, words, code, text):
    words = [{"MAP": map_file, "OUT": tmp_path / "out"}.get(word, word) for word in words]
    got, _, err = run(*words)
    assert got == code
    assert text in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0 and "--config" in out and "--print_config" in out and "--quiet" in out and "--seed" in out


def test_beam_and_pixel_scale_stand_in_for_the_header(run, map_file, tmp_path):
    code, _, err = run("extract", map_file, "-o", tmp_path, "--beam", 12, 10, 45, "--quiet")
    assert code == 0, err
    record = json.loads((tmp_path / "run.json").read_text())
    np.testing.assert_allclose(record["input"]["beam_deg"], [12 / 3600, 10 / 3600, 45])
    assert "BeamFromUser" in record["flags"]


def test_simulate_is_reproducible_and_labelled(run, tmp_path):
    for name in ("a", "b"):
        code, _, err = run("simulate", "-o", tmp_path / name, "--sky.size", 128, "--seed", 4, "--quiet")
        assert code == 0, err
    assert (tmp_path / "a" / "map.fits").read_bytes() == (tmp_path / "b" / "map.fits").read_bytes()
    assert len(Table.read(tmp_path / "a" / "truth_objects.ecsv")) > 0
    assert run("simulate", "-o", tmp_path / "a", "--sky.size", 128)[0] == 2


def test_simulate_several_different_fields(run, tmp_path):
    code, _, err = run("simulate", "-o", tmp_path, "--sky.size", 96, "--fields", 2, "--vary", "--quiet")
    assert code == 0, err
    first, second = (json.loads((tmp_path / f"field_000{i}" / "truth.json").read_text()) for i in (0, 1))
    assert first["config"] != second["config"]


def test_extract_imports_no_network_library():
    script = (
        "import sys, neanias_ml.cli.extract; print([m for m in ('torch', 'lightning', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bug_is_one_line_without_debug(run, map_file, tmp_path, monkeypatch):
    def broken(self, radio_map, **keywords):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("neanias_ml.extraction.SourceFinder.__call__", broken)
    code, _, err = run("extract", map_file, "-o", tmp_path / "out")
    assert code == 1 and "--debug" in err and len(err.strip().splitlines()) == 1
    with pytest.raises(ZeroDivisionError):
        run("extract", map_file, "-o", tmp_path / "out", "--debug")


def test_interrupt_and_memory(run, map_file, tmp_path, monkeypatch):
    for error, expected in ((KeyboardInterrupt(), 130), (MemoryError(), 4)):

        def stop(self, radio_map, *, error=error, **keywords):
            raise error

        monkeypatch.setattr("neanias_ml.extraction.SourceFinder.__call__", stop)
        assert run("extract", map_file, "-o", tmp_path / "out")[0] == expected
        assert not (tmp_path / "out").exists()


def test_full_disk_is_a_resource_error():
    known = as_known_error(OSError(28, "No space left on device", "x.fits"))
    assert known is not None and known.exit_code == 4


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_on_a_terminal_shows_steps_and_time_left(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    terminal = Terminal()
    line = ProgressLine(stream=terminal)
    for done in range(5):
        line("network", done, 4)
    assert "network: 2/4, 2 s left" in terminal.text and terminal.text.endswith("network (4): 4.0 s\n")


def test_a_stage_that_is_finished_twice_has_one_line():
    log = io.StringIO()
    line = ProgressLine(stream=log)
    for done, total in ((0, 1), (1, 3), (3, 3), (1, 1)):
        line("extended emission", done, total)
    line("islands", 1, 1)
    assert [text.split(":")[0] for text in log.getvalue().splitlines()] == ["extended emission (3)", "islands"]


def test_a_stage_that_starts_again_has_a_line_each_time():
    log = io.StringIO()
    line = ProgressLine(stream=log)
    for done in (0, 1, 0, 1):
        line("islands", done, 1)
    assert len(log.getvalue().splitlines()) == 2


def test_libraries_are_left_out_of_garbage_collection_and_the_rest_is_not():
    code = (
        "import gc\nfrom neanias_ml.cli.main import load_for_good\nload_for_good('extract')\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000"
    )
    judged = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr


def test_progress_is_silent_when_quiet():
    terminal = Terminal()
    ProgressLine(quiet=True, stream=terminal)("network", 1, 1)
    assert terminal.text == ""


def test_infinite_pixels_are_told(run, map_file, tmp_path):
    with fits.open(map_file) as hdus:
        hdus[0].data[3, 3] = np.inf
        hdus.writeto(tmp_path / "infinite.fits")
    code, out, err = run("extract", tmp_path / "infinite.fits", "-o", tmp_path / "out")
    assert code == 0, err
    assert "NonFinite" in out
    assert "NonFinite" in json.loads((tmp_path / "out" / "run.json").read_text())["flags"]


@pytest.mark.parametrize("order", ["before", "after", "joined"])
def test_the_command_line_beats_the_file_wherever_it_is_named(run, map_file, tmp_path, order):
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"map": "another.fits", "output": str(tmp_path / "other"), "finder": {"seed_threshold": 9.0}})
    )
    own = [map_file, "-o", tmp_path / "out", "--finder.seed_threshold", "12", "--quiet"]
    words = {
        "before": ["--config", config, *own],
        "after": [*own, "--config", config],
        "joined": [*own, f"--config={config}"],
    }[order]
    code, _, err = run("extract", *words)
    assert code == 0, err
    assert not (tmp_path / "other").exists()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["configuration"]["finder"]["seed_threshold"] == 12.0
    assert record["input"]["path"] == str(map_file)
