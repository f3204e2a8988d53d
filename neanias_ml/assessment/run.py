"""`assess`: every map of a source through extraction and networks, by one process or several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from neanias_ml.assessment.config import AssessmentConfig
from neanias_ml.assessment.labelled_maps import MapSource, open_source
from neanias_ml.assessment.map_score import Detect, MapScore, score_map
from neanias_ml.assessment.scores import ScoredMaps
from neanias_ml.errors import InputError, UsageError

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which networks turn islands into objects."""

    detector: str
    """folder of the detector's bundle"""
    association: str = ""
    """folder of the bundle of the network that groups islands; empty: masks of the detector join them"""
    association_threshold: float | None = None
    """probability above which islands are joined; the networks' own when None"""
    device: str = "cpu"
    """PyTorch device"""


@dataclass(frozen=True)
class OpenedModel:
    """Networks ready to be used, and the digest of each bundle by what it is for."""

    detect: Detect
    digests: Mapping[str, str]


def open_model(choice: ModelChoice) -> OpenedModel:
    """Load the networks.

    Raises
    ------
    ModelError
        If a bundle is missing, damaged or does not fit.
    """
    from neanias_ml.inference.detector import ObjectDetector
    from neanias_ml.models.association.bundle import load_graph_bundle
    from neanias_ml.models.bundle import load_bundle

    bundle = load_bundle(Path(choice.detector), device=choice.device)
    association = load_graph_bundle(Path(choice.association), device=choice.device) if choice.association else None
    detect = ObjectDetector(bundle, association=association, association_threshold=choice.association_threshold)
    digests = {"detector": bundle.digest} | ({"association": association.digest} if association is not None else {})
    return OpenedModel(detect, digests)


def assess(
    config: AssessmentConfig, detect: Detect | ModelChoice, *, workers: int = 1, progress: Progress | None = None
) -> tuple[ScoredMaps, MapSource]:
    """Score all maps of a configuration.

    Parameters
    ----------
    detect
        What turns islands into objects; bundles by name where several processes have to load them.
    workers
        Processes; the result does not depend on their number.

    Returns
    -------
    tuple
        Scores of the maps, and where they come from.

    Raises
    ------
    UsageError
        ``Workers``, and what `open_source` raises.
    InputError
        ``NothingLabelled`` if no map holds anything to find; what the source says of its files.
    """
    report = progress or (lambda stage, done, total: None)
    source = open_source(config)
    if workers < 1 or (workers > 1 and not isinstance(detect, ModelChoice)):
        raise UsageError("Workers", f"{workers} processes cannot share this model; use at least one, or name bundles")
    scores = []
    report("maps", 0, len(source))
    for score in _scored(source, config, detect, workers=min(workers, len(source))):
        scores.append(score)
        report("maps", len(scores), len(source))
    if not any(len(one.network.true) or one.n_without_island for one in scores):
        raise InputError(
            "NothingLabelled", f"{source.description}: no map holds a labelled object, so there is nothing to measure"
        )
    return ScoredMaps.of(scores, source.areas), source


def _scored(
    source: MapSource, config: AssessmentConfig, detect: Detect | ModelChoice, *, workers: int
) -> Iterator[MapScore]:
    if workers <= 1:
        ready = open_model(detect).detect if isinstance(detect, ModelChoice) else detect
        for number in range(len(source)):
            yield score_map(source.read(number), ready, finder=config.finder)
        return
    assert isinstance(detect, ModelChoice)
    # spawned, because forked children of a process with running threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(_work, number, config, detect) for number in range(len(source))]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or an error would be told only after all other work
            raise


_kept: list[tuple[MapSource, Detect]] = []
"""What a process keeps between maps."""


def _start_worker() -> None:
    import logging
    import warnings

    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)


def _work(number: int, config: AssessmentConfig, choice: ModelChoice) -> MapScore:
    """Score a map; networks are loaded here, because an error of the initializer would break the pool unexplained."""
    if not _kept:
        _kept.append((open_source(config), open_model(choice).detect))
    source, detect = _kept[0]
    return score_map(source.read(number), detect, finder=config.finder)
