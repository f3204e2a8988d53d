"""The recipe as a command: errors in one sentence, nothing replaced unasked, training without astronomy packages."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
import yaml

from neanias_ml.errors import InputError, ResourceError, UsageError
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.training import recipe as recipes
from neanias_ml.training import simulated
from neanias_ml.training.fit import FitConfig, build_trainer, train_detector
from neanias_ml.training.run_folder import RunFolder
from tests.training.conftest import SIZE

FIT = FitConfig(max_steps=1, batch_size=4, precision="32-true", accelerator="cpu", validation_tiles=4)
PREPARATION = simulated.PreparationConfig(
    train_fields=2, validation_fields=1, test_fields=1, field_sizes=(160,), tiles_per_field=3, tile_size=96
)
FIT_OPTIONS = [f"--fit.{name}={getattr(FIT, name)}" for name in ("max_steps", "batch_size", "precision", "accelerator")]


@pytest.fixture(scope="module")
def small_options(tiny_config):
    """Command-line options of a network and a fit that take a second."""
    names = ("stem_pool", "fpn_channels", "head_features", "mask_channels", "proposal_mode", "regions_per_image")
    model = [f"--model.{name}={str(getattr(tiny_config, name)).lower()}" for name in names]
    return [*model, f"--model.blocks={list(tiny_config.blocks)}", *FIT_OPTIONS]


@pytest.fixture
def finished(tmp_path, prepared_folder, tiny_config):
    """Folder of a run of one step."""
    train_detector(prepared_folder, tmp_path / "run", model=tiny_config, fit=FIT)
    return tmp_path / "run"


def files(folder):
    """Content of every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["island_rcnn_tiny", "island_rcnn_small"])
def test_shipped_configurations_are_valid(name, request):
    path = request.config.rootpath / "configs" / "train" / f"{name}.yaml"
    parser = simulated.recipe_parser()
    options = parser.instantiate(parser.parse_args(["--config", str(path), "-o", "out", "--fit.seed", "7"]))
    assert options.fit.seed == 7 and options.name == name.replace("_", "-")
    written = yaml.safe_load(path.read_text())
    assert list(options.model.blocks) == written["model"]["blocks"]
    IslandRCNN(options.model)


def test_recipe_prepares_trains_and_reuses_data(tmp_path, tiny_config):
    recipe = simulated.DetectorRecipe(preparation=PREPARATION, model=tiny_config, fit=FIT)
    assert simulated.run_recipe(recipe, tmp_path, prepare_only=True) is None
    stamp = (tmp_path / "data" / "manifest.json").stat().st_mtime_ns
    fitted = simulated.run_recipe(recipe, tmp_path)
    assert (tmp_path / "data" / "manifest.json").stat().st_mtime_ns == stamp
    settings = load_bundle(fitted.bundle).settings
    assert settings.extractor["finder"]["merge_threshold"] == 2.6
    wrong = dataclasses.replace(recipe, model=dataclasses.replace(tiny_config, box_reference=5.0))
    with pytest.raises(UsageError, match="box_reference"):
        simulated.run_recipe(wrong, tmp_path, overwrite=True)


def test_network_and_data_count_the_beam_alike(tmp_path, prepared_folder, tiny_config):
    wrong = dataclasses.replace(tiny_config, box_reference=5.0)
    with pytest.raises(UsageError, match="box_reference"):
        train_detector(prepared_folder, tmp_path, model=wrong, fit=FIT)


