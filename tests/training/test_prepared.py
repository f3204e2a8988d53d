"""Prepared data of a run: made once, used again, checked against the recipe."""

import shutil

import pytest

from neanias_ml.datasets.manifest import missing_files
from neanias_ml.datasets.prepare import PreparationConfig
from neanias_ml.errors import InputError, UsageError
from neanias_ml.training.prepared import check_preparation, dev_preparation, ensure_prepared
from tests.training.conftest import SIZE

PREPARATION = PreparationConfig(
    train_fields=2, validation_fields=1, test_fields=1, field_sizes=(160,), tiles_per_field=3, tile_size=96
)


def test_data_are_prepared_once(tmp_path):
    folder = ensure_prepared(PREPARATION, tmp_path / "data", quiet=True)
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    assert missing_files(folder) == []
    # several processes may use complete data, and a mapping of the same settings agrees with them
    ensure_prepared(PREPARATION, folder, alone=False)
    ensure_prepared({"tile_size": 96, "field_sizes": [160]}, folder)
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp


def test_several_processes_do_not_prepare_the_same_files(tmp_path):
    with pytest.raises(UsageError, match="--prepare-only"):
        ensure_prepared(PREPARATION, tmp_path / "data", alone=False)
    assert not (tmp_path / "data").exists()


def test_trying_out_takes_little_data():
    dev = dev_preparation(PreparationConfig(train_fields=350))
    assert dev.train_fields + dev.validation_fields + dev.test_fields <= 10 and max(dev.field_sizes) <= 512
    assert dev.tile_size == PreparationConfig().tile_size


def test_stated_preparation_must_agree_with_the_data(prepared_folder):
    agreeing = {"pixels_per_beam": 6, "seed_jitter": [4.5, 6.0], "tile_size": str(SIZE)}
    check_preparation(agreeing, prepared_folder)
    for given in ({"tile_size": 32}, {"tile_sise": SIZE}, {"finder": {"seed_threshold": 5.0}}):
        with pytest.raises(InputError, match=r"preparation\.") as caught:
            check_preparation(given, prepared_folder)
        assert caught.value.code == "OtherData"


def test_missing_files_of_prepared_data_are_found(prepared_folder, tmp_path):
    assert missing_files(prepared_folder) == []
    assert missing_files(tmp_path) == ["manifest.json"]
    copy = shutil.copytree(prepared_folder, tmp_path / "copy")
    (copy / "validation" / "shard-0000.safetensors").unlink()
    assert missing_files(copy) == ["validation/shard-0000.safetensors"]
