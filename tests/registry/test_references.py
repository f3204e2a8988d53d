from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neanias_ml.errors import NeaniasError, UsageError
from neanias_ml.registry.location import artifact_location, database_path, tracking_uri
from neanias_ml.registry.references import ModelReference, parse_reference

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
ALIASES = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(
    lambda text: text != "latest" and not (text[0] == "v" and text[1:].isdigit())
)


@given(NAMES, ALIASES)
def test_a_reference_by_alias_is_read_as_written(name, alias):
    reference = ModelReference(name, alias=alias)
    assert parse_reference(str(reference)) == reference


@given(NAMES, st.integers(1, 999_999_999))
def test_a_reference_by_number_is_read_as_written(name, version):
    reference = ModelReference(name, version=version)
    assert parse_reference(str(reference)) == reference


@given(st.text())
def test_any_text_is_a_reference_or_refused_with_a_sentence(text):
    for candidate in (text, f"models:/{text}"):
        try:
            assert str(parse_reference(candidate)) == candidate
        except NeaniasError as error:
            assert error.code in {"ModelReference", "ModelName", "ModelAlias", "ModelVersion"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("island-rcnn@champion", "ModelReference"),
        ("models:/island-rcnn", "ModelReference"),
        ("models:/../x@champion", "ModelName"),
        ("models:/a'b@champion", "ModelName"),
        ("models:/net@latest", "ModelAlias"),
        ("models:/net@v3", "ModelAlias"),
        ("models:/net@", "ModelAlias"),
        ("models:/net/0", "ModelVersion"),
        ("models:/net/Production", "ModelVersion"),
        ("models://server/net/1", "ModelName"),
    ],
)
def test_what_is_no_reference(text, code):
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.code == code


def test_the_option_beats_the_environment_and_that_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/data/neanias_ml/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example/")
    assert tracking_uri() == tracking_uri("") == "https://mlflow.example"
    assert tracking_uri(str(tmp_path / "x.db")) == f"sqlite:///{tmp_path}/x.db"
    assert not (tmp_path / "data").exists()


def test_paths_become_databases_with_artifacts_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").write_bytes(b"")
    expected = {
        "runs": "runs/mlflow.db",
        "my runs/a.db": "my runs/a.db",
        "old": "old",
        "sqlite:///b.db": "b.db",
        f"file://{tmp_path}/my%20runs": "my runs/mlflow.db",
    }
    for text, path in expected.items():
        uri = tracking_uri(text)
        assert uri == f"sqlite:///{tmp_path}/{path}" and database_path(uri) == tmp_path / path
        assert tracking_uri(uri) == uri
        assert artifact_location(uri) == ((tmp_path / path).parent / "artifacts").as_uri()
    assert database_path("http://host:1") is None and artifact_location("http://host:1") is None


@pytest.mark.parametrize("text", ["postgresql://user@host/x", "databricks:", "http://", "what%3F.db"])
def test_addresses_that_cannot_be_used(text):
    with pytest.raises(UsageError) as caught:
        tracking_uri(text)
    assert caught.value.code == "TrackingUri"
