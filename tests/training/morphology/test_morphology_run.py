"""The morphology network learns drawn doubles, shells and blobs; its batches, draws and losses."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from neanias_ml.datasets.cutout_store import CUTOUT_SUFFIX, FRAME, write_cutouts
from neanias_ml.errors import InputError, ModelError, UsageError
from neanias_ml.evaluation.report import read_report
from neanias_ml.models.morphology.bundle import load_morphology_bundle
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES
from neanias_ml.models.morphology.config import MorphologyConfig
from neanias_ml.models.morphology.inputs import SCALAR_NAMES
from neanias_ml.training.fit import train_network
from neanias_ml.training.fit_config import FitConfig
from neanias_ml.training.morphology.batches import CutoutBatch
from neanias_ml.training.morphology.data_module import CutoutDataModule
from neanias_ml.training.morphology.feed import CutoutFeedConfig
from neanias_ml.training.morphology.kind import MorphologyKind
from neanias_ml.training.morphology.recipe import MorphologyRecipe
from neanias_ml.training.morphology.task import MorphologyTask
from neanias_ml.training.sampling import ProcessPlace
from tests.models.morphology.cutout_makers import WORDS, drawn_cutout, drawn_set

TINY = MorphologyConfig(widths=(8, 16), blocks=(1, 1), features=16)
FIT = FitConfig(
    max_steps=80, batch_size=16, learning_rate=1e-2, warmup_steps=5, average_decay=0.7, validate_every=4,
    precision="32-true", accelerator="cpu", seed=1,
)  # fmt: skip
RECIPE = MorphologyRecipe(name="drawn", model=TINY, feed=CutoutFeedConfig(fade=0.3), fit=FIT)


@pytest.fixture(scope="module")
def run(cutout_folder, tmp_path_factory):
    """A run on drawn cutouts: its folder and what it left."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train_network(MorphologyKind(), cutout_folder, folder, recipe=RECIPE)


def test_doubles_shells_and_blobs_are_learnt(run):
    folder, fitted = run
    report = read_report(folder / "evaluation.json")
    assert report == fitted.report and report.network == "morphology" and report.bundle_digest == fitted.digest
    assert report.primary == "balanced_accuracy" and report.score > 0.9
    assert report.details["baseline"]["balanced_accuracy"] == pytest.approx(1 / 3, abs=1e-3)
    assert report.metrics["sure_share"].value > 0.5
    assert {path.name for path in (folder / "pictures").iterdir()} == {"confusion.png", "reliability.png", "loss.png"}


def test_the_bundle_tells_new_objects_apart(run):
    bundle = load_morphology_bundle(run[1].bundle)
    cutouts = [drawn_cutout(word, 900 + number) for word in WORDS for number in range(10)]
    answer = bundle.classify(cutouts)
    named = np.array(MORPHOLOGY_NAMES)[answer.probabilities.argmax(axis=1)]
    assert (named == [WORDS[cutout.word] for cutout in cutouts]).mean() > 0.85
    card = (run[1].bundle / "MODEL_CARD.md").read_text()
    assert "# drawn" in card and "| shell | 10 | 30 |" in card and "FR-X" in card
    metadata = bundle.settings.metadata
    assert metadata["details"]["validation_sources"]["simulated"]["objects"] == 30
    assert bundle.settings.orientations == 8 and len(bundle.settings.offsets) == 9
    assert metadata["data"]["train"]["cutouts"] == 90 and metadata["feed"]["fade"] == 0.3


def test_another_run_may_begin_with_the_weights_of_a_bundle(run, cutout_folder):
    kind = MorphologyKind()
    task = kind.task(RECIPE, None)
    assert kind.initial_weights(run[1].bundle, task) == run[1].digest
    trained = load_morphology_bundle(run[1].bundle).model.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in task.model.state_dict().items())
    other = dataclasses.replace(RECIPE, model=dataclasses.replace(TINY, features=24))
    with pytest.raises(ModelError, match=r"model.features is 16 there and 24 here"):
        kind.initial_weights(run[1].bundle, kind.task(other, None))


def random_batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return CutoutBatch(
        torch.randn(count, 3, FRAME, FRAME, generator=generator),
        torch.randn(count, len(SCALAR_NAMES), generator=generator),
        torch.randint(0, 9, (count,), generator=generator),
        torch.zeros(count, dtype=torch.bool),
    )


def test_the_loss_is_the_plain_mean_of_the_samples_and_finite_without_any():
    task = MorphologyTask(TINY, learning_rate=1e-3, weight_decay=0.0).eval()
    batch = random_batch(6)
    halves = [CutoutBatch(*(part[half] for part in batch)) for half in (slice(0, 3), slice(3, 6))]
    whole, first, second = (task.losses(part)["loss_class"].item() for part in (batch, *halves))
    assert whole == pytest.approx((first + second) / 2, rel=1e-5)
    logits = task.model(batch.images, batch.scalars)
    assert whole == pytest.approx(functional.cross_entropy(logits, batch.labels).item(), rel=1e-5)
    task.train()
    empty = task.losses(random_batch(0))["loss_class"]
    empty.backward()
    assert empty.item() == 0.0 and task.batch_size_of(random_batch(0)) == 0


