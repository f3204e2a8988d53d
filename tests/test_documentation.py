"""What the pages on the extraction say: options that exist, tables that are complete, files and examples that run."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import QTable

from neanias_ml.catalogue.directory import RESULT_FILES
from neanias_ml.catalogue.schema import TABLES
from neanias_ml.cli import extract, select
from neanias_ml.cli.main import VERBS, main
from neanias_ml.extraction import FinderConfig, SourceFlag
from neanias_ml.extraction.extended import METHODS
from neanias_ml.extraction.noise.config import ESTIMATORS
from neanias_ml.extraction.reference import markdown_page, option_names, sections, yaml_file
from tests.conftest import BEAM_PIXELS, PIXEL_ARCSEC, make_sky, make_wcs

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CONFIGS = sorted((ROOT / "configs" / "extract").glob("*.yaml"))
COMMAND = "python -m neanias_ml.extraction.reference docs/extraction-options.md configs/extract/default.yaml"
PAGES = ("extraction.md", "extraction-options.md", "caesar-options.md")


def leaves(config, path="finder"):
    """Dotted names of all settings of a config dataclass, by walking it."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{path}.{field.name}"
        if dataclasses.is_dataclass(value):
            yield from leaves(value, name)
        else:
            yield name


def words_of(parser):
    """Option strings and positional words of a verb."""
    actions = parser._actions
    return {text for action in actions for text in (action.option_strings or [action.dest])}


def table_rows(page):
    """Cells of the rows of all tables of a page, without heads and rules."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and not set(cells[0]) <= {"-", ":"}:
            yield cells


@pytest.fixture(scope="module")
def caesar_rows():
    """First and second cell of each row of the table of CAESAR's options."""
    page = (DOCS / "caesar-options.md").read_text(encoding="utf-8")
    return [cells for cells in table_rows(page) if cells[0] != "CAESAR"]


@pytest.fixture
def folder_with_map(tmp_path, monkeypatch):
    """The working directory, with a map of nine sources in it."""
    radio_map, _ = make_sky(1, shape=(128, 128), n_sources=9, snr=(20, 80))
    header = make_wcs((128, 128)).to_header()
    header["BUNIT"], header["BPA"] = "Jy/beam", 0.0
    header["BMAJ"] = header["BMIN"] = BEAM_PIXELS * PIXEL_ARCSEC / 3600
    fits.writeto(tmp_path / "map.fits", np.asarray(radio_map.data), header)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_option_of_caesar_has_one_row(caesar_rows):
    names = (ROOT / "tests" / "caesar_option_names.txt").read_text(encoding="utf-8").split()
    assert len(names) == len(set(names)) == 229
    assert sorted(cells[0].strip("`") for cells in caesar_rows) == sorted(names)
    assert all(len(cells) == 2 and cells[1] for cells in caesar_rows)


def test_counterparts_of_caesars_options_exist(caesar_rows):
    columns = {name for table in TABLES for name in table.names}
    known = set(option_names()) | words_of(extract.build_parser()) | set(RESULT_FILES) | columns
    known |= {f"select {word}" for word in words_of(select.build_parser())}
    for name, counterpart in caesar_rows:
        for word in re.findall(r"`([^`]+)`", counterpart):
            assert word in known or (ROOT / word).is_file(), f"{name}: there is no {word}"
        assert "`" in counterpart or counterpart.startswith(("gone", "always")), f"{name}: {counterpart}"


def test_gone_above_refers_to_a_row_above_that_gives_a_reason():
    """In each table the first row is no reference to a row above."""
    page = (DOCS / "caesar-options.md").read_text(encoding="utf-8")
    for table in re.findall(r"\|---\|---\|\n(.*)\n", page):
        assert "see above" not in table


def test_option_names_are_those_of_the_dataclasses_and_of_the_command_line():
    names = set(leaves(FinderConfig()))
    assert set(option_names()) == names
    assert {f"--{name}" for name in names} <= words_of(extract.build_parser())


def test_every_option_is_explained():
    for section in sections():
        for option in section.options:
            assert len(option.meaning.split()) >= 3, f"{section.path}.{option.name}"


def test_options_page_and_default_file_are_up_to_date():
    assert (DOCS / "extraction-options.md").read_text(encoding="utf-8") == markdown_page(), f"run: {COMMAND}"
    assert (ROOT / "configs" / "extract" / "default.yaml").read_text(encoding="utf-8") == yaml_file(), f"run: {COMMAND}"


def test_default_file_holds_the_defaults():
    path = ROOT / "configs" / "extract" / "default.yaml"
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == {"finder"}
    parser = extract.build_parser()
    options = parser.parse_args(["--config", str(path), "map.fits"])
    assert parser.instantiate(options).finder == FinderConfig()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_run(path, folder_with_map, capsys):
    code = main(["extract", "map.fits", "-o", "out", "--config", str(path), "--no-pictures", "--quiet"])
    assert code == 0, capsys.readouterr().err
    islands = QTable.read(folder_with_map / "out" / "islands.ecsv")
    assert np.count_nonzero(islands["level"] == 0) >= 9


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_commands_in_the_heads_of_shipped_settings_run(path, folder_with_map, monkeypatch, capsys):
    """As written, with MAP and DIR filled in and files taken from the project."""
    commands = re.findall(r"^#\s+neanias-ml (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert commands and commands[0].startswith("extract MAP -o DIR --config configs/extract/" + path.name)
    (folder_with_map / "configs").symlink_to(ROOT / "configs")
    for command in commands:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
        words = [{"MAP": "map.fits", "DIR": "out"}.get(word, word) for word in words]
        words += ["--no-pictures"] if words[0] == "extract" else []
        assert main([*words, "--quiet"]) == 0, capsys.readouterr().err


def test_example_in_python_runs(folder_with_map):
    text = (DOCS / "extraction.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    found = {}
    exec(compile(example, "extraction.md", "exec"), found)
    assert len(found["extraction"].islands) >= 9


def test_names_in_the_text_exist():
    """All that stands in code style is a setting, a column, a value of one, a flag, a module, a file or a command."""
    text = re.sub(r"```.*?```", "", (DOCS / "extraction.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    names = option_names()
    known = {".".join(name.split(".")[start:]) for name in names for start in range(name.count(".") + 1)}
    known |= {name.rpartition(".")[0] for name in names} | words_of(extract.build_parser()) | set(VERBS)
    known |= {column for table in TABLES for column in table.names} | {flag.name.lower() for flag in SourceFlag}
    known |= set(METHODS) | set(ESTIMATORS) | {"compact", "extended", "diffuse", "beam", "free"}
    extraction = ROOT / "neanias_ml" / "extraction"
    for name in re.findall(r"`([^`]+)`", text):
        is_file = any(extraction.glob(f"{name}.py")) or (extraction.parent / name).exists()
        assert name in known or is_file or name.startswith("neanias-ml "), name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), target
