"""From simulated fields to shards: the observed truth, windows, determinism, resuming."""

import dataclasses
import json

import numpy as np
import pytest

from neanias_ml.datasets.fields import (
    covering_windows,
    cut_tile,
    extract_islands,
    favoured_windows,
    prepare_field,
)
from neanias_ml.datasets.manifest import check_plan, read_manifest
from neanias_ml.datasets.observed_truth import observed_truth
from neanias_ml.datasets.prepare import PreparationConfig, RealSource, is_prepared, prepare_data
from neanias_ml.datasets.prepare_maps import MapTask, prepared_map
from neanias_ml.datasets.shards import read_tiles
from neanias_ml.datasets.tiles import IGNORED
from neanias_ml.errors import InputError, UsageError
from neanias_ml.extraction import FinderConfig, SourceFinder
from neanias_ml.maps import Window
from neanias_ml.simulation import SkyConfig, simulate_sky
from tests.simulation.makers import changed

CLASS_LABELS = {"spurious": 1, "compact": 2, "extended": 3, "extended-multisland": 4, "flagged": 5}
TINY = PreparationConfig(
    train_fields=3, validation_fields=1, test_fields=1, field_sizes=(192,), tiles_per_field=3, fields_per_shard=2,
    tile_size=96,
)  # fmt: skip
CLEAN = {"clean_depth": 0.0, "gain_amplitude_error": 0.0, "gain_phase_error": 0.0, "bowl_fraction": 0.0}


@pytest.fixture(scope="module")
def sky():
    """A crowded field without imaging faults."""
    config = changed(SkyConfig(size=320), compact_density=8.0, double_density=1.5, bright_sources=0.0, **CLEAN)
    return simulate_sky(config, seed=5)


@pytest.fixture(scope="module")
def dirty_sky():
    """A field with bright sources and strong sidelobes."""
    config = changed(
        SkyConfig(size=320), bright_sources=6.0, clean_depth=0.3, gain_amplitude_error=0.1, gain_phase_error=15.0,
        hour_angle_span=1.0, compact_density=3.0,
    )  # fmt: skip
    return simulate_sky(config, seed=3)


def observed(sky, **finder):
    extraction = extract_islands(sky.radio_map, config=FinderConfig(**finder))
    return extraction, observed_truth(sky, extraction.islands, noise=extraction.noise.evaluate()[1])


def test_islands_without_fits_equal_those_of_the_finder(sky):
    extraction = extract_islands(sky.radio_map, config=FinderConfig())
    reference = SourceFinder(FinderConfig())(sky.radio_map)
    np.testing.assert_array_equal(extraction.islands.labels, reference.islands.labels)
    np.testing.assert_array_equal(extraction.islands.table.total_flux, reference.islands.table.total_flux)
    assert len(extraction.components) == 0


def test_every_island_of_a_clean_field_belongs_to_a_real_object(sky):
    extraction, truth = observed(sky)
    decided = truth.island_instance[truth.island_instance != IGNORED]
    assert len(decided) >= 0.9 * len(extraction.islands)
    names = truth.class_names[decided - 1]
    assert (names != "spurious").mean() > 0.95


def test_bright_isolated_points_are_compact_and_keep_their_identity(sky):
    _, truth = observed(sky)
    objects = sky.truth.objects
    position = {int(number): row for row, number in enumerate(truth.object_ids) if number > 0}
    bright = objects.visible & (objects.kind == "point") & (objects.snr > 15)
    found = [position[number] for number in objects.object_id[bright] if number in position]
    assert len(found) >= 0.8 * bright.sum() and len(found) > 3
    assert (truth.class_names[found] == "compact").mean() > 0.7


def test_objects_of_several_islands_are_multisland_and_the_others_not(sky):
    _, truth = observed(sky)
    counts = np.bincount(truth.island_instance[truth.island_instance > 0], minlength=len(truth) + 1)[1:]
    assert (counts >= 2).sum() >= 2
    assert (truth.class_names[counts >= 2] == "extended-multisland").all()
    assert not (truth.class_names[counts == 1] == "extended-multisland").any()


