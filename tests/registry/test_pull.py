"""Models fetched by name, checked, and served from the cache when the registry is gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from neanias_ml.errors import NeaniasError
from neanias_ml.models.bundle_folder import verify_bundle
from neanias_ml.registry import model_folder
from neanias_ml.registry.cache import cache_folder
from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import free_port, make_run, running_server


def refused(action, *arguments, **keywords):
    with pytest.raises(NeaniasError) as caught:
        action(*arguments, **keywords)
    return caught.value


@pytest.fixture
def champion(registry, tmp_path):
    """Digest of the champion of ``net``."""
    bundle, digest = make_run(tmp_path / "run", score=0.5)
    registry.register(bundle, "net")
    registry.promote("net", 1, "champion")
    return digest


def test_a_name_becomes_a_verified_folder(registry, champion, database, tmp_path):
    folder = registry.pull("models:/net@champion")
    assert folder == tmp_path / "cache" / "models" / champion and verify_bundle(folder) == champion
    assert registry.pull("models:/net/1") == folder
    assert model_folder("models:/net@champion", tracking_uri=str(database), cache=tmp_path / "cache") == folder
    assert registry.verify("models:/net@champion") == registry.verify(folder) == champion


def test_a_copy_is_written_whole_and_replaces_bundles_only(registry, champion, tmp_path):
    output = tmp_path / "out" / "model"
    assert registry.pull("models:/net@champion", output) == output and verify_bundle(output) == champion
    assert refused(registry.pull, "models:/net@champion", output).code == "OutputExists"
    (output / "config.json").write_text("changed")
    registry.pull("models:/net@champion", output, overwrite=True)
    assert verify_bundle(output) == champion
    other = tmp_path / "out" / "other"
    other.mkdir()
    assert refused(registry.pull, "models:/net@champion", other, overwrite=True).code == "OutputExists"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model", "other"]


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "listed"])
def test_a_damaged_cache_is_fetched_again(registry, champion, damage):
    folder = registry.pull("models:/net@champion")
    weights = folder / "model.safetensors"
    if damage == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:40])
    elif damage == "missing":
        weights.unlink()
    else:
        (folder / "DIGESTS").write_text("")
    assert registry.pull("models:/net@champion") == folder and verify_bundle(folder) == champion
    assert [path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")] == [champion]


def test_files_that_changed_at_the_registry_are_refused(registry, champion, tmp_path):
    (stored,) = (tmp_path / "store" / "artifacts").rglob("bundle")
    good = (stored / "config.json").read_text()
    (stored / "config.json").write_text(good + " ")
    assert refused(registry.pull, "models:/net@champion").code == "WeightsDamaged"
    other, _ = make_run(tmp_path / "other", seed=9)
    shutil.copytree(other, stored, dirs_exist_ok=True)
    assert refused(registry.pull, "models:/net@champion").code == "DigestDiffers"
    (stored / "DIGESTS").write_text(f"{'0' * 64}  ../../escaped\n")
    assert refused(registry.pull, "models:/net@champion").code == "WeightsDamaged"
    shutil.rmtree(stored)
    assert refused(registry.pull, "models:/net@champion").code == "ArtifactMissing"
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.suffix != ".lock"]


def test_what_does_not_exist_is_answered_with_what_does(registry, champion):
    assert "it has champion (version 1)" in refused(registry.pull, "models:/net@best").message
    assert "it has 1" in refused(registry.pull, "models:/net/7").message
    assert "there is net" in refused(registry.pull, "models:/nett@champion").message
    assert refused(registry.show, "nett").code == "ModelUnknown"


def test_a_registry_that_never_answered_is_known_in_seconds(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    error = refused(ModelRegistry(uri, cache=tmp_path).pull, "models:/net@champion")
    assert time.monotonic() - began < 60  # mlflow by itself goes on for minutes
    assert error.qualified_code == "ResourceError:RegistryUnreachable"
    assert uri in error.message and "Connection refused" in error.message and "--tracking-uri" in error.message


def test_the_last_known_model_is_served_when_the_server_is_gone(tmp_path, empty_database, warned):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with running_server(tmp_path / "mlflow.db", tmp_path / "artifacts") as (uri, end):
        registry = ModelRegistry(uri, cache=tmp_path / "cache", warn=warned.append)
        for seed in (1, 2):
            bundle, digest = make_run(tmp_path / f"run{seed}", seed=seed, score=seed / 10)
            registry.register(bundle, "net")
            registry.promote("net", seed, "champion")
        folder = registry.pull("models:/net@champion")
        assert verify_bundle(folder) == digest and registry.store.aliases("net") == {"champion": 2}
        end()
        assert warned == []
        later = ModelRegistry(uri, cache=tmp_path / "cache", warn=warned.append)
        for known in (registry, later):
            assert known.pull("models:/net@champion") == folder
        assert len(warned) == 2 and "last known" in warned[0]
        assert refused(later.pull, "models:/net/1").code == "RegistryUnreachable"
        with pytest.warns(UserWarning, match="last known"):
            assert model_folder("models:/net@champion", tracking_uri=uri, cache=tmp_path / "cache") == folder
        (folder / "config.json").write_text("changed")
        assert refused(later.pull, "models:/net@champion").code == "RegistryUnreachable"


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.delenv("NEANIAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "neanias_ml"
    monkeypatch.setenv("NEANIAS_CACHE", str(tmp_path / "y"))
    assert cache_folder() == tmp_path / "y" and cache_folder(tmp_path / "z") == tmp_path / "z"


def test_a_cache_that_cannot_be_written(registry, champion, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = ModelRegistry(registry.store.uri, cache=tmp_path / "file")
    assert refused(blocked.pull, "models:/net@champion").code == "CacheNotWritable"


def test_the_room_is_light_and_tells_what_to_install():
    code = (
        "import sys, json, neanias_ml.registry, neanias_ml.registry.location, neanias_ml.registry.client\n"
        "heavy = [name for name in ('mlflow', 'torch', 'sqlalchemy', 'requests') if name in sys.modules]\n"
        "sys.modules['mlflow'] = None\n"
        "try:\n    neanias_ml.registry.client.connect('http://127.0.0.1:1')\n"
        "except Exception as error:\n    print(json.dumps([heavy, error.qualified_code, error.message]))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    heavy, kind, message = json.loads(answer.stdout)
    assert heavy == [] and kind == "UsageError:MlflowMissing" and "pip install neanias_ml[tracking]" in message
