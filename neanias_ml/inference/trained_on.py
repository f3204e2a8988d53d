"""Whether a map was extracted as the network's training maps were."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from neanias_ml.extraction import FinderConfig

WITHOUT_EFFECT = {"extended_flux_excess"}
"""Settings that change a column of the catalogue but nothing that the network sees."""


def extraction_departures(
    finder: FinderConfig, extractor: Mapping[str, Any], *, network: str = "network"
) -> tuple[str, ...]:
    """Sentences on settings of the extraction that differ from those of the training, for the run's warnings.

    A seed threshold inside the range of the training counts as the same.

    Parameters
    ----------
    finder
        Settings of the extraction.
    extractor
        Those of the training, as the bundle keeps them.
    network
        What to call the network.
    """
    trained = extractor.get("finder")
    if not isinstance(trained, Mapping):
        return ()
    low, high = extractor.get("seed_jitter", (finder.seed_threshold, finder.seed_threshold))
    used, expected = _leaves(dataclasses.asdict(finder)), _leaves(trained)
    differing = [
        f"{name} {value} (training: {expected[name]})"
        for name, value in used.items()
        if name in expected and name not in WITHOUT_EFFECT and value != expected[name]
        if not (name == "seed_threshold" and low <= value <= high)
    ]
    if not differing:
        return ()
    return (
        f"the extraction differs from that of the {network}'s training: {', '.join(differing)}; "
        "classes and probabilities are less certain than the model card says",
    )


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
