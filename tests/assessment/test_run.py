"""Sources of maps, the run over them, and the folder that it leaves."""

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.io import fits

from neanias_ml.assessment.config import AssessmentConfig
from neanias_ml.assessment.findings import measure
from neanias_ml.assessment.labelled_maps import LabelledMaps, SimulatedFields, open_source
from neanias_ml.assessment.output import OUTPUT_FILES, write_assessment
from neanias_ml.assessment.run import assess
from neanias_ml.datasets.labels.coco import write_coco
from neanias_ml.datasets.labels.labelled import CAESAR_CLASSES, LabelSet
from neanias_ml.datasets.real import REAL_SETS
from neanias_ml.errors import InputError, UsageError
from neanias_ml.evaluation.report import read_report
from neanias_ml.simulation import random_config, simulate_sky
from neanias_ml.simulation.files import write_simulation
from tests.assessment.makers import PARTS, known_map, labelled_object, perfect, told
from tests.cli.conftest import map_header

NAMES = {"c": "compact", "m": "extended-multisland", "e": "extended", "s": "compact"}


@pytest.fixture(scope="module")
def label_file(tmp_path_factory):
    """Two maps of one sky and their labels in COCO."""
    folder = tmp_path_factory.mktemp("labels")
    images = []
    for seed in (1, 2):
        known = known_map(seed=seed)
        path = folder / f"map <{seed}>.fits"
        fits.writeto(path, np.asarray(known.radio_map.data), map_header(known.radio_map.shape))
        images.append(known.image.replace(path=path))
    write_coco(LabelSet(tuple(images), CAESAR_CLASSES), folder / "labels.json")
    return folder / "labels.json"


def test_a_simulated_field_is_that_of_its_seed():
    source = open_source(AssessmentConfig(fields=3, size=64, seed=41))
    known = source.read(2)
    rng = np.random.default_rng(43)
    sky = simulate_sky(random_config(rng, size=64), seed=43)
    np.testing.assert_array_equal(known.radio_map.data, sky.radio_map.data)
    assert isinstance(source, SimulatedFields) and source.areas == (0, 1, 2)
    other = open_source(AssessmentConfig(fields=3, size=64, seed=42))
    assert source.digest != other.digest and len(source.digest) == 64


def test_labels_of_ones_own_are_read_with_the_sky_that_they_share(label_file):
    source = open_source(AssessmentConfig(labelled_set=str(label_file)))
    assert isinstance(source, LabelledMaps)
    assert source.areas == (0, 0) and source.split == "all"
    assert len(source.read(1).image.objects) == 3
    with pytest.raises(InputError, match="try --split all"):
        for split in ("train", "validation", "test"):  # one area of the sky fills one split alone
            open_source(AssessmentConfig(labelled_set=str(label_file), split=split))


def test_simulated_fields_on_disk_are_labels_too(tmp_path):
    write_simulation(simulate_sky(random_config(np.random.default_rng(3), size=96), seed=3), tmp_path / "field")
    source = open_source(AssessmentConfig(labelled_set=str(tmp_path / "field"), exhaustive=True))
    assert source.read(0).is_exhaustive and source.areas == (0,)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"labelled_set": "nothing/there.json"}, "SetUnknown"),
        ({"split": "half"}, "Split"),
        ({"split": "test"}, "Split"),
        ({"fields": 0}, "SimulatedFields"),
        ({"size": 10}, "SimulatedFields"),
        ({"seed": -1}, "Seed"),
        ({"survey": "nvss2"}, "SurveyUnknown"),
        ({"labelled_set": "vlass", "exhaustive": True}, "Exhaustive"),
    ],
)
def test_configurations_that_mean_nothing_are_refused(changes, code):
    with pytest.raises(UsageError) as caught:
        AssessmentConfig(**changes)
    assert caught.value.code == code


@pytest.mark.parametrize("name", REAL_SETS)
def test_a_missing_real_set_is_told(name, tmp_path, monkeypatch):
    monkeypatch.delenv("NEANIAS_REAL_DATA", raising=False)
    with pytest.raises(UsageError, match="folder of real maps"):
        open_source(AssessmentConfig(labelled_set=name))
    with pytest.raises(InputError):
        open_source(AssessmentConfig(labelled_set=name, real_data=str(tmp_path)))