def test_where_bent_is_untold_the_loss_is_that_of_both_classes_together():
    task = MorphologyTask(TINY, learning_rate=1e-3, weight_decay=0.0).eval()
    batch = random_batch(4)
    labels, untold = torch.tensor([0, 0, 3, 1]), torch.tensor([True, False, True, True])
    found = task.losses(batch._replace(labels=labels, untold=untold))["loss_class"].item()
    chances = task.model(batch.images, batch.scalars).softmax(1)
    counted = [chances[0, 0] + chances[0, 3], chances[1, 0], chances[2, 3], chances[3, 1]]
    assert found == pytest.approx(-torch.stack(counted).log().mean().item(), rel=1e-5)


def test_labels_that_do_not_tell_bent_galaxies_reach_the_batches_as_such(tmp_path):
    known = drawn_set(3, 1, field="mirabest:a")
    coarse = [dataclasses.replace(cutout, field="radiogalaxynet:b") for cutout in known]
    write_cutouts(tmp_path / "validation" / f"a{CUTOUT_SUFFIX}", [*known, *coarse])
    batch = next(iter(CutoutDataModule(tmp_path, place=ProcessPlace()).val_dataloader()))
    assert batch.untold.tolist() == [False] * 3 + [True] * 3


def test_chosen_sources_are_drawn_more_often(tmp_path):
    cutouts = [dataclasses.replace(drawn_cutout("gauss", row), field=f"{name}:{row}")
               for row, name in enumerate(("mirabest", "other"))]  # fmt: skip
    write_cutouts(tmp_path / "train" / f"a{CUTOUT_SUFFIX}", cutouts)
    factors = CutoutDataModule(tmp_path, feed=CutoutFeedConfig(repeat={"mirabest": 3.0})).draw_factors()
    assert factors[0] == pytest.approx(3.0 * factors[1])
    with pytest.raises(UsageError, match="must not be negative"):
        CutoutFeedConfig(repeat={"mirabest": -1.0})
    with pytest.raises(UsageError, match="1, 4 or 8"):
        CutoutFeedConfig(orientations=3)


def test_batches_depend_on_seed_and_epoch_and_not_on_loader_processes(cutout_folder):
    def epoch(workers, seed=3):
        module = CutoutDataModule(cutout_folder, batch_size=8, workers=workers, seed=seed, place=ProcessPlace())
        batches = list(module.train_dataloader())
        module.teardown()
        return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])

    images, labels = epoch(0)
    again, same = epoch(1)
    assert torch.equal(images, again) and torch.equal(labels, same)
    assert not torch.equal(images, epoch(0, seed=4)[0])
    assert images.shape[1:] == (3, FRAME, FRAME) and torch.isfinite(images).all()


def test_two_processes_share_the_draws_of_one(cutout_folder):
    def drawn(place, batch):
        module = CutoutDataModule(cutout_folder, batch_size=batch, seed=3, place=place)
        return next(iter(module.train_dataloader())).images

    together = drawn(ProcessPlace(), 8)
    parts = [drawn(ProcessPlace(rank, 2), 4) for rank in (0, 1)]
    assert torch.equal(together, torch.stack(parts, dim=1).flatten(0, 1))


def test_rare_classes_are_drawn_more_often_and_doubtful_objects_less(tmp_path):
    common = [drawn_cutout("gauss", number) for number in range(40)]
    rare = [drawn_cutout("FR-II", number) for number in range(4)]
    doubtful = [dataclasses.replace(cutout, confidence=0.5) for cutout in common[:10]]
    unknown = [dataclasses.replace(common[0], word="no such word"), dataclasses.replace(common[0], word="point")]
    write_cutouts(tmp_path / "train" / f"a{CUTOUT_SUFFIX}", [*common[10:], *rare, *doubtful, *unknown])
    module = CutoutDataModule(tmp_path)
    assert len(module.cutouts("train")) == 44 and len(module.labels("train")) == 44
    factors = module.draw_factors()
    assert factors[30] > 1.5 * factors[0] and factors[40] == pytest.approx(0.5 * factors[0])
    sure = CutoutDataModule(tmp_path, feed=CutoutFeedConfig(least_confidence=0.6))
    assert len(sure.cutouts("train")) == 34
    assert len(CutoutDataModule(tmp_path, most_cutouts=10).cutouts("train")) <= 10


def test_validation_sees_cutouts_as_they_are(cutout_folder):
    module = CutoutDataModule(cutout_folder, feed=CutoutFeedConfig(validation_cutouts=10), place=ProcessPlace())
    labels = torch.cat([batch.labels for batch in module.val_dataloader()])
    assert labels.tolist() == module.labels("validation")[::3].tolist()


@pytest.mark.parametrize("cutouts", [None, {"format": "old"}])
def test_data_without_fitting_cutouts_are_refused(cutout_folder, cutouts):
    manifest = json.loads((cutout_folder / "manifest.json").read_text())
    MorphologyKind().check(manifest, RECIPE, data=cutout_folder)
    changed = {name: value for name, value in {**manifest, "cutouts": cutouts}.items() if value is not None}
    with pytest.raises(InputError) as caught:
        MorphologyKind().check(changed, RECIPE, data=cutout_folder)
    assert caught.value.code == "CutoutsDiffer"


def test_a_split_without_a_known_object_is_told(tmp_path):
    unknown = [dataclasses.replace(cutout, word="") for cutout in drawn_set(3, 1)]
    write_cutouts(tmp_path / "test" / f"a{CUTOUT_SUFFIX}", unknown)
    with pytest.raises(InputError, match="prepare more fields"):
        CutoutDataModule(tmp_path).cutouts("test")
