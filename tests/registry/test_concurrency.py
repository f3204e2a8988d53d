"""Several programs at one registry at the same time, as processes of their own."""

from __future__ import annotations

import itertools
import multiprocessing

import pytest

from neanias_ml.errors import NeaniasError
from neanias_ml.models.bundle_folder import verify_bundle
from neanias_ml.registry.model_registry import ModelRegistry
from tests.registry.makers import make_run

SCORES = (0.61, 0.64, 0.62, 0.63)
LIMIT = 120
"""Seconds for all processes together on a busy machine."""


def at_once(uri, cache, jobs):
    """Let each process do its job, a method's name and arguments, all at the same moment; returns what came of it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "mlflow.store.tracking.sqlalchemy_store", __name__])
    barrier, answers = context.Barrier(len(jobs)), context.Queue()
    workers = [
        context.Process(target=_work, args=(uri, cache, number, job, barrier, answers))
        for number, job in enumerate(jobs)
    ]
    for worker in workers:
        worker.start()
    try:
        return dict(answers.get(timeout=LIMIT) for _ in jobs)
    finally:
        for worker in workers:
            worker.join(timeout=LIMIT)
            worker.kill()


def _work(uri, cache, number, job, barrier, answers):
    registry = ModelRegistry(uri, cache=cache)
    registry.store.names()
    barrier.wait(timeout=LIMIT)
    try:
        method, *arguments = job
        done = getattr(registry, method)(*arguments)
        answers.put((number, getattr(done, "version", done)))
    except NeaniasError as error:
        answers.put((number, error.code))


@pytest.fixture(params=["database", "server"])
def uri(request):
    return str(request.getfixturevalue(request.param))


def test_the_better_of_versions_promoted_at_once_ends_as_champion(uri, tmp_path):
    registry = ModelRegistry(uri, cache=tmp_path / "cache")
    name = f"race-{tmp_path.name}"
    for seed, score in enumerate((0.5, *SCORES)):
        registry.register(make_run(tmp_path / f"run{seed}", seed=seed, score=score)[0], name)
    registry.promote(name, 1, "champion")
    answers = at_once(uri, tmp_path / "cache", [("promote", name, version, "champion") for version in (2, 3, 4, 5)])
    best = 2 + SCORES.index(max(SCORES))
    assert registry.store.aliases(name) == {"champion": best}
    assert answers[best - 2] == best
    assert all(answer == "PromotionRefused" or isinstance(answer, int) for answer in answers.values())
    records = registry.show(name).promotions
    accepted = sorted((r for r in records if r.refusal is None), key=lambda r: r.event.evidence.score)
    assert accepted[-1].event.version == best
    for earlier, later in itertools.pairwise(accepted):
        assert later.previous == earlier.event.version
    for number, answer in answers.items():
        if isinstance(answer, int):
            assert number + 2 in {record.event.version for record in records}


def test_the_same_bundle_registered_at_once_is_one_version(uri, tmp_path):
    name = f"twins-{tmp_path.name}"
    bundle, digest = make_run(tmp_path / "run", score=0.5)
    at_once(uri, tmp_path / "cache", [("register", str(bundle), name)] * 3)
    versions = ModelRegistry(uri).store.versions(name)
    assert [version.digest for version in versions] == [digest]


def test_pulls_at_once_share_one_cache(uri, tmp_path):
    name = f"pulled-{tmp_path.name}"
    bundle, digest = make_run(tmp_path / "run", score=0.5)
    ModelRegistry(uri).register(bundle, name)
    answers = at_once(uri, tmp_path / "cache", [("pull", f"models:/{name}/1")] * 4)
    (folder,) = set(answers.values())
    assert verify_bundle(folder) == digest
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [digest]
