"""The morphology network and its bundle."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from neanias_ml.datasets.cutout_store import FRAME
from neanias_ml.errors import ModelError
from neanias_ml.models.bundle_folder import bundle_network, write_digests
from neanias_ml.models.morphology.bundle import (
    cutout_logits,
    load_morphology_bundle,
    names_of,
    oriented,
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


@pytest.mark.parametrize("values", [{"widths": ()}, {"widths": (8,), "blocks": (1, 1)}, {"features": 0}, {"shrink": 5}])
def test_an_architecture_is_checked(values):
    with pytest.raises(ValueError, match=r"must|need"):
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


def test_views_are_the_eight_of_a_square_and_answers_do_not_depend_on_which_came(bundle, model):
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    views = {tuple(oriented(image, view).flatten().tolist()) for view in range(8)}
    assert len(views) == 8
    assert views == {tuple(oriented(image.flip(3), view).flatten().tolist()) for view in range(8)}
    cutout = drawn_set(2, seed=4)[1]
    logits = cutout_logits(model, [cutout, *turned_copies(cutout)], orientations=8)
    np.testing.assert_allclose(logits, np.tile(logits[:1], (8, 1)), atol=0.02)  # the numbers see half a pixel
    single = cutout_logits(model, [cutout, *turned_copies(cutout)])
    assert np.ptp(single, axis=0).max() > 2 * np.ptp(logits, axis=0).max()
    parts = [cutout_logits(model, [one])[0] for one in turned_copies(cutout)]
    assert not np.allclose(parts[0], parts[1], atol=1e-3)


def turned_copies(cutout):
    """The other seven views of a cutout."""
    views = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)][1:]

    def seen(values, turns, mirrored):
        turned = np.rot90(values, turns)
        return turned[:, ::-1] if mirrored else turned

    return [
        dataclasses.replace(cutout, asinh_snr=seen(cutout.asinh_snr, *view), islands=seen(cutout.islands, *view))
        for view in views
    ]


def test_a_network_may_shrink_its_image_first():
    torch.manual_seed(1)
    small = MorphologyNetwork(dataclasses.replace(TINY, shrink=2)).eval()
    plain = MorphologyNetwork(TINY).eval()
    plain.load_state_dict(small.state_dict())
    images, scalars = torch.randn(3, 3, FRAME, FRAME), torch.randn(3, len(SCALAR_NAMES))
    halved = images.reshape(3, 3, FRAME // 2, 2, FRAME // 2, 2).mean((3, 5))
    torch.testing.assert_close(small(images, scalars), plain(halved, scalars))


def test_offsets_of_classes_move_probabilities_as_another_prior_would():
    logits = np.log([[0.5, 0.3, *[0.2 / 7] * 7]])
    offsets = (0.0, math.log(4.0), *[0.0] * 7)
    moved = softened(logits, temperature=1.0, offsets=offsets)
    np.testing.assert_allclose(moved[0, :2], np.array([0.5, 1.2]) / 1.9)


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
        ({"orientations": 3}, "ConfigInvalid"),
        ({"offsets": [0.0, 1.0]}, "ConfigInvalid"),
        ({"architecture": {"widths": [4, 8], "blocks": [1, 1], "features": 8, "shrink": 5}}, "ConfigInvalid"),
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
