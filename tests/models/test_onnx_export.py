"""The exported parts against the bundle they come from; the steps between them are done here by `export.json` alone."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, nms, roi_align

from neanias_ml.datasets.channels import CHANNEL_NAMES, channels_from_significance
from neanias_ml.errors import ModelError, UsageError
from neanias_ml.models import onnx_export
from neanias_ml.models.bundle import load_bundle, save_bundle
from neanias_ml.models.calibration import OperatingPoint
from neanias_ml.models.onnx_export import export_onnx
from neanias_ml.models.proposals import island_proposals
from neanias_ml.models.settings import BundleSettings
from tests.models.tiles import tiny_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SHIPPED = Path(__file__).parents[2] / "models" / "island-rcnn-small"
THRESHOLDS = (0.15, 0.1, 0.2, 0.1, 0.05)


def write_bundle(folder, **changes):
    model = tiny_model(in_channels=len(CHANNEL_NAMES), **changes).eval()
    point = OperatingPoint(class_temperature=1.7, spurious_temperature=0.6, score_thresholds=THRESHOLDS)
    settings = BundleSettings(
        architecture=model.config,
        pixels_per_beam=6.0,
        channels=CHANNEL_NAMES,
        window_size=64,
        operating_point=point,
        metadata={"name": "tiny"},
    )
    save_bundle(model, folder, settings=settings, card="# Card", storage="float32")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "tiny"
    return folder, export_onnx(bundle, folder)


def sky(seed, shape):
    """Channels (5, ny, nx) of a few sources, and the boxes (I, 4) of their islands."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    snr = rng.standard_normal(shape)
    boxes = []
    for peak, width in ((12.0, 3.0), (60.0, 3.0), (25.0, 8.0), (400.0, 3.5)):
        cy, cx = rng.uniform(14, np.array(shape) - 14)
        snr += peak * np.exp2(-(((y - cy) ** 2 + (x - cx) ** 2) / width**2))
        reach = width * np.sqrt(np.log2(peak / 2.6))
        boxes.append([cx - reach, cy - reach, cx + reach, cy + reach])
    channels = channels_from_significance(snr.astype(np.float32), snr > 3, beam_fwhm_pixels=6.0)
    return torch.from_numpy(channels), np.array(boxes)