def test_instances_hold_pixels_and_number_without_gaps(dirty_sky):
    extraction, truth = observed(dirty_sky)
    counts = np.bincount(np.maximum(truth.labels, 0).ravel(), minlength=len(truth) + 1)[1:]
    assert (counts > 0).all()
    assert truth.labels.max() == len(truth)
    owner = truth.island_instance
    for row in range(len(extraction.islands)):
        pixels = truth.labels[extraction.islands.labels == row + 1]
        assert (pixels != 0).all()
        assert (pixels == owner[row]).any()


def test_islands_of_sidelobes_are_spurious(dirty_sky):
    extraction, truth = observed(dirty_sky, seed_threshold=4.0)  # at 5 the noise around bright sources hides them
    islands = extraction.islands.labels
    spurious = np.flatnonzero(truth.class_names == "spurious") + 1
    assert len(spurious) >= 2
    for number in spurious:
        inside = truth.labels == number
        assert (islands[inside] > 0).all()
        real = dirty_sky.model[inside].sum()
        assert real < 0.3 * (dirty_sky.radio_map.data - dirty_sky.background)[inside].sum()


def test_faint_sources_lifted_by_noise_count_as_real():
    config = changed(
        SkyConfig(size=320), compact_density=20.0, double_density=0, tail_density=0, jet_density=0, galaxy_density=0,
        nebula_density=0, cluster_density=0, diffuse_density=0, bright_sources=0, resolved_fraction=0, pair_fraction=0,
        **CLEAN,
    )  # fmt: skip
    sky = simulate_sky(config, seed=11)
    _, truth = observed(sky, seed_threshold=4.5)
    hidden = sky.truth.objects.object_id[~sky.truth.objects.visible]
    lifted = np.isin(truth.object_ids, hidden)
    assert lifted.sum() >= 2
    assert (truth.class_names[lifted] == "compact").all()


def prepared(sky):
    return prepare_field(sky, name="f", finder=FinderConfig(), class_labels=CLASS_LABELS)


def test_tiles_of_a_cover_hold_every_island_and_put_pixels_back(sky):
    field = prepared(sky)
    windows = covering_windows(field.shape, size=128)
    seen = np.zeros(field.shape, dtype=int)
    fluxes = set()
    for window in windows:
        tile = cut_tile(field, window)
        part = field.channels[:, window.y0 : window.y1, window.x0 : window.x1]
        height, width = part.shape[1:]
        np.testing.assert_array_equal(tile.channels[:, :height, :width], part.astype(np.float16))
        assert not tile.channels[:, height:].any() and not tile.channels[:, :, width:].any()
        seen[window.y0 : window.y1, window.x0 : window.x1] += 1
        fluxes.update(tile.island_fluxes.tolist())
    assert (seen == 1).all()
    assert fluxes == set(field.island_fluxes.astype(np.float32).tolist())


def test_island_boxes_enclose_their_pixels_within_a_pixel(sky):
    field = prepared(sky)
    tile = cut_tile(field, Window(60, 188, 70, 198))
    assert len(tile.island_instance) > 3
    whole = (tile.island_boxes >= 0).all(axis=1) & (tile.island_boxes <= 128).all(axis=1)
    assert whole.any()
    for row in np.flatnonzero(whole):
        rows, cols = np.nonzero(tile.islands == row + 1)
        edges = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(edges, tile.island_boxes[row], atol=1.01)


def test_favoured_windows_are_apart_inside_and_near_objects(sky):
    field = prepared(sky)
    windows = favoured_windows(field, np.random.default_rng(0), count=6, size=128)
    assert 2 <= len(windows) <= 6
    for window in windows:
        assert window.y0 >= 0 and window.x0 >= 0 and window.y1 <= field.shape[0] and window.x1 <= field.shape[1]
    assert np.mean([len(cut_tile(field, window).labels) > 0 for window in windows]) > 0.6


