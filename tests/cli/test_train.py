"""`neanias-ml train` as its user runs it: errors in one sentence, every shipped recipe, no astronomy package needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neanias_ml.cli.main import main
from neanias_ml.cli.train import KINDS, build_parser
from neanias_ml.models.bundle import load_bundle
from neanias_ml.models.bundle_folder import bundle_network, verify_bundle
from tests.training.conftest import SIZE

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "configs" / "train").glob("*.yaml"))
KIND_OF = {"island_rcnn": "detector", "association": "association", "morphology": "morphology"}


def kind_of(recipe):
    """Word of the command line for a shipped recipe."""
    return next(kind for prefix, kind in KIND_OF.items() if recipe.stem.startswith(prefix))


@pytest.fixture(scope="module")
def small_options(tiny_config):
    """Command-line options of a network and a fit that take a second."""
    names = ("stem_pool", "fpn_channels", "head_features", "mask_channels", "proposal_mode", "regions_per_image")
    model = [f"--model.{name}={str(getattr(tiny_config, name)).lower()}" for name in names]
    fit = ["--fit.max_steps=1", "--fit.batch_size=4", "--fit.precision=32-true", "--fit.accelerator=cpu"]
    return [*model, f"--model.blocks={list(tiny_config.blocks)}", *fit, "--no-tracking"]


def test_every_network_has_a_tiny_and_a_small_recipe():
    assert {kind_of(recipe) for recipe in RECIPES if "tiny" in recipe.stem} == set(KINDS)
    assert {kind_of(recipe) for recipe in RECIPES if "small" in recipe.stem} == set(KINDS)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_shipped_recipes_run(recipe, tmp_path, capsys):
    """The whole way, from simulated skies to a bundle, by two steps on little data."""
    words = ["train", kind_of(recipe), "--config", str(recipe), "-o", str(tmp_path / "run"), "--fast_dev_run"]
    assert main([*words, "--no-tracking"]) == 0, capsys.readouterr().err
    verify_bundle(tmp_path / "run" / "bundle")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert 1 <= record["steps"] <= 2 and record["network"] == bundle_network(tmp_path / "run" / "bundle")
    # what the run says of itself is a recipe again
    resolved = tmp_path / "run" / "config.yaml"
    parser = build_parser(kind_of(recipe))
    again = parser.instantiate(parser.parse_args(["--config", str(resolved)]))
    written = yaml.safe_load(recipe.read_text())
    assert again.name == written["name"] and again.fit.fast_dev_run
    assert again.fit.batch_size == written["fit"]["batch_size"]


ERRORS = {
    "range": (["--fit.batch_size", "0"], 2, "UsageError:FitConfig"),
    "window": (["--feed.window_size", "100"], 2, "UsageError:FeedConfig"),
    "no end": (["--fit.max_minutes", "null"], 2, "UsageError:NoBudget"),
    "network": (["--model.head_features", "-4"], 2, "UsageError:OptionInvalid"),
    "type": (["--fit.batch_size", "many"], 2, "UsageError:OptionInvalid"),
    "strategy": (["--fit.strategy", "hope"], 2, "UsageError:OptionInvalid"),
    "beam": (["--model.box_reference", "5"], 2, "UsageError:BeamReference"),
    "checkpoint": (["--resume"], 3, "InputError:NoCheckpoint"),
    "both": (["--resume", "--overwrite"], 2, "UsageError:ResumeOrOverwrite"),
    "other data": (["--preparation.train_fields", "999"], 3, "InputError:OtherData"),
    "no bundle": (["--initial", "nowhere"], 5, "ModelError:BundleMissing"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_sentence_and_an_exit_code(name, tmp_path, capsys, request):
    options, exit_code, code = ERRORS[name]
    data = tmp_path / "data"
    if name == "no bundle":
        data = request.getfixturevalue("prepared_folder")
        options = [*options, "--preparation.tile_size", str(SIZE)]
    else:
        data.mkdir()
        (data / "plan.json").write_text("{}")
        (data / "manifest.json").write_text("{}")
    words = ["train", "detector", "-o", str(tmp_path / "run"), "--data", str(data), "--no-tracking"]
    assert main([*words, *options]) == exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neanias-ml train: ") and line.endswith(f" [{code}]")
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_of_a_recipe_is_answered_with_the_nearest(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("fit:\n  learning_rat: 0.1\n")
    assert main(["train", "detector", "--config", str(recipe), "-o", str(tmp_path / "run")]) == 2
    assert "there is no option fit.learning_rat; did you mean fit.learning_rate?" in capsys.readouterr().err


def test_the_networks_are_told(capsys):
    assert main(["train", "galaxy"]) == 2
    assert "detector, association, morphology" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    overview = capsys.readouterr().out
    assert all(kind in overview for kind in KINDS)
    with pytest.raises(SystemExit):
        build_parser("detector").parse_args(["--help"])
    assert "moving average of the weights" in capsys.readouterr().out


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
        "from neanias_ml.cli.main import main\n"
        "assert 'neanias_ml.maps' not in sys.modules\n"
        "codes = [main(['train', 'detector', *words]) for words in json.loads(sys.argv[1])]\n"
        "print('exit codes', codes)\n"
    )
    words = [sys.executable, "-c", script, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "exit codes [0, 2, 3, 2, 2]", done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("neanias-ml train: ")]
    assert "[UsageError:OutputExists]" in said[0] and "preparation.tile_size is 32" in said[1]
    assert "lacks manifest.json" in said[2] and "astropy" in said[2] and "--data" in said[3]
    assert load_bundle(tmp_path / "run" / "bundle").settings.metadata["name"] == "bare"