class ComposedDetector:
    """The whole detector from an export folder: ONNX parts, torchvision's operations, and the notes' numbers."""

    def __init__(self, folder):
        self.notes = json.loads((folder / "export.json").read_text())
        self.sessions = {
            name: onnxruntime.InferenceSession(str(folder / part["file"]), providers=["CPUExecutionProvider"])
            for name, part in self.notes["parts"].items()
        }

    def run(self, name, *tensors):
        names = [port["name"] for port in self.notes["parts"][name]["inputs"]]
        fed = {key: np.ascontiguousarray(tensor.numpy()) for key, tensor in zip(names, tensors, strict=True)}
        return [torch.from_numpy(array) for array in self.sessions[name].run(None, fed)]

    def detect(self, image, proposals):
        """Class probabilities and P(spurious) of the proposals; boxes, labels, scores, masks of the detections."""
        steps, shape = self.notes["outside"], image.shape[1:]
        maps = self.run("backbone", image[None])
        own = self.clean(proposals, shape)
        regions = own
        if "rpn_head" in self.sessions:
            regions = torch.cat([own, self.clean(self.suggested(maps, shape), shape)])
        logits, deltas, artefact, _ = self.run(
            "region_head", self.pool(maps, regions, steps["roi_align"]["size_for_region_head"]), regions
        )
        probabilities = torch.softmax(logits / steps["probabilities"]["class_temperature"], dim=1)
        spurious = torch.sigmoid(artefact / steps["probabilities"]["spurious_temperature"])
        select = steps["selection"]
        by_class, decoded = probabilities[:, 1:], self.clean(self.decode(deltas, regions, steps["box_decoding"]), shape)
        limits = torch.tensor([select["score_thresholds"][name] for name in self.notes["outputs"][1:]])
        scores, labels = torch.where(by_class >= limits, by_class, torch.tensor(-1.0)).max(dim=1)
        rows = torch.nonzero(scores >= 0)[:, 0]
        rows = rows[nms(decoded[rows], scores[rows], select["nms_iou"])][: select["detections_per_window"]]
        (mask_logits,) = self.run("mask_head", self.pool(maps, decoded[rows], steps["roi_align"]["size_for_mask_head"]))
        n = len(own)
        return probabilities[:n], spurious[:n], (decoded[rows], labels[rows] + 1, scores[rows], mask_logits.sigmoid())

    def suggested(self, maps, shape):
        """Proposals of the RPN."""
        notes, outputs = self.notes["outside"]["rpn_proposals"], self.run("rpn_head", *maps)
        kept = []
        for level, (objectness, deltas) in enumerate(zip(outputs[:5], outputs[5:], strict=True)):
            cells = torch.tensor(notes["cell_anchors"][level])
            rows, columns = objectness.shape[2:]
            stride_y, stride_x = shape[0] // rows, shape[1] // columns
            y, x = torch.meshgrid(torch.arange(rows) * stride_y, torch.arange(columns) * stride_x, indexing="ij")
            shifts = torch.stack([x, y, x, y], dim=2).float()
            anchors = (shifts[:, :, None] + cells).reshape(-1, 4)
            codes = deltas[0].reshape(len(cells), 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)
            scores, top = objectness[0].permute(1, 2, 0).reshape(-1).sort(descending=True, stable=True)
            top, scores = top[: notes["pre_nms_top_n"]], scores[: notes["pre_nms_top_n"]]
            boxes = self.decode(codes[top], anchors[top], notes["decoding"])
            boxes[:, 0::2] = boxes[:, 0::2].clamp(0, shape[1])
            boxes[:, 1::2] = boxes[:, 1::2].clamp(0, shape[0])
            large = ((boxes[:, 2:] - boxes[:, :2]) >= notes["min_side"]).all(dim=1)
            kept.append((boxes[large], scores[large], torch.full((int(large.sum()),), level)))
        boxes, scores, levels = (torch.cat(column) for column in zip(*kept, strict=True))
        return boxes[batched_nms(boxes, scores, levels, notes["nms_iou"])][: notes["post_nms_top_n"]]

    def pool(self, maps, boxes, size):
        """One region after another, each from its level."""
        levels, align = self.notes["outside"]["level_assignment"], self.notes["outside"]["roi_align"]
        how = (align["sampling_ratio"], align["aligned"])
        pooled = [torch.zeros(0, maps[0].shape[1], size, size)]
        for box in boxes:
            side = float((box[2] - box[0]) * (box[3] - box[1])) ** 0.5
            n = levels["n_levels"]
            level = int(np.clip(np.floor(n - 1 + np.log2(side / levels["coarsest_size"]) + levels["margin"]), 0, n - 1))
            pooled.append(roi_align(maps[level], [box[None]], size, 1 / align["strides"][level], *how))
        return torch.cat(pooled)

    def clean(self, boxes, shape):
        least = self.notes["outside"]["box_clean_up"]["min_side"]
        cleaned = []
        for x0, y0, x1, y1 in boxes.tolist():
            spans = []
            for start, stop, limit in ((x0, x1, shape[1]), (y0, y1, shape[0])):
                low, high = np.clip([start, stop], 0, limit)
                grow = max(least - (high - low), 0) / 2
                move = max(grow - low, 0) - max(high + grow - limit, 0)
                spans.append((low - grow + move, high + grow + move))
            cleaned.append([spans[0][0], spans[1][0], spans[0][1], spans[1][1]])
        return torch.tensor(cleaned, dtype=torch.float32).reshape(-1, 4)

    @staticmethod
    def decode(codes, boxes, notes):
        code = codes / torch.tensor(notes["weights"])
        sides = boxes[:, 2:] - boxes[:, :2]
        centre = (boxes[:, 2:] + boxes[:, :2]) / 2 + code[:, :2] * sides
        half = torch.exp(code[:, 2:].clamp(max=notes["clip"])) * sides / 2
        return torch.cat([centre - half, centre + half], dim=1)


def assert_same_detector(bundle_folder, export_folder, image, islands):
    proposals = torch.from_numpy(island_proposals(islands, pixels_per_beam=6.0, shape=image.shape[1:]).boxes)
    torch.set_num_threads(1)
    expected = load_bundle(bundle_folder).model.predict(image[None], [proposals])[0]
    probabilities, spurious, (boxes, labels, scores, masks) = ComposedDetector(export_folder).detect(image, proposals)
    torch.testing.assert_close(probabilities, expected.readout_probabilities, rtol=0, atol=1e-4)
    torch.testing.assert_close(spurious, expected.readout_spurious, rtol=0, atol=1e-4)
    assert len(expected) > 0
    with_rpn = (Path(export_folder) / "rpn_head.onnx").exists()
    assert bool((expected.proposal_index < 0).any()) == with_rpn, "the RPN's proposals are to be among the detections"
    torch.testing.assert_close(labels, expected.labels)
    torch.testing.assert_close(boxes, expected.boxes, rtol=0, atol=5e-3)
    torch.testing.assert_close(scores, expected.scores, rtol=0, atol=1e-4)
    torch.testing.assert_close(masks, expected.masks, rtol=0, atol=1e-3)


def test_the_parts_make_up_the_detector(bundle, exported):
    folder, _ = exported
    assert_same_detector(bundle, folder, *sky(3, (96, 128)))


def test_the_shipped_model(tmp_path):
    report = export_onnx(SHIPPED, tmp_path / "export")
    assert report.bundle_digest == load_bundle(SHIPPED).digest
    assert all(difference.relative < 1e-5 for difference in report.differences.values())
    assert_same_detector(SHIPPED, tmp_path / "export", *sky(5, (128, 96)))


