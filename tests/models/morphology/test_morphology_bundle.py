"""The morphology network and its bundle."""

import json

import numpy as np
import pytest
import torch

from neanias_ml.datasets.cutout_store import FRAME
from neanias_ml.errors import ModelError
from neanias_ml.models.bundle_folder import bundle_network, write_digests
from neanias_ml.models.morphology.bundle import (
    load_morphology_bundle,
    names_of,
    save_morphology_bundle,
    softened,
)
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES, UNSURE
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.inputs import SCALAR_NAMES
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.models.morphology.settings import MorphologySettings
from tests.models.morphology.cutout_makers import drawn_set

TINY = MorphologyConfig(widths=(4, 8), blocks=(1, 1), features=8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    network = MorphologyNetwork(TINY)
    with torch.no_grad():
        for _ in range(3):  # statistics that are not those of a new layer
            network(torch.randn(8, 3, FRAME, FRAME), torch.randn(8, len(SCALAR_NAMES)))
    return network.eval()


@pytest.fixture
def bundle(tmp_path, model):
    settings = MorphologySettings(architecture=TINY, temperature=1.7, unsure_below=0.2, metadata={"steps": 7})
    save_morphology_bundle(model, tmp_path / "m", settings=settings, card="# Card", storage="float32")
    return tmp_path / "m"


def rewrite(bundle, **changes):
    path = bundle / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    write_digests(bundle)


def test_the_network_has_one_logit_per_class_and_is_not_random(model):
    images, scalars = torch.randn(5, 3, FRAME, FRAME), torch.randn(5, len(SCALAR_NAMES))
    assert model(images, scalars).shape == (5, len(MORPHOLOGY_NAMES))
    trained = MorphologyNetwork(TINY).train()
    assert torch.equal(trained(images, scalars), trained(images, scalars))
    assert not [layer for layer in trained.modules() if isinstance(layer, torch.nn.Dropout)]


def test_numbers_beside_the_image_reach_the_answer(model):
    images = torch.randn(2, 3, FRAME, FRAME)
    zeros = torch.zeros(2, len(SCALAR_NAMES))
    assert not torch.allclose(model(images, zeros), model(images, zeros + 1))


@pytest.mark.parametrize("values", [{"widths": ()}, {"widths": (8,), "blocks": (1, 1)}, {"features": 0}])
def test_an_architecture_is_checked(values):
    with pytest.raises(ValueError, match=r"must be|need"):
        MorphologyConfig(**values)


def test_a_bundle_answers_as_the_network_did(bundle, model):
    loaded = load_morphology_bundle(bundle)
    assert loaded.settings.temperature == 1.7 and loaded.settings.metadata == {"steps": 7}
    assert bundle_network(bundle) == "morphology"
    cutouts = drawn_set(7, seed=1)
    answer = loaded.classify(cutouts, batch_size=3)
    whole = loaded.classify(cutouts)
    np.testing.assert_allclose(answer.probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1.0)
    assert answer.names.tolist() == names_of(answer.probabilities, unsure_below=0.2).tolist()
    assert loaded.classify([]).names.shape == (0,)


def test_names_are_unsure_below_the_limit():
    probabilities = softened(np.log([[0.6, *[0.05] * 8], [0.2, 0.3, *[0.5 / 7] * 7]]), temperature=1.0)
    assert names_of(probabilities, unsure_below=0.5).tolist() == ["FR-I", UNSURE]
    assert names_of(probabilities, unsure_below=0.0).tolist() == ["FR-I", "FR-II"]
    flat = softened(np.log(probabilities), temperature=1e6)
    np.testing.assert_allclose(flat, 1 / 9, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": "neanias_ml island-rcnn"}, "OtherNetwork"),
        ({"classes": ["a"]}, "ConfigInvalid"),
        ({"frame": 64}, "ConfigInvalid"),
        ({"scalars": ["size"]}, "ConfigInvalid"),
        ({"temperature": 0.0}, "ConfigInvalid"),
        ({"unsure_below": 2.0}, "ConfigInvalid"),
        ({"colour": "red"}, "ConfigUnknownKey"),
        ({"architecture": {"widths": [8, 8], "blocks": [1, 1], "features": 8}}, "WeightsMismatch"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(bundle, changes, code):
    rewrite(bundle, **changes)
    with pytest.raises(ModelError) as caught:
        load_morphology_bundle(bundle)
    assert caught.value.code == code


def test_another_architecture_than_the_settings_say_is_not_saved(tmp_path, model):
    settings = MorphologySettings(architecture=MorphologyConfig())
    with pytest.raises(ModelError, match="differs"):
        save_morphology_bundle(model, tmp_path / "m", settings=settings, card="x")
    assert not (tmp_path / "m").exists()
