"""Evidence that islands are artefacts of imaging rather than sources."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neanias_ml.errors import UsageError
from neanias_ml.extraction.artefacts.features import ArtefactFeatures, NoiseLike, artefact_features
from neanias_ml.extraction.artefacts.model import ArtefactModel, shipped_model
from neanias_ml.extraction.tables import IslandTable
from neanias_ml.maps import RadioMap


@dataclass(frozen=True)
class ArtefactEvidence(ArtefactFeatures):
    """One row per island: what speaks for and against an artefact, and the probability that follows."""

    p_spurious: NDArray[np.float64]
    """probability that the island is a sidelobe or a noise peak, 0 to 1"""


def artefact_evidence(
    radio_map: RadioMap,
    *,
    islands: IslandTable,
    negatives: IslandTable,
    noise: NoiseLike,
    merge_threshold: float = 2.6,
    model: ArtefactModel | None = None,
    workers: int = 1,
) -> ArtefactEvidence:
    """Weigh for N islands whether they are sources or sidelobes of bright neighbours.

    The evidence is geometric: a bright source that is near enough; weak islands in line with it; an island drawn out
    along the radius or across it; the map at the position mirrored through the bright source and at the same offsets
    from other bright sources, since dirty beams are point-symmetric and shared; negative pixels and islands around,
    since sidelobes have both signs; shapes narrower than the beam. All is measured in beam widths and against the
    local noise as well as the noise away from bright sources, so that it holds at any flux scale and also where the
    noise model already follows the sidelobes.

    Parameters
    ----------
    radio_map
        The map; bands of some million pixels are read where islands need them.
    islands
        Islands of the map.
    negatives
        Islands of the inverted map; may be empty.
    noise
        Background and noise of the map.
    merge_threshold
        Signal to noise down to which the islands reach.
    model
        Calibrated weights; those that come with the package by default.
    workers
        Threads; the result does not depend on them.

    Raises
    ------
    UsageError
        If ``merge_threshold`` is not positive.
    """
    if not merge_threshold > 0:
        raise UsageError("Thresholds", f"merge_threshold must be positive, not {merge_threshold}")
    features = artefact_features(
        radio_map,
        islands=islands,
        negatives=negatives,
        noise=noise,
        merge_threshold=merge_threshold,
        workers=workers,
    )
    columns = {field.name: getattr(features, field.name) for field in dataclasses.fields(features)}
    return ArtefactEvidence(**columns, p_spurious=(model or shipped_model()).probability(features))
