"""File systems without locks: programs go on without, and what they do at the same time ends well."""

import errno
import fcntl
import multiprocessing
import shutil

import pytest

from neanias_ml.models.bundle_folder import verify_bundle
from neanias_ml.registry.cache import ModelCache
from neanias_ml.registry.client import locked
from neanias_ml.registry.file_lock import NO_LOCKS, wait_for_lock
from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import make_run


def failing_with(number, monkeypatch):
    def flock(stream, operation):
        raise OSError(number, "no lock for you")

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_reason_to_fail(number, monkeypatch, tmp_path):
    failing_with(number, monkeypatch)
    with (tmp_path / "file").open("a") as stream:
        assert wait_for_lock(stream) is False
    entered = False
    with locked(tmp_path / "mlflow.db", "setup"):
        entered = True
    assert entered and number in NO_LOCKS


def test_other_faults_are_told(monkeypatch, tmp_path):
    failing_with(errno.EIO, monkeypatch)
    with pytest.raises(OSError, match="no lock for you"), locked(tmp_path / "mlflow.db", "setup"):
        pass


def _ask(database, go, asked, entered):
    go.wait(60)
    asked.set()
    with locked(database, "setup"):
        entered.set()


def test_a_held_lock_keeps_others_out(tmp_path):
    context = multiprocessing.get_context("fork")
    go, asked, entered = context.Event(), context.Event(), context.Event()
    other = context.Process(target=_ask, args=(tmp_path / "mlflow.db", go, asked, entered))
    other.start()  # before the lock is taken: children hold what they inherit
    with locked(tmp_path / "mlflow.db", "setup"):
        go.set()
        assert asked.wait(60) and not entered.wait(0.3)
    assert entered.wait(60)
    other.join(60)
    assert other.exitcode == 0


def test_a_registry_works_without_locks(monkeypatch, database, tmp_path):
    failing_with(errno.ENOLCK, monkeypatch)
    registry = ModelRegistry(str(database), cache=tmp_path / "cache")
    bundle, digest = make_run(tmp_path / "run", score=0.5)
    registry.register(bundle, "net")
    assert verify_bundle(registry.pull("models:/net/1")) == digest


def test_two_downloads_of_one_bundle_at_the_same_time_leave_it_whole(monkeypatch, tmp_path):
    failing_with(errno.ENOLCK, monkeypatch)
    bundle, digest = make_run(tmp_path / "run")
    cache = ModelCache(tmp_path / "cache")

    def download(folder):
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        shutil.copytree(bundle, cache.entry(digest))  # what another program has meanwhile done

    monkeypatch.setattr("neanias_ml.models.bundle_folder.Path.exists", lambda path: False)  # looked a moment before
    assert cache.fetch(digest, download, source="here") == cache.entry(digest)
    monkeypatch.undo()
    assert verify_bundle(cache.entry(digest)) == digest
    assert [path.name for path in cache.entry(digest).parent.iterdir() if path.suffix != ".lock"] == [digest]
