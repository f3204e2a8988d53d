"""A model looked up by plain requests, as a program in any language would."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from neanias_ml.models.bundle_folder import verify_bundle
from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import make_run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "registry.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## From any other language") :]


@pytest.fixture(scope="module")
def champion(server, tmp_path_factory):
    """Address, name and digest of a model at a server."""
    folder = tmp_path_factory.mktemp("rest")
    bundle, digest = make_run(folder / "run", seed=5, score=0.5, manifest={"parent_digest": None})
    registry = ModelRegistry(server, cache=folder / "cache")
    registry.register(bundle, "rest.model")
    registry.promote("rest.model", 1, "champion")
    return server, "rest.model", digest


def requests_of_the_page():
    """The addresses of the table, in its order."""
    return re.findall(r"\| `GET (SERVER/\S+)` \|", SECTION)


def fetch(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


def test_the_requests_of_the_page_lead_from_the_name_to_the_files(champion, tmp_path):
    server, name, digest = champion
    of_alias, of_files, of_file = (text.replace("SERVER", server) for text in requests_of_the_page())
    version = json.loads(fetch(of_alias.replace("=NAME", f"={name}").replace("=ALIAS", "=champion")))["model_version"]
    place = urllib.parse.quote(version["source"].removeprefix("mlflow-artifacts:/"))
    for file in json.loads(fetch(of_files.replace("PLACE", place)))["files"]:
        (tmp_path / file["path"]).write_bytes(fetch(of_file.replace("PLACE", place).replace("FILE", file["path"])))
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert hashlib.sha256((tmp_path / "DIGESTS").read_bytes()).hexdigest() == tags["bundle_digest"] == digest
    assert verify_bundle(tmp_path) == digest


def test_the_page_lists_the_tags(champion):
    server, name, _ = champion
    (address,) = re.findall(r"`GET (SERVER/\S+model-versions/get\S+)`", SECTION)
    answer = fetch(address.replace("SERVER", server).replace("=NAME", f"={name}").replace("=VERSION", "=1"))
    tags = {tag["key"] for tag in json.loads(answer)["model_version"]["tags"]}
    promotions = {tag for tag in tags if tag.startswith("promotion/champion/")}
    listed = set(re.findall(r"`(\w+)`", SECTION[SECTION.index("| tag | content |") :]))
    assert len(promotions) == 1 and tags - promotions <= listed


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
def test_the_shell_lines_of_the_page(champion, tmp_path):
    server, name, digest = champion
    (script,) = re.findall(r"```sh\n(.*?)```", SECTION, flags=re.DOTALL)
    environment = os.environ | {"SERVER": server, "NAME": name, "ALIAS": "champion"}
    subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert verify_bundle(tmp_path / "model") == digest


def test_a_round_trip_through_the_server(server, tmp_path):
    bundle, digest = make_run(tmp_path / "run", seed=6, score=0.5, manifest={"parent_digest": "c" * 64})
    registry = ModelRegistry(server, cache=tmp_path / "cache")
    version = registry.register(bundle, "round.trip").version
    assert version.source.startswith("mlflow-artifacts:/")
    registry.promote("round.trip", 1, "champion")
    pulled = registry.pull("models:/round.trip@champion", tmp_path / "out")
    assert verify_bundle(pulled) == digest
    shown = registry.show("round.trip")
    assert shown.versions[0].aliases == ("champion",) and shown.versions[0].tags["parent_digest"] == "c" * 64
    assert registry.demote("round.trip", "champion") == 1 and registry.store.aliases("round.trip") == {}
