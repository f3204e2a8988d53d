"""Pieces of text that the model cards of all networks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neanias_ml.datasets.field_names import SIMULATED


def percent(value: float | None) -> str:
    """A share with one decimal, "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f} %"


def percent_interval(metric: Mapping[str, float | None] | None) -> str:
    """A metric's value with its interval, "-" where there is none."""
    if metric is None or metric["value"] is None:
        return "-"
    return f"{percent(metric['value'])} ({percent(metric['low'])} to {percent(metric['high'])})"


def sources_text(split: Mapping[str, Any]) -> str:
    """The sources of a split with their numbers of maps."""
    return ", ".join(f"{name} {source['maps']}" for name, source in split["sources"].items()) or "none"


def real_sources(split: Mapping[str, Any]) -> list[str]:
    """The sources of a split that were not simulated."""
    return [name for name in split["sources"] if name != SIMULATED]
