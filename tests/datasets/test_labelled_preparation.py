"""From labelled real maps to shards: labels on islands, splits by sky, weights, digests."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from neanias_ml.datasets.channels import significance
from neanias_ml.datasets.fields import cut_tile, extract_islands, favoured_windows, prepare_labelled
from neanias_ml.datasets.labelled_truth import labelled_truth, object_map
from neanias_ml.datasets.labels.coco import write_coco
from neanias_ml.datasets.labels.labelled import LabelledImage, LabelledObject, LabelSet
from neanias_ml.datasets.labels.run_length import RunLengthMask
from neanias_ml.datasets.manifest import read_manifest
from neanias_ml.datasets.prepare import PreparationConfig, RealSource, is_prepared, prepare_data
from neanias_ml.datasets.prepare_maps import MapTask, opened, prepared_map, real_tasks
from neanias_ml.datasets.shards import read_tiles
from neanias_ml.datasets.sky_splits import SplitShares, overlapping_splits, read_membership
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.errors import InputError
from neanias_ml.extraction import FinderConfig
from neanias_ml.maps import Beam, RadioMap, Window, read_map
from tests.datasets.real_makers import gaussians, write_map

CLASS_LABELS = {"spurious": 1, "compact": 2, "extended": 3, "extended-multisland": 4, "flagged": 5}
TINY = PreparationConfig(
    train_fields=1, validation_fields=0, test_fields=0, field_sizes=(192,), tiles_per_field=3, fields_per_shard=4,
    tile_size=96, shares=SplitShares(train=0.6, validation=0.2, test=0.2),
)  # fmt: skip
BEAM_SIGMA = 1.27
SPOTS = {"a": (60, 60), "b": (100, 60), "c": (60, 160), "d": (160, 160), "e": (173, 160), "f": (110, 205)}
"""Six bright points; d and e are bridged into one island."""


def spotted(seed=0):
    sources = [(40.0, x, y, BEAM_SIGMA, BEAM_SIGMA) for x, y in SPOTS.values()] + [(12.0, 166, 160, 8.0, 1.5)]
    noise = np.random.default_rng(seed).normal(size=(240, 240))
    return gaussians((240, 240), sources) + noise


def disc(*names, radius=5):
    y, x = np.mgrid[:240, :240]
    return np.any([np.hypot(x - SPOTS[name][0], y - SPOTS[name][1]) < radius for name in names], axis=0)


def labelled(class_name, mask, **more):
    return LabelledObject(class_name, RunLengthMask.of(mask), **more)


@pytest.fixture(scope="module")
def labelled_image():
    objects = (
        labelled("extended", disc("a", "b")),
        labelled("extended-multisland", disc("c")),
        labelled("compact", disc("d")),
        labelled("compact", np.hypot(*(np.mgrid[:240, :240] - 20)) < 4),
        labelled("unlabelled", disc("f"), ignored=True),
    )
    return LabelledImage(Path("spots.fits"), (240, 240), objects)


@pytest.fixture(scope="module")
def spots():
    return RadioMap.from_array(spotted() * 1e-4, beam=Beam(5.4 / 3600, 5.4 / 3600), pixel_scale=1.8 / 3600)


def matched(image, radio_map, **options):
    extraction = extract_islands(radio_map, config=FinderConfig())
    background, noise = extraction.noise.evaluate()
    found = labelled_truth(
        image, extraction.islands, significance=significance(radio_map.data, background, noise), **options
    )
    at = {name: int(extraction.islands.labels[y, x]) - 1 for name, (x, y) in SPOTS.items()}
    return extraction, found, at


def test_labels_are_matched_with_islands(labelled_image, spots):
    extraction, found, at = matched(labelled_image, spots)
    assert at["d"] == at["e"] and min(at.values()) >= 0
    truth = found.truth
    owner = {name: int(truth.island_instance[row]) for name, row in at.items()}
    assert owner["a"] == owner["b"] > 0 and truth.class_names[owner["a"] - 1] == "extended-multisland"
    assert truth.class_names[owner["c"] - 1] == "extended"
    assert owner["d"] == IGNORED  # most of that island belongs to something without a label
    assert owner["f"] == IGNORED
    assert truth.object_ids.tolist() == [1, 2]
    assert (found.n_labelled, found.n_recovered) == (4, 2)
    for name, (x, y) in SPOTS.items():
        assert truth.labels[y, x] == owner[name]
    assert (truth.labels[disc(*SPOTS, radius=14) & (extraction.islands.labels == 0)] <= 2).all()
    assert found.n_ignored_islands == (truth.island_instance == IGNORED).sum() >= 2


def test_islands_without_a_label_are_background_where_labels_are_complete(spots):
    image = LabelledImage(Path("spots.fits"), (240, 240), (labelled("compact", disc("a")),))
    _, unknown, at = matched(image, spots)
    _, complete, _ = matched(image, spots, is_exhaustive=True)
    assert unknown.truth.island_instance[at["f"]] == IGNORED and unknown.truth.labels[205, 110] == IGNORED
    assert complete.truth.island_instance[at["f"]] == 0 and complete.truth.labels[205, 110] == 0
    assert complete.truth.island_instance[at["a"]] == unknown.truth.island_instance[at["a"]] == 1


def test_of_overlapping_labels_the_small_one_is_on_top():
    image = LabelledImage(
        Path("x.fits"),
        (240, 240),
        (
            labelled("compact", disc("a", radius=4)),
            labelled("extended", disc("a", radius=20)),
            labelled("unlabelled", disc("a", radius=2), ignored=True),
        ),
    )
    numbers = object_map(image)
    assert numbers[60, 60] == 1 and numbers[60, 70] == 2 and set(np.unique(numbers)) == {0, 1, 2}


def prepare_spots(radio_map, image, **options):
    return prepare_labelled(radio_map, image, name="s", finder=FinderConfig(), class_labels=CLASS_LABELS, **options)


def test_maps_without_objects_or_without_pixels_give_fields(labelled_image, spots):
    nobody = LabelledImage(Path("x.fits"), (240, 240), ())
    field = prepare_spots(spots, nobody)
    assert len(field.labels) == 0 and (field.island_instance == IGNORED).all() and len(field.island_instance) >= 5
    assert len(favoured_windows(field, np.random.default_rng(0), count=1, size=96, random_share=0.0)) == 1
    beam = Beam(5.4 / 3600, 5.4 / 3600)
    blank = RadioMap.from_array(np.full((240, 240), np.nan), beam=beam, pixel_scale=1.8 / 3600)
    field = prepare_spots(blank, labelled_image)
    assert not field.channels.any() and field.n_labelled == 4 and len(field.labels) == 0
    tile = cut_tile(field, Window(0, 96, 0, 96))
    assert not tile.valid.any() and len(tile.island_boxes) == 0
    with pytest.raises(InputError, match="classes are spurious") as caught:
        prepare_spots(spots, labelled_image.replace(objects=(labelled("galaxy", disc("a")),)))
    assert caught.value.code == "ClassUnknown"


@pytest.fixture(scope="module")
def own_labels(tmp_path_factory):
    """Twelve maps; two of them show the same sky, one is blank and one has no label."""
    folder = tmp_path_factory.mktemp("own")
    images = []
    for number in range(12):
        path = folder / f"map{number}.fits"
        pixels = spotted(number) if number != 3 else np.full((240, 240), np.nan)
        write_map(path, pixels, ra=30.0 * number)
        objects = (labelled("extended-multisland", disc("a", "b")), labelled("compact", disc("c")))
        group = "twins" if number in (5, 6) else f"group{number}"
        images.append(LabelledImage(path, (240, 240), objects if number != 4 else (), sky_group=group))
    write_coco(LabelSet(tuple(images), ("extended-multisland", "compact")), folder / "labels.json")
    return folder / "labels.json"


def with_own(labels, **more):
    source = RealSource(name="own", labels=str(labels), **more)
    return dataclasses.replace(TINY, real=(source,))


def test_real_maps_join_simulated_ones_and_splits_share_no_sky(tmp_path, own_labels):
    config = with_own(own_labels)
    prepare_data(config, tmp_path / "one", class_labels=CLASS_LABELS)
    manifest = read_manifest(tmp_path / "one")
    items, splits = read_membership(manifest["sky"])
    assert len(items) == 12 and overlapping_splits(items, splits) == []
    groups = {row["name"]: row["group"] for row in manifest["sky"]}
    assert sum(group == "own:twins" for group in groups.values()) == 2
    parts = [manifest["splits"][split]["sources"].get("own", {"maps": 0}) for split in ("train", "validation", "test")]
    assert sum(part["maps"] for part in parts) == 12
    assert sum(part.get("labelled", 0) for part in parts) == 22
    assert sum(part.get("recovered", 0) for part in parts) == 20  # all but those of the blank map
    assert manifest["splits"]["train"]["sources"]["simulated"]["maps"] == 1
    for split in ("train", "validation", "test"):
        shards = manifest["splits"][split]["shards"]
        fields = {tile.field for tile in read_tiles(tmp_path / "one" / split)} if shards else set()
        assert {splits[field] for field in fields if field.startswith("own:")} <= {split}
    assert manifest["sources"]["own"]["maps"] == 12
    again = prepare_data(config, tmp_path / "two", class_labels=CLASS_LABELS, workers=2)
    assert json.loads(again.read_text()) == manifest
    assert is_prepared(config, tmp_path / "two", class_labels=CLASS_LABELS)


def test_other_maps_of_the_same_name_are_refused_and_change_the_digest(tmp_path, own_labels):
    config = with_own(own_labels)
    prepare_data(config, tmp_path / "data", class_labels=CLASS_LABELS)
    before = read_manifest(tmp_path / "data")["digest"]
    path = own_labels.parent / "map0.fits"
    content = path.read_bytes()
    try:
        path.unlink()
        write_map(path, spotted(99))
        with pytest.raises(InputError, match="other settings"):
            prepare_data(config, tmp_path / "data", class_labels=CLASS_LABELS)
        prepare_data(config, tmp_path / "other", class_labels=CLASS_LABELS)
        assert read_manifest(tmp_path / "other")["digest"] != before
    finally:
        path.write_bytes(content)


def test_weights_repeat_training_maps_with_other_draws_and_leave_test_maps_alone(own_labels):
    counts = {}
    for weight in (0.0, 0.5, 1.0, 2.0):
        config = with_own(own_labels, weight=weight)
        tasks = real_tasks(config, [opened(config.real[0], None)])
        counts[weight] = [sum(task.split == split for task in tasks) for split in ("train", "test")]
    assert counts[0.0][0] == 0 and counts[2.0][0] == 2 * counts[1.0][0] and 0 < counts[0.5][0] < counts[1.0][0]
    assert len({count[1] for count in counts.values()}) == 1
    config = with_own(own_labels, weight=2.0)
    first, second = (
        prepared_map(MapTask("own", "train", 0, draw), config, class_labels=CLASS_LABELS).tiles for draw in (0, 1)
    )
    assert {tile.field for tile in first} == {tile.field for tile in second} == {"own:00000-map0.fits"}
    boxes = [np.concatenate([tile.true_boxes for tile in tiles]) for tiles in (first, second)]
    assert boxes[0].shape != boxes[1].shape or not np.array_equal(*boxes)


def test_tiles_of_real_maps_hold_the_map_itself(own_labels):
    prepared = prepared_map(MapTask("own", "validation", 0), with_own(own_labels), class_labels=CLASS_LABELS)
    tiles, record = prepared.tiles, prepared.record
    assert record.islands == len(prepared.graph) and record.pairs == len(prepared.graph.pairs) > 0
    assert record.ignored_islands == (prepared.graph.instance < 0).sum()
    assert record.labelled == record.recovered == 2 and record.tiles == len(tiles)
    radio_map = read_map(own_labels.parent / "map0.fits")
    scale = 6.0 / radio_map.beam_fwhm
    brightest = max(float(np.nanmax(tile.significance)) for tile in tiles)
    # interpolation lowers the peak of a point of three pixels a little, and the noise is the extractor's
    assert 0.7 < brightest / (float(radio_map.data.max()) / 1e-4) < 1.1
    shape = round(240 * scale)
    assert all(tile.size == TINY.tile_size for tile in tiles) and len(tiles) <= (shape // TINY.tile_size + 2) ** 2
    assert all(len(tile.labels) for tile in tiles)
