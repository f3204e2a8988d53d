"""The shipped model on the bundled sample map, against its truth and against the classical rule."""

from pathlib import Path

import numpy as np
import pytest

from neanias_ml.cli.shipped_models import ASSOCIATION, DETECTOR
from neanias_ml.evaluation import FieldPair, Instances, count_by_class
from neanias_ml.extraction import SourceFinder
from neanias_ml.inference.detector import ObjectDetector
from neanias_ml.maps import read_map
from neanias_ml.models.association.bundle import load_graph_bundle
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.classes import CLASS_LABELS, CLASS_NAMES
from neanias_ml.simulation import read_truth

DATA = Path(__file__).resolve().parents[1] / "data"


def instances(labels, ids, names):
    return Instances.from_label_map(labels, ids=ids, labels=[CLASS_LABELS[name] for name in names])


@pytest.fixture(scope="module")
def truth():
    return read_truth(DATA)


@pytest.fixture(scope="module")
def true_instances(truth):
    objects = truth.objects.select(truth.objects.visible)
    return instances(truth.object_labels, objects.object_id, objects.class_name)


@pytest.fixture(scope="module")
def extraction():
    return SourceFinder()(read_map(DATA / "sample_map.fits.gz"))


def test_extraction_finds_what_is_there(extraction, truth):
    """Nearly every visible object has an island on it, and nearly every island an object beneath it."""
    visible = truth.objects.select(truth.objects.visible & (truth.objects.class_name != "spurious"))
    touched = np.unique(truth.object_labels[extraction.islands.labels > 0])
    assert np.isin(visible.object_id, touched).mean() > 0.93
    known = (truth.object_labels > 0) | (truth.faint_labels > 0)
    real = [known[extraction.islands.labels == island].any() for island in extraction.islands.table.island_id]
    assert np.mean(real) > 0.95


def test_detected_objects_beat_the_classical_rule(extraction, true_instances):
    detector = ObjectDetector(load_bundle(DETECTOR), association=load_graph_bundle(ASSOCIATION))
    catalogue = detector(extraction)
    lookup = np.concatenate([[0], catalogue.island_object_ids])
    objects, table = catalogue.objects, extraction.islands.table
    found = instances(lookup[extraction.islands.labels], objects.object_id, objects.class_name)
    plain = instances(extraction.islands.labels, table.island_id, table.kind)
    network, rule = (
        count_by_class([FieldPair.of(true_instances, each)], n_classes=len(CLASS_NAMES)).total()
        for each in (found, plain)
    )
    f1, plain_f1 = np.nan_to_num(network.f1), np.nan_to_num(rule.f1)
    assert f1.mean() > plain_f1.mean() + 0.05
    compact, extended, multi = (CLASS_LABELS[name] - 1 for name in ("compact", "extended", "extended-multisland"))
    assert f1[extended] > plain_f1[extended] and f1[multi] > 0.3 and f1[compact] > 0.65