def tiles_of(split):
    return prepared_map(MapTask("simulated", split, 1), TINY, class_labels=CLASS_LABELS).tiles


def test_a_field_is_the_same_every_time_and_splits_differ():
    once, again = (tiles_of("train") for _ in range(2))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one.channels, other.channels)
        np.testing.assert_array_equal(one.instances, other.instances)
    other_split = tiles_of("test")
    assert not np.array_equal(once[0].channels, other_split[0].channels)
    assert {tile.field[:10] for tile in other_split} == {"test-00001"}


def test_preparation_resumes_and_does_not_depend_on_workers(tmp_path):
    lines = []
    prepare_data(TINY, tmp_path / "one", class_labels=CLASS_LABELS, progress=lines.append)
    manifest = read_manifest(tmp_path / "one")
    assert is_prepared(TINY, tmp_path / "one", class_labels=CLASS_LABELS)
    assert manifest["splits"]["train"]["fields"] == 3 and len(manifest["splits"]["train"]["shards"]) == 2
    assert manifest["splits"]["train"]["tiles"] == len(read_tiles(tmp_path / "one" / "train"))
    assert json.loads(json.dumps(manifest)) == manifest and lines[0].startswith("preparing 4 of 4 shards")
    (tmp_path / "one" / "train" / "simulated-0001.safetensors").unlink()
    lines.clear()
    prepare_data(TINY, tmp_path / "one", class_labels=CLASS_LABELS, workers=2, progress=lines.append)
    assert lines[0].startswith("preparing 1 of 4 shards")
    again = read_manifest(tmp_path / "one")
    assert again["splits"]["train"]["instances"] == manifest["splits"]["train"]["instances"]


def test_a_folder_of_other_settings_is_refused(tmp_path):
    with pytest.raises(InputError, match="prepare the data first"):
        read_manifest(tmp_path)
    small = dataclasses.replace(TINY, train_fields=1, validation_fields=0, test_fields=0)
    prepare_data(small, tmp_path, class_labels=CLASS_LABELS)
    with pytest.raises(InputError, match="other settings") as caught:
        prepare_data(dataclasses.replace(small, seed=1), tmp_path, class_labels=CLASS_LABELS)
    assert caught.value.code == "OtherData"


def test_centred_windows_cover_everything_once_and_hold_the_middle():
    for shape in ((600, 480), (90, 300), (256, 257)):
        seen = np.zeros(shape, int)
        for window in covering_windows(shape, size=128, centred=True):
            seen[max(window.y0, 0) : window.y1, max(window.x0, 0) : window.x1] += 1
        assert (seen == 1).all()
        middle = shape[0] // 2, shape[1] // 2
        windows = covering_windows(shape, size=128, centred=True)
        assert any(middle[0] - window.y0 == 64 and middle[1] - window.x0 == 64 for window in windows)


def test_sources_that_make_no_sense_are_refused():
    for bad in ({"name": "sky"}, {"name": "mirabest", "weight": -1.0}, {"name": "a/b", "labels": "x.json"},
                {"name": "simulated", "labels": "x.json"}, {"name": "vlass", "exhaustive": True}):  # fmt: skip
        with pytest.raises(UsageError):
            RealSource(**bad)
    with pytest.raises(UsageError, match="twice"):
        PreparationConfig(real=(RealSource(name="vlass"), RealSource(name="vlass")))
    with pytest.raises(UsageError, match="seed_jitter"):
        PreparationConfig(seed_jitter=(6.0, 5.0))
    for bad in ({"tile_size": 0}, {"pixels_per_beam": 0.0}, {"artefact_fraction": 1.5}, {"seed": -1}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            PreparationConfig(**bad)


def test_a_damaged_plan_is_named(tmp_path):
    (tmp_path / "plan.json").write_text('{"configuration": ')
    with pytest.raises(InputError, match="damaged") as caught:
        check_plan(tmp_path, {})
    assert caught.value.code == "PlanDamaged"
