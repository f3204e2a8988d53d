"""Masks decode to the label map with COCO's own tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from neanias_ml.catalogue.masks import class_scores, compress_runs, run_lengths, write_masks
from neanias_ml.catalogue.sources import Sources
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.models.classes import CLASS_NAMES


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))).filter(np.any))
@settings(max_examples=80, deadline=None)
def test_compressed_runs_equal_those_of_pycocotools(mask: np.ndarray) -> None:
    runs = run_lengths(np.flatnonzero(mask.T.ravel()), mask.size)
    assert runs.sum() == mask.size
    assert compress_runs(runs) == coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()


def test_long_runs_are_compressed_as_by_pycocotools() -> None:
    mask = np.zeros((3000, 1500), dtype=np.uint8)
    mask[17:2900, 40:1400] = 1
    mask[1000, 700] = 0
    runs = run_lengths(np.flatnonzero(mask.T.ravel()), mask.size)
    assert compress_runs(runs) == coco_mask.encode(np.asfortranarray(mask))["counts"].decode()


@pytest.fixture
def coco(extraction: Extraction, catalogue: ObjectCatalogue, tmp_path: Path) -> COCO:
    """The written file as COCO's tools see it."""
    write_masks(Sources.from_results(extraction, catalogue), catalogue.objects, tmp_path / "masks.json")
    return COCO(str(tmp_path / "masks.json"))


def test_masks_are_the_labels(coco: COCO, extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    painted = np.zeros(extraction.radio_map.shape, dtype=np.int64)
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation).astype(bool)
        assert annotation["area"] == mask.sum()
        assert not painted[mask].any()
        painted[mask] = annotation["object_id"]
        ys, xs = np.nonzero(mask)
        assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    object_of_label = np.concatenate([[0], catalogue.island_object_ids])
    assert np.array_equal(painted, object_of_label[extraction.islands.labels])


def test_annotations_carry_class_and_score(coco: COCO, extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    image = coco.dataset["images"][0]
    assert (image["height"], image["width"]) == extraction.radio_map.shape
    assert {category["id"]: category["name"] for category in coco.dataset["categories"]} == dict(
        enumerate(CLASS_NAMES, 1)
    )
    for row, annotation in enumerate(coco.dataset["annotations"]):
        name = catalogue.objects.class_name[row]
        column = {"extended-multisland": "p_multisland"}.get(name, f"p_{name}")
        assert CLASS_NAMES[annotation["category_id"] - 1] == name
        assert annotation["score"] == pytest.approx(getattr(catalogue.objects, column)[row], abs=1e-6)
        assert annotation["object_id"] == catalogue.objects.object_id[row]


def test_unknown_score_is_null_and_an_empty_catalogue_is_legal(
    extraction: Extraction,
    catalogue: ObjectCatalogue,
    empty_extraction: Extraction,
    make_catalogue: Callable[..., ObjectCatalogue],
    tmp_path: Path,
) -> None:
    unknown = catalogue.objects.replace(
        **{f"p_{n}": np.full(len(catalogue.objects), np.nan) for n in ("compact", "flagged")}
    )
    write_masks(Sources.from_results(extraction, catalogue), unknown, tmp_path / "masks.json")
    scores = [annotation["score"] for annotation in json.loads((tmp_path / "masks.json").read_text())["annotations"]]
    assert [score is None for score in scores] == np.isnan(class_scores(unknown)).tolist() and None in scores
    nothing = make_catalogue(empty_extraction)
    write_masks(Sources.from_results(empty_extraction, nothing), nothing.objects, tmp_path / "empty.json")
    assert COCO(str(tmp_path / "empty.json")).getAnnIds() == []
