import numpy as np
import pytest
import torch

from neanias_ml.extraction import SourceFinder
from neanias_ml.inference import morphology
from neanias_ml.inference.association import IslandGroup
from neanias_ml.inference.measure_objects import measure_objects
from neanias_ml.inference.morphology import with_morphology
from neanias_ml.models.morphology.bundle import MorphologyAnswer, MorphologyBundle
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES, UNSURE
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.models.morphology.settings import MorphologySettings
from tests.conftest import make_sky

CLASSES = ("compact", "extended", "spurious", "extended-multisland", "extended", "compact", "extended")


@pytest.fixture(scope="module")
def extraction():
    radio_map, _ = make_sky(61, shape=(160, 160), n_sources=9)
    return SourceFinder()(radio_map)


@pytest.fixture(scope="module")
def objects(extraction):
    """Seven objects; the fourth of three islands."""
    assert len(extraction.islands) == 9
    members = [(1,), (2,), (3,), (4, 8, 9), (5,), (6,), (7,)]
    return measure_objects(
        extraction,
        [IslandGroup(ids, None) for ids in members],
        class_names=list(CLASSES),
        probabilities=np.full((7, 5), 0.2),
        association_probability=np.full(7, np.nan),
    )


class CountingBundle:
    """Names objects by the number of their islands, and keeps how many it was asked at once."""

    def __init__(self):
        self.asked = []

    def classify(self, cutouts):
        self.asked.append(len(cutouts))
        counts = [len(np.unique(cutout.islands[cutout.islands > 0])) for cutout in cutouts]
        probabilities = np.full((len(cutouts), len(MORPHOLOGY_NAMES)), 0.05)
        probabilities[np.arange(len(cutouts)), counts] = 0.6
        return MorphologyAnswer(probabilities, np.array([MORPHOLOGY_NAMES[count] for count in counts]))


def test_extended_objects_and_no_others_get_a_morphology(objects, extraction, monkeypatch):
    monkeypatch.setattr(morphology, "CUTOUTS_AT_A_TIME", 3)
    bundle, calls = CountingBundle(), []
    named = with_morphology(objects, extraction, bundle=bundle, progress=lambda *call: calls.append(call))
    extended = np.isin(CLASSES, ("extended", "extended-multisland"))
    assert bundle.asked == [3, 1] and calls[-1] == ("morphology", 4, 4)
    assert named.morphology[3] == MORPHOLOGY_NAMES[3]
    assert (named.morphology[extended & (objects.n_islands == 1)] == MORPHOLOGY_NAMES[1]).all()
    np.testing.assert_allclose(named.morphology_probability[extended], 0.6)
    assert (named.morphology[~extended] == "").all() and np.isnan(named.morphology_probability[~extended]).all()


def test_a_network_that_is_never_sure_says_so(objects, extraction):
    torch.manual_seed(3)
    architecture = MorphologyConfig()
    settings = MorphologySettings(architecture=architecture, unsure_below=1.0)
    bundle = MorphologyBundle(MorphologyNetwork(architecture).eval(), settings, "0" * 64)
    named = with_morphology(objects, extraction, bundle=bundle, progress=lambda *call: None)
    decided = named.morphology != ""
    assert decided.sum() == 4 and (named.morphology[decided] == UNSURE).all()
    assert ((named.morphology_probability[decided] > 0) & (named.morphology_probability[decided] < 1)).all()


def test_no_objects(objects, extraction):
    bundle = CountingBundle()
    named = with_morphology(objects.select(slice(0, 0)), extraction, bundle=bundle, progress=lambda *call: None)
    assert len(named) == 0 and bundle.asked == []