def test_sizes_and_numbers_are_free(bundle, exported):
    folder, _ = exported
    model = load_bundle(bundle).model
    session = onnxruntime.InferenceSession(str(folder / "backbone.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 5, 32, 32), (3, 5, 32, 160), (2, 5, 224, 64)):
        images = torch.randn(shape, generator=torch.Generator().manual_seed(4))
        with torch.no_grad():
            expected = model.backbone(images)
        found = session.run(["pool", "level_0"], {"images": images.numpy()})
        np.testing.assert_allclose(found[0], expected["pool"].numpy(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(found[1], expected["0"].numpy(), rtol=0, atol=1e-4)
    heads = onnxruntime.InferenceSession(str(folder / "region_head.onnx"), providers=["CPUExecutionProvider"])
    for number in (0, 1, 7):
        fed = {"pooled": np.ones((number, 16, 7, 7), np.float32), "boxes": np.ones((number, 4), np.float32)}
        assert [len(output) for output in heads.run(None, fed)] == [number] * 4


def test_the_notes_describe_the_files(bundle, exported):
    folder, report = exported
    notes = json.loads((folder / "export.json").read_text())
    assert notes["bundle"] == {"digest": load_bundle(bundle).digest, "name": "tiny"}
    assert sorted(path.name for path in folder.iterdir()) == sorted([*report.sizes, "export.json"])
    for part in notes["parts"].values():
        content = (folder / part["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
        proto = onnx.load_model_from_string(content)
        assert {item.version for item in proto.opset_import if not item.domain} == {notes["opset"]}
        assert not any(weight.HasField("data_location") and weight.data_location for weight in proto.graph.initializer)
        for side, values in (("inputs", proto.graph.input), ("outputs", proto.graph.output)):
            shapes = {
                value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
                for value in values
            }
            assert shapes == {port["name"]: port["shape"] for port in part[side]}
    select = notes["outside"]["selection"]["score_thresholds"]
    assert tuple(select.values()) == THRESHOLDS
    differences = notes["check"]["differences"]
    assert set(differences) == set(report.sizes)
    assert all(0 <= value["relative"] <= value["absolute"] < 1e-4 for value in differences.values())
    assert any(value["relative"] > 0 for value in differences.values())  # two programs never agree in every bit


def test_the_files_hold_no_place_of_this_machine(exported):
    folder, _ = exported
    for path in folder.glob("*.onnx"):
        content = path.read_bytes()
        assert b"site-packages" not in content and str(Path.cwd()).encode() not in content, path.name


def test_report_in_lines(exported):
    folder, report = exported
    text = "\n".join(report.lines())
    assert str(folder) in text and report.bundle_digest[:16] in text
    assert all(name in text for name in report.sizes)


def test_without_an_rpn_there_is_no_rpn_file_and_an_old_one_goes(tmp_path, capfd, recwarn):
    plain = write_bundle(tmp_path / "plain", proposal_mode="replace", stem_pool=True)
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "rpn_head.onnx").write_bytes(b"of an earlier export")
    export_onnx(plain, folder, overwrite=True)
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)
    assert sorted(path.name for path in folder.iterdir()) == [
        "backbone.onnx", "export.json", "mask_head.onnx", "region_head.onnx"
    ]  # fmt: skip
    notes = json.loads((folder / "export.json").read_text())
    assert "rpn_proposals" not in notes["outside"]
    assert notes["outside"]["roi_align"]["strides"] == [4, 8, 16, 32]
    assert_same_detector(plain, folder, *sky(3, (96, 128)))


def test_an_earlier_export_is_kept(bundle, exported):
    folder, _ = exported
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UsageError) as caught:
        export_onnx(bundle, folder)
    assert caught.value.code == "OutputExists"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_export_that_differs_leaves_nothing(tmp_path, bundle, monkeypatch):
    convert = onnx_export.to_onnx

    def with_another_weight(part, example):
        proto = convert(part, example)
        weight = next(weight for weight in proto.graph.initializer if len(weight.dims) >= 2)
        values = onnx.numpy_helper.to_array(weight).copy()
        values[0] += 0.01
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return proto

    monkeypatch.setattr(onnx_export, "to_onnx", with_another_weight)
    with pytest.raises(ModelError, match=r"backbone\.onnx") as caught:
        export_onnx(bundle, tmp_path / "export")
    assert caught.value.code == "ExportDiffers"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_remedy(tmp_path, bundle, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"{package} cannot.*pip install neanias_ml\[export\]") as caught:
        export_onnx(bundle, tmp_path / "export")
    assert caught.value.code == "ExportMissing"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_is_not_exported(tmp_path, bundle):
    with pytest.raises(ModelError) as caught:
        export_onnx(tmp_path / "nowhere", tmp_path / "export")
    assert caught.value.code == "BundleMissing"
    assert not (tmp_path / "export").exists()
