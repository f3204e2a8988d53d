"""What `simulate` refuses, keeps and leaves behind."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import yaml

from neanias_ml.cli import simulate
from neanias_ml.simulation import (
    SURVEYS,
    ImagingConfig,
    PopulationConfig,
    SkyConfig,
    random_config,
    survey_config,
)
from neanias_ml.simulation.files import field_files
from neanias_ml.simulation.gallery import pages as gallery
from neanias_ml.simulation.gallery.panels import source_panels
from neanias_ml.simulation.imaging.config import MOSAICS

SMALL = ("--sky.size", 64)


@pytest.fixture
def no_work(monkeypatch):
    """Fails when a field is simulated: refusals come before any work."""

    def unwanted(config, *, seed):
        raise AssertionError("a field was simulated")

    monkeypatch.setattr(simulate, "simulate_sky", unwanted)


def one_sentence(err, *, code, mentions):
    assert code in err and mentions in err
    assert len(err.strip().splitlines()) == 1 and "bug of ours" not in err


@pytest.mark.parametrize("name", field_files())
def test_a_file_of_the_user_is_kept(run, tmp_path, no_work, name):
    (tmp_path / name).write_text("mine")
    code, _, err = run("simulate", "-o", tmp_path, *SMALL)
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="--overwrite")
    assert name in err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_files_in_any_of_several_folders_are_kept(run, tmp_path, no_work):
    (tmp_path / "field_0002").mkdir()
    (tmp_path / "field_0002" / "map.fits").write_text("mine")
    code, _, err = run("simulate", "-o", tmp_path, "--fields", 3, *SMALL)
    assert code == 2 and "field_0002" in err
    assert [path.name for path in tmp_path.iterdir()] == ["field_0002"]


def test_overwrite_replaces_a_field_with_its_optional_maps(run, tmp_path):
    assert run("simulate", "-o", tmp_path, "--truth-maps", "--quiet", *SMALL)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == set(field_files())
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = run("simulate", "-o", tmp_path, "--seed", 7, "--overwrite", "--quiet", *SMALL)
    assert code == 0, err
    assert {path.name for path in tmp_path.iterdir()} == {*field_files(truth_maps=False), "notes.txt"}
    assert json.loads((tmp_path / "truth.json").read_text())["seed"] == 7


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_is_no_output_folder(run, tmp_path, no_work, inside):
    (tmp_path / "file").write_text("mine")
    code, _, err = run("simulate", "-o", tmp_path / "file" / inside, "--overwrite", *SMALL)
    assert code == 2
    one_sentence(err, code="OutputNotADirectory", mentions="-o")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_too_long_for_the_file_system(run, tmp_path, no_work):
    code, _, err = run("simulate", "-o", tmp_path / ("a" * 300), *SMALL)
    assert code == 2
    one_sentence(err, code="OutputNameTooLong", mentions="shorter")


def test_a_folder_that_cannot_be_written_to(run, tmp_path, no_work, monkeypatch):
    def refused(**options):
        raise PermissionError(13, "Permission denied", options["dir"])

    monkeypatch.setattr("tempfile.mkdtemp", lambda *arguments, **options: refused(dir=str(tmp_path)))
    code, _, err = run("simulate", "-o", tmp_path, *SMALL)
    assert code == 4
    one_sentence(err, code="OutputNotWritable", mentions="Permission denied")


@pytest.mark.parametrize(("option", "value"), [("--seed", -1), ("--fields", 0)])
def test_numbers_out_of_range(run, tmp_path, no_work, option, value):
    code, _, err = run("simulate", "-o", tmp_path / "out", option, value, *SMALL)
    assert code == 2
    one_sentence(err, code="UsageError", mentions=f"{option} must be at least")
    assert not (tmp_path / "out").exists()


VALUES = {"imaging.layout": "vla", "imaging.scans": 3, "imaging.mosaic": MOSAICS[-1], "population.counts": "published"}
DEFAULTS = {
    prefix + field.name: field.default
    for prefix, part in (("", SkyConfig), ("population.", PopulationConfig), ("imaging.", ImagingConfig))
    for field in dataclasses.fields(part)
    if field.name not in ("population", "imaging", *simulate.SET_WITH_VARY)
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_vary_refuses_what_it_would_draw_anew(run, tmp_path, no_work, name):
    value = VALUES[name] if name in VALUES else 0.9 * DEFAULTS[name] or 0.1
    code, _, err = run("simulate", "-o", tmp_path / "out", "--vary", f"--sky.{name}", value)
    assert code == 2
    one_sentence(err, code="VaryAndSky", mentions=f"--sky.{name} anew")


def test_vary_keeps_size_and_right_ascension_and_draws_the_rest(run, tmp_path):
    options = ("--sky.size", 80, "--sky.right_ascension", 33.0, "--seed", 5, "--quiet")
    code, _, err = run("simulate", "-o", tmp_path, "--vary", *options)
    assert code == 0, err
    config = json.loads((tmp_path / "truth.json").read_text())["config"]
    drawn = dataclasses.asdict(random_config(np.random.default_rng(5), size=80))
    assert config == {**drawn, "right_ascension": 33.0}


def test_vary_repeats_from_its_printed_configuration(run, tmp_path):
    words = ("simulate", "-o", tmp_path / "out", "--vary", "--seed", 5, *SMALL)
    code, printed, _ = run(*words, "--print_config")
    assert code == 0 and yaml.safe_load(printed)["seed"] == 5
    (tmp_path / "config.yaml").write_text(printed)
    assert run("simulate", "--config", tmp_path / "config.yaml", "--quiet")[0] == 0
    first = (tmp_path / "out" / "map.fits").read_bytes()
    assert run(*words, "--overwrite", "--quiet")[0] == 0
    assert (tmp_path / "out" / "map.fits").read_bytes() == first


def test_a_survey_sets_what_it_fixes_and_draws_the_rest(run, tmp_path):
    options = ("--sky.size", 80, "--sky.right_ascension", 33.0, "--seed", 5, "--quiet")
    code, _, err = run("simulate", "-o", tmp_path, "--survey", "vlass", *options)
    assert code == 0, err
    config = json.loads((tmp_path / "truth.json").read_text())["config"]
    drawn = dataclasses.asdict(survey_config("vlass", np.random.default_rng(5), size=80))
    assert config == {**drawn, "right_ascension": 33.0}


def test_a_survey_refuses_what_it_would_draw_anew(run, tmp_path, no_work):
    code, _, err = run("simulate", "-o", tmp_path / "out", "--survey", "first", "--sky.rms", 1e-3)
    assert code == 2
    one_sentence(err, code="VaryAndSky", mentions="--survey draws --sky.rms anew")
    code, _, err = run("simulate", "-o", tmp_path / "out", "--survey", "first", "--vary")
    assert code == 2
    one_sentence(err, code="VaryAndSurvey", mentions="choose one")


def test_an_unknown_survey_is_refused_with_the_known_ones(run, tmp_path, no_work):
    code, _, err = run("simulate", "-o", tmp_path / "out", "--survey", "wallaby")
    assert code == 2 and all(name in err for name in SURVEYS)


@pytest.fixture
def short_gallery(monkeypatch):
    """A gallery of one page with three panels."""
    panels = list(itertools.islice(source_panels(3), 3))
    seeds = []

    def some(seed):
        seeds.append(seed)
        return iter(panels)

    monkeypatch.setattr(gallery, "_PAGES", {"gallery_sources.png": ("Kinds of sources", 3, some)})
    return seeds


def test_the_gallery_is_drawn_instead_of_fields(run, tmp_path, no_work, short_gallery):
    code, out, err = run("simulate", "--gallery", "-o", tmp_path, "--seed", 8)
    assert code == 0, err
    assert out.split() == [str(tmp_path / "gallery_sources.png")]
    assert [path.name for path in tmp_path.iterdir()] == ["gallery_sources.png"]
    assert short_gallery == [8]


def test_the_gallery_keeps_files_of_the_user(run, tmp_path, no_work, short_gallery):
    (tmp_path / "gallery_sources.png").write_text("mine")
    code, _, err = run("simulate", "--gallery", "-o", tmp_path)
    assert code == 2
    one_sentence(err, code="OutputExists", mentions="--overwrite")
    assert (tmp_path / "gallery_sources.png").read_text() == "mine" and short_gallery == []
    assert run("simulate", "--gallery", "-o", tmp_path, "--overwrite", "--quiet")[:2] == (0, "")
    assert (tmp_path / "gallery_sources.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words", [("--vary",), ("--survey", "emu"), ("--fields", 2), ("--truth-maps",), ("--sky.size", 64)]
)
def test_the_gallery_refuses_what_it_would_ignore(run, tmp_path, no_work, short_gallery, words):
    code, _, err = run("simulate", "--gallery", "-o", tmp_path / "out", *words)
    assert code == 2
    one_sentence(err, code="GalleryAlone", mentions=words[0])
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_whole_fields_only(run, tmp_path, monkeypatch):
    simulated = simulate.simulate_sky

    def interrupted(config, *, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return simulated(config, seed=seed)

    monkeypatch.setattr(simulate, "simulate_sky", interrupted)
    assert run("simulate", "-o", tmp_path, "--fields", 3, "--quiet", *SMALL)[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["field_0000"]
    assert {path.name for path in (tmp_path / "field_0000").iterdir()} == set(field_files(truth_maps=False))


def test_help_says_where_the_seed_is_kept(run):
    code, out, _ = run("simulate", "--help")
    assert code == 0
    text = " ".join(out.split())
    assert text.count("--seed SEED seed of the first field") == 1 and "kept in truth.json" in text
    assert "run.json" not in text