def test_maps_without_labels_are_refused(tmp_path):
    known = known_map()
    objects = tuple(labelled_object("compact", model, ignored=True) for model in PARTS.values())
    path = tmp_path / "map.fits"
    fits.writeto(path, np.asarray(known.radio_map.data), map_header(known.radio_map.shape))
    write_coco(LabelSet((known.image.replace(path=path, objects=objects),), CAESAR_CLASSES), tmp_path / "labels.json")
    with pytest.raises(InputError) as caught:
        assess(AssessmentConfig(labelled_set=str(tmp_path / "labels.json")), perfect)
    assert caught.value.code == "NothingLabelled"


def test_processes_need_bundles_by_name(label_file):
    with pytest.raises(UsageError, match="name bundles"):
        assess(AssessmentConfig(labelled_set=str(label_file)), perfect, workers=2)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def folder(label_file, tmp_path_factory):
    """What an assessment of a detector that splits doubles leaves."""
    seen = []
    config = AssessmentConfig(labelled_set=str(label_file))
    scored, source = assess(
        config,
        lambda extraction: told(extraction, NAMES | {"m": "extended"}, split=("m",)),
        progress=lambda stage, done, total: seen.append((done, total)),
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]
    output = tmp_path_factory.mktemp("out")
    write_assessment(
        output, measure(scored), scored, source, model_name="a <b>model</b>", digests={"detector": "d" * 64}, details={}
    )
    return output


def test_all_files_are_there_and_the_report_can_be_read(folder):
    assert {path.name for path in folder.iterdir()} == set(OUTPUT_FILES)
    report = read_report(folder / "evaluation.json")
    assert report.metrics["f1_compact"].value == 1.0
    assert report.metrics["exact_set_multi"].value == 0.0
    assert report.details["baselines"]["grouping"]["best linking length"]["exact_set_multi"]["value"] == 1.0
    assert report.split == "all"


def test_tables_are_plain_csv(folder):
    with (folder / "classes.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == list(CAESAR_CLASSES)
    compact = rows[1]
    assert (compact["true"], compact["F1"]) == ("2", "1.0000")
    assert compact["F1 low"] == ""  # one area of the sky: no interval
    with (folder / "maps.csv").open(encoding="utf-8") as stream:
        assert [row["area"] for row in csv.DictReader(stream)] == ["0", "0"]


def test_the_page_stands_alone_and_shows_the_mistakes(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    outside = [address for address in tags.addresses if not address.startswith("data:")]
    assert all((folder / address).is_file() for address in outside)
    assert "<b>model</b>" not in text and "a &lt;b&gt;model" in text
    assert not re.search(r"https?://", text)
    assert tags.found.count("figure") >= 3 and tags.found.count("polygon") >= 8
    assert "found as 3 object(s) of 3 island(s)" in text
    assert tags.found.count("img") == 6


def test_a_set_of_blank_maps_is_scored_as_nothing_found(tmp_path):
    known = known_map()
    fits.writeto(tmp_path / "map.fits", np.full((128, 128), np.nan), map_header((128, 128)))
    labels = LabelSet((known.image.replace(path=tmp_path / "map.fits"),), CAESAR_CLASSES)
    write_coco(labels, tmp_path / "labels.json")
    scored, source = assess(AssessmentConfig(labelled_set=str(tmp_path / "labels.json")), perfect)
    findings = measure(scored)
    assert findings.counts["blank maps"] == 1
    assert findings.completeness["drawn_compact"].value == 0.0
    report = write_assessment(
        tmp_path / "out", findings, scored, source, model_name="m", digests={"detector": "d"}, details={}
    )
    assert report.score == 0.0
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(OUTPUT_FILES)


def test_a_class_that_no_network_has_is_told(tmp_path):
    known = known_map()
    path = tmp_path / "map.fits"
    fits.writeto(path, np.asarray(known.radio_map.data), map_header(known.radio_map.shape))
    objects = (labelled_object("quasar", PARTS["compact"]),)
    write_coco(LabelSet((known.image.replace(path=path, objects=objects),), ("quasar",)), tmp_path / "labels.json")
    with pytest.raises(InputError, match="'quasar'"):
        assess(AssessmentConfig(labelled_set=str(tmp_path / "labels.json")), perfect)