ERRORS = {
    "range": (["--fit.batch_size", "0"], 2, "UsageError:FitConfig"),
    "window": (["--fit.window_size", "100"], 2, "UsageError:FitConfig"),
    "no end": (["--fit.max_minutes", "null"], 2, "UsageError:NoBudget"),
    "network": (["--model.head_features", "-4"], 2, "UsageError:Recipe"),
    "beam": (["--model.box_reference", "5"], 2, "UsageError:BeamReference"),
    "checkpoint": (["--resume"], 3, "InputError:NoCheckpoint"),
    "both": (["--resume", "--overwrite"], 2, "UsageError:ResumeOrOverwrite"),
    "other data": (["--preparation.train_fields", "999"], 3, "InputError:OtherData"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_sentence_and_an_exit_code(name, tmp_path, capsys):
    options, exit_code, code = ERRORS[name]
    data = tmp_path / "data"
    data.mkdir()
    (data / "plan.json").write_text("{}")
    (data / "manifest.json").write_text("{}")
    assert recipes.main(["-o", str(tmp_path / "run"), "--data", str(data), *options]) == exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("island_rcnn: ") and line.endswith(f" [{code}]")
    assert not (tmp_path / "run").exists()


def test_values_of_a_wrong_type_are_named_without_the_list_of_all_options(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        recipes.main(["-o", str(tmp_path), "--fit.batch_size", "many"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "fit.batch_size" in said and len(said.splitlines()) < 6


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("batch_size", "max_steps", "validation_tiles", "checkpoint_minutes", "devices")),
        *({name: -1} for name in ("weight_decay", "warmup_steps", "clip_norm", "workers", "learning_rate")),
        *({name: 1.0} for name in ("average_decay", "balance_beta")),
        *({"window_size": size} for size in (0, -32, 100, 511)),
    ],
)
def test_values_outside_their_range_are_refused(change):
    with pytest.raises(UsageError, match=f"fit.{next(iter(change))} must") as caught:
        dataclasses.replace(FIT, **change)
    assert caught.value.code == "FitConfig"


@pytest.mark.parametrize("change", [{"accelerator": "abacus"}, {"precision": "17-true"}, {"strategy": "hope"}])
def test_devices_that_lightning_does_not_know_are_refused_at_the_start(change, tmp_path):
    with pytest.raises(UsageError, match=f"fit.{next(iter(change))} {next(iter(change.values()))}.*cannot be used"):
        build_trainer(RunFolder(tmp_path), dataclasses.replace(FIT, **change))


def test_a_finished_run_is_not_replaced_unasked(finished, prepared_folder, tiny_config):
    before = files(finished)
    recipe = simulated.DetectorRecipe(preparation=PREPARATION, model=tiny_config, fit=FIT)
    for action in (
        lambda: train_detector(prepared_folder, finished, model=tiny_config, fit=FIT),
        lambda: simulated.run_recipe(recipe, finished),
    ):
        with pytest.raises(UsageError, match=r"--resume.*--overwrite") as caught:
            action()
        assert caught.value.code == "OutputExists"
    assert files(finished) == before


@pytest.mark.parametrize("left", ["bundle", "checkpoints"])
def test_either_of_bundle_and_checkpoints_is_protected(finished, left, prepared_folder, tiny_config):
    shutil.rmtree(finished / {"bundle": "checkpoints", "checkpoints": "bundle"}[left])
    with pytest.raises(UsageError, match="--overwrite"):
        train_detector(prepared_folder, finished, model=tiny_config, fit=FIT)


def test_overwrite_starts_anew(finished, prepared_folder, tiny_config):
    stale = finished / "checkpoints" / "periodic.ckpt"
    stale.write_bytes(b"of the old run")
    before = (finished / "bundle" / "DIGESTS").read_bytes()
    other = dataclasses.replace(FIT, seed=5)
    fitted = train_detector(prepared_folder, finished, model=tiny_config, fit=other, overwrite=True)
    assert (finished / "bundle" / "DIGESTS").read_bytes() != before
    assert load_bundle(fitted.bundle).settings.metadata["training"]["seed"] == 5
    assert not stale.exists() or stale.read_bytes() != b"of the old run"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_bundle_is_noticed_before_the_training(overwrite, tmp_path, prepared_folder, tiny_config):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").write_text("dear")
    with pytest.raises(UsageError) as caught:
        train_detector(prepared_folder, tmp_path, model=tiny_config, fit=FIT, overwrite=overwrite)
    assert caught.value.code == ("NotABundle" if overwrite else "OutputExists")
    assert set(files(tmp_path)) == {(tmp_path / "bundle" / "thesis.tex").relative_to(tmp_path)}


def test_output_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        RunFolder(tmp_path / "file").require_usable(resume=False, overwrite=False)
    with pytest.raises(ResourceError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "run").prepare(overwrite=False)


def test_stated_preparation_must_agree_with_the_data(prepared_folder):
    agreeing = {"pixels_per_beam": 6, "seed_jitter": [4.5, 6.0], "tile_size": str(SIZE)}
    recipes.check_preparation(agreeing, prepared_folder)
    for given in ({"tile_size": 32}, {"tile_sise": SIZE}, {"finder": {"seed_threshold": 5.0}}):
        with pytest.raises(InputError, match=r"preparation\.") as caught:
            recipes.check_preparation(given, prepared_folder)
        assert caught.value.code == "OtherData"


def test_missing_files_of_prepared_data_are_found(prepared_folder, tmp_path):
    assert recipes.missing_files(prepared_folder) == []
    assert recipes.missing_files(tmp_path) == ["manifest.json"]
    copy = shutil.copytree(prepared_folder, tmp_path / "copy")
    (copy / "validation" / "shard-0000.safetensors").unlink()
    assert recipes.missing_files(copy) == ["validation/shard-0000.safetensors"]


def test_prepared_data_train_without_astronomy_or_tracking_packages(prepared_folder, small_options, tmp_path):
    """The whole command in a process that cannot import them: a bundle, or a sentence about what is missing."""
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump({"name": "bare", "preparation": {"tile_size": SIZE}}))
    common = ["--config", str(config), *small_options]
    data = ["--data", str(prepared_folder)]
    commands = [
        [*common, *data, "-o", str(tmp_path / "run")],
        [*common, *data, "-o", str(tmp_path / "run")],
        [*common, *data, "-o", str(tmp_path / "other"), "--preparation.tile_size", "32"],
        [*common, "--data", str(tmp_path / "empty"), "-o", str(tmp_path / "other")],
        [*common, "-o", str(tmp_path / "other")],
    ]
    script = (
        "import json, sys\n"
        "for name in ('astropy', 'albumentations', 'mlflow', 'horovod', 'regions', 'skimage', 'pycocotools'):\n"
        "    sys.modules[name] = None\n"
        "from neanias_ml.training.recipe import main\n"
        "assert 'neanias_ml.maps' not in sys.modules\n"
        "codes = [main(words) for words in json.loads(sys.argv[1])]\n"
        "print('exit codes', codes)\n"
    )
    words = [sys.executable, "-c", script, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "exit codes [0, 2, 3, 2, 2]", done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("island_rcnn: ")]
    assert "[UsageError:OutputExists]" in said[0] and "preparation.tile_size is 32" in said[1]
    assert "lacks manifest.json" in said[2] and "astropy" in said[2] and "--data FOLDER" in said[3]
    assert load_bundle(tmp_path / "run" / "bundle").settings.metadata["name"] == "bare"
