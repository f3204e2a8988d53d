import shutil

import pytest

from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import database_template, running_server


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database with MLflow's tables; to be copied, not changed."""
    return database_template(tmp_path_factory.getbasetemp())


@pytest.fixture
def database(tmp_path, empty_database):
    """A database of the test's own."""
    path = tmp_path / "store" / "mlflow.db"
    path.parent.mkdir()
    return shutil.copy(empty_database, path)


@pytest.fixture
def warned():
    """Sentences that the registry had for the user."""
    return []


@pytest.fixture
def registry(tmp_path, database, warned):
    return ModelRegistry(str(database), cache=tmp_path / "cache", warn=warned.append)


@pytest.fixture(scope="session")
def server(tmp_path_factory, empty_database):
    """Address of a real server that all tests share: they use names of their own."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with running_server(folder / "mlflow.db", folder / "artifacts") as (uri, _):
        yield uri
