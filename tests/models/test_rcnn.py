from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from neanias_ml.models import rcnn
from neanias_ml.models.backbone import build_rpn
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.heads import RegionHead
from neanias_ml.models.masks import paste_masks
from neanias_ml.models.proposals import island_proposals
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.region_training import sample_regions
from tests.models.tiles import SIDE, blob_tile, empty_target, tiny_config, tiny_model, two_blobs

NO_PROPOSALS = torch.zeros((0, 4))
LOSSES = {"loss_class", "loss_box", "loss_artefact", "loss_mask", "loss_objectness", "loss_rpn_box"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained():
    """A tiny model after a short training on one tile, with its first and last loss."""
    torch.set_num_threads(1)
    image, target = two_blobs()
    islands = target["boxes"] + torch.tensor([-1.0, -1.0, 1.0, 1.0])
    model = tiny_model().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(45):
        loss = sum(model(image[None], [islands], [target]).values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return model.eval(), image, islands, target, losses


def test_overfits_one_tile(trained):
    model, image, islands, target, losses = trained
    assert losses[-1] < losses[0] / 4
    prediction = model.predict(image[None], [islands])[0]
    assert sorted(prediction.labels[:2].tolist()) == [1, 2]
    for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
        row = int(torch.nonzero(prediction.labels == label)[0, 0])
        assert (prediction.boxes[row] - box).abs().max() < 2.5
        pasted = paste_masks(prediction.boxes[row : row + 1], prediction.masks[row : row + 1], (SIDE, SIDE))[0]
        assert (pasted & mask).sum() / (pasted | mask).sum() > 0.5
    assert prediction.readout_probabilities.argmax(dim=1).tolist() == target["labels"].tolist()
    assert prediction.readout_spurious[1] > 0.5 > prediction.readout_spurious[0]


def test_an_image_alone_or_in_a_batch(trained):
    model, image, islands, _, _ = trained
    other = image.flip(2)
    together = model.predict(torch.stack([other, image, torch.zeros_like(image)]), [NO_PROPOSALS, islands, islands])
    for single, batched in zip(model.predict(image[None], [islands]), together[1:2], strict=True):
        assert torch.equal(single.labels, batched.labels)
        assert torch.equal(single.proposal_index, batched.proposal_index)
        for name in ("boxes", "scores", "probabilities", "spurious", "masks", "readout_probabilities"):
            torch.testing.assert_close(getattr(single, name), getattr(batched, name), rtol=1e-3, atol=1e-4)
    assert len(together[0].readout_probabilities) == 0


def test_readout_follows_the_order_of_the_proposals(trained):
    model, image, islands, _, _ = trained
    forward = model.predict(image[None], [islands])[0]
    backward = model.predict(image[None], [islands.flip(0)])[0]
    torch.testing.assert_close(forward.readout_probabilities, backward.readout_probabilities.flip(0))
    torch.testing.assert_close(forward.readout_spurious, backward.readout_spurious.flip(0))
    torch.testing.assert_close(forward.readout_embedding, backward.readout_embedding.flip(0))
    torch.testing.assert_close(forward.boxes, backward.boxes)
    torch.testing.assert_close(forward.probabilities.sum(dim=1), torch.ones(len(forward)))
    own = forward.proposal_index >= 0
    assert own.any()
    rows = forward.proposal_index[own]
    torch.testing.assert_close(forward.probabilities[own], forward.readout_probabilities[rows])


def test_temperature_flattens_probabilities_without_changing_classes(trained):
    model, image, islands, _, _ = trained
    sharp = model.predict(image[None], [islands])[0]
    cool = IslandRCNN(model.config, operating_point=OperatingPoint(class_temperature=3.0, spurious_temperature=3.0))
    cool.load_state_dict(model.state_dict())
    flat = cool.eval().predict(image[None], [islands])[0]
    expected = torch.softmax(sharp.readout_probabilities.double().log() / 3, dim=1).float()
    torch.testing.assert_close(flat.readout_probabilities, expected, rtol=1e-3, atol=1e-5)
    assert (flat.readout_spurious - 0.5).abs().max() < (sharp.readout_spurious - 0.5).abs().max()


def test_per_class_threshold_silences_that_class_only(trained):
    model, image, islands, _, _ = trained
    model.operating_point = OperatingPoint(score_thresholds=(1.0, 0.05, 0.05, 0.05, 0.05))
    try:
        labels = model.predict(image[None], [islands])[0].labels.tolist()
    finally:
        model.operating_point = OperatingPoint()
    assert 2 in labels and 1 not in labels


@pytest.mark.parametrize("mode", ["augment", "replace"])
def test_proposals_reach_the_region_head(mode, monkeypatch):
    seen = []
    original = RegionHead.forward

    def watched(self, pooled, boxes):
        seen.append(boxes)
        return original(self, pooled, boxes)

    monkeypatch.setattr(RegionHead, "forward", watched)
    image, target = two_blobs()
    islands = torch.tensor([[3.0, 5.0, 9.0, 12.0], [40.0, 41.0, 63.0, 60.0]])
    model = tiny_model(proposal_mode=mode, regions_per_image=1000)
    model.eval().predict(image[None], [islands])
    model.train()(image[None], [islands], [target])
    evaluated, trained_on = seen
    assert torch.equal(evaluated[:2], islands)
    for box in islands:
        assert (trained_on == box).all(dim=1).any()
    for box in target["boxes"]:  # true boxes are learnt from, but never seen in evaluation
        assert (trained_on == box).all(dim=1).any()
        assert not (evaluated == box).all(dim=1).any()
    assert (len(evaluated) == 2) == (mode == "replace")


@pytest.mark.parametrize("mode", ["augment", "replace"])
def test_empty_tile_trains_and_evaluates(mode):
    image, _ = two_blobs()
    model = tiny_model(proposal_mode=mode).train()
    losses = model(image[None], [NO_PROPOSALS], [empty_target()])
    assert losses.keys() == (LOSSES if mode == "augment" else LOSSES - {"loss_objectness", "loss_rpn_box"})
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert losses["loss_box"] == losses["loss_mask"] == losses["loss_artefact"] == 0
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    prediction = model.eval().predict(image[None], [NO_PROPOSALS])[0]
    assert prediction.readout_probabilities.shape == (0, 6)
    assert mode == "augment" or len(prediction) == 0


def test_islands_of_an_empty_tile_are_background():
    image, _ = two_blobs()
    model = tiny_model(proposal_mode="replace").train()
    islands = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    losses = model(image[None], [islands], [empty_target()])
    # with one region, the class loss is -log of the probability of background
    model.region_head.class_logits.bias.data[0] += 50
    assert losses["loss_class"] > 0.5
    assert model(image[None], [islands], [empty_target()])["loss_class"] < 1e-3


def test_batch_with_and_without_objects_under_bfloat16():
    image, target = two_blobs()
    images = torch.stack([image, image * 0]).to(memory_format=torch.channels_last)
    islands = [target["boxes"], NO_PROPOSALS]
    model = tiny_model().to(memory_format=torch.channels_last).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, islands, [target, empty_target()])
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_bfloat16_keeps_boxes_and_classes(trained):
    model, image, islands, _, _ = trained
    exact = model.predict(image[None], [islands])[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = model.predict(image[None], [islands])[0]
    assert half.boxes.dtype == half.scores.dtype == half.masks.dtype == torch.float32
    assert torch.equal(half.labels[:2].sort().values, exact.labels[:2].sort().values)
    torch.testing.assert_close(half.readout_probabilities, exact.readout_probabilities, rtol=0, atol=0.1)


def test_more_than_a_hundred_detections_and_a_cap_that_is_reported():
    side = 256
    grid = [(9.0 + 16 * column, 9.0 + 16 * row, 2.0) for row in range(15) for column in range(15)]
    image, boxes, _ = blob_tile(grid, side)
    model = tiny_model(proposal_mode="replace", detections_per_window=150).eval()
    model.region_head.class_logits.bias.data[2] += 20
    prediction = model.predict(image[None], [boxes])[0]
    assert len(prediction) == 150
    assert prediction.n_dropped == 75
    assert len(prediction.readout_probabilities) == 225


def test_a_larger_window_may_hold_more_detections():
    image, boxes, _ = blob_tile([(9.0 + 32 * (k % 16), 9.0 + 32 * (k // 16), 2.0) for k in range(250)], 512)
    model = tiny_model(proposal_mode="replace", detections_per_window=60).eval()
    model.region_head.class_logits.bias.data[2] += 20
    prediction = model.predict(image[None], [boxes])[0]
    assert len(prediction) == 4 * 60 and prediction.n_dropped == 10


def test_two_hundred_compact_islands_of_a_window_are_all_detected():
    """At the default limits, with islands and their enlargements as proposals: nothing is left out."""
    image, boxes, _ = blob_tile([(9.0 + 17 * (k % 15), 9.0 + 17 * (k // 15), 2.0) for k in range(225)], 256)
    model = tiny_model(proposal_mode="replace").eval()
    model.region_head.class_logits.bias.data[2] += 20
    proposals = island_proposals(boxes.numpy(), pixels_per_beam=6.0, shape=(256, 256), unions_per_tile=0)
    prediction = model.predict(image[None], [torch.from_numpy(proposals.boxes)])[0]
    assert prediction.n_dropped == 0 and len(prediction.readout_probabilities) == len(proposals)
    covered = box_iou(torch.from_numpy(proposals.boxes[:225]), prediction.boxes).max(dim=1).values
    assert (covered > model.config.nms_iou).all() and len(prediction) > 200


def test_regions_are_looked_at_in_parts_without_a_difference(monkeypatch):
    image, boxes, _ = blob_tile([(9.0 + 16 * (k % 15), 9.0 + 16 * (k // 15), 2.0) for k in range(60)], 256)
    model = tiny_model().eval()
    whole = model.predict(image[None], [boxes])[0]
    monkeypatch.setattr(rcnn, "REGIONS_AT_ONCE", 7)
    monkeypatch.setattr(rcnn, "MASKS_AT_ONCE", 3)
    parts = model.predict(image[None], [boxes])[0]
    assert len(whole) > 7
    for name in ("boxes", "scores", "labels", "masks", "readout_probabilities", "readout_embedding"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-5)


def test_an_rpn_alone_reads_islands_out_but_neither_learns_from_nor_detects_them(monkeypatch):
    seen = []
    original = RegionHead.forward

    def watched(self, pooled, boxes):
        seen.append(boxes)
        return original(self, pooled, boxes)

    monkeypatch.setattr(RegionHead, "forward", watched)
    image, target = two_blobs()
    islands = torch.tensor([[3.0, 5.0, 9.0, 12.0], [40.0, 41.0, 63.0, 60.0]])
    model = tiny_model(proposal_mode="rpn", regions_per_image=1000)
    losses = model.train()(image[None], [islands], [target])
    assert losses.keys() == LOSSES
    assert not any((seen[0] == box).all(dim=1).any() for box in islands)
    model.eval().region_head.class_logits.bias.data[2] += 20
    prediction = model.predict(image[None], [islands])[0]
    assert len(prediction.readout_probabilities) == 2 and len(prediction) > 0
    assert (prediction.proposal_index == -1).all()


def test_an_rpn_proposes_as_densely_in_a_larger_window():
    model = tiny_model(rpn_proposals=7)
    assert [model.rpn.limits(shape) for shape in ((64, 64), (256, 256), (512, 512))] == [
        (1000, 7), (1000, 7), (1000, 28),
    ]  # fmt: skip
    assert build_rpn(tiny_config(rpn_proposals=400)).limits((512, 512)) == (6400, 1600)
    image, _, _ = blob_tile([(60.0, 60.0, 3.0)], 512)
    model.region_head.class_logits.bias.data[2] += 20
    seen = {}
    model.rpn.register_forward_hook(lambda module, given, out: seen.update(count=len(out[0][0])))
    model.eval().predict(image[None], [NO_PROPOSALS])
    assert seen["count"] == 28


@pytest.mark.parametrize("mode", ["augment", "replace", "rpn"])
def test_a_window_of_blanks_holds_nothing_that_is_not_finite(mode):
    model = tiny_model(proposal_mode=mode).eval()
    prediction = model.predict(torch.zeros((1, 2, SIDE, SIDE)), [NO_PROPOSALS])[0]
    assert torch.isfinite(prediction.boxes).all() and torch.isfinite(prediction.scores).all()
    assert mode != "replace" or len(prediction) == 0


def test_overlapping_classes_compete():
    """Two regions on one source: one detection remains, whatever their classes."""
    image, target = two_blobs()
    model = tiny_model(proposal_mode="replace").eval()
    model.region_head.class_logits.bias.data[1:3] += 20
    box = target["boxes"][:1]
    prediction = model.predict(image[None], [torch.cat([box, box + 0.5, box])])[0]
    assert len(prediction) == 1


def test_degenerate_boxes_are_harmless():
    image, target = two_blobs()
    point, outside = [5.0] * 4, [70.0, 70.0, 90.0, 90.0]
    upside_down, larger = [30.0, 30.0, 20.0, 20.0], [-9.0, -9.0, 200.0, 200.0]
    strange = torch.tensor([point, outside, upside_down, larger])
    target["boxes"] = torch.tensor([[16.0, 20.0, 16.0, 20.0], [35.0, 31.0, 54.0, 50.0]])
    model = tiny_model().train()
    assert torch.isfinite(sum(model(image[None], [strange], [target]).values()))
    prediction = model.eval().predict(image[None], [strange])[0]
    assert torch.isfinite(prediction.readout_probabilities).all()
    assert (prediction.boxes >= 0).all() and (prediction.boxes <= SIDE).all()
    assert (prediction.boxes[:, 2:] - prediction.boxes[:, :2] >= 0.99).all()


def test_part_of_an_object_teaches_the_artefact_head_alone():
    """A region inside a true box, too small to be positive, is background but known to be spurious."""
    _, target = two_blobs()
    x0, y0, _, _ = target["boxes"][1].tolist()
    part, elsewhere = [x0 + 2, y0 + 2, x0 + 8, y0 + 8], [1.0, 50.0, 9.0, 58.0]
    sample = sample_regions(torch.tensor([part, elsewhere]), target, tiny_config())
    rows = {tuple(box): row for row, box in enumerate(sample.boxes.tolist())}
    assert len(rows) == 4
    assert sample.labels[rows[tuple(part)]] == sample.labels[rows[tuple(elsewhere)]] == 0
    assert sample.artefact_known[rows[tuple(part)]] and sample.spurious[rows[tuple(part)]]
    assert not sample.artefact_known[rows[tuple(elsewhere)]]
    true_rows = [rows[tuple(box)] for box in target["boxes"].tolist()]
    assert sample.labels[true_rows].tolist() == [2, 1]
    assert sample.spurious[true_rows].tolist() == [False, True]


def test_batch_normalisation_and_every_layer_are_trainable():
    model = tiny_model()
    assert all(weight.requires_grad for weight in model.parameters())
    assert not any("Frozen" in type(module).__name__ for module in model.modules())


def test_default_size_is_that_of_resnet18():
    torch.manual_seed(0)
    count = sum(weight.numel() for weight in IslandRCNN(IslandRCNNConfig()).parameters())
    assert 12e6 < count < 15e6


def test_misuse_is_said_plainly():
    image, target = two_blobs()
    model = tiny_model().train()
    with pytest.raises(ValueError, match="needs targets"):
        model(image[None], [NO_PROPOSALS])
    with pytest.raises(ValueError, match="multiples of 32"):
        model(image[None, :, :50], [NO_PROPOSALS], [target])
    with pytest.raises(ValueError, match=r"\(B, 2, H, W\)"):
        model(image[None, :1], [NO_PROPOSALS], [target])
    with pytest.raises(ValueError, match="as many proposal"):
        model(image[None], [], [target])
    with pytest.raises(ValueError, match="as many targets"):
        model(image[None], [NO_PROPOSALS], [])
    with pytest.raises(ValueError, match="not finite"):
        model(image[None], [torch.tensor([[0.0, 0.0, float("nan"), 5.0]])], [target])
    with pytest.raises(ValueError, match="labels and masks"):
        model(image[None], [NO_PROPOSALS], [{**target, "masks": target["masks"][:, :32]}])
    with pytest.raises(ValueError, match="evaluation mode"):
        model.predict(image[None], [NO_PROPOSALS])
