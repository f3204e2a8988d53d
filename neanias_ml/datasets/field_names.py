"""What the name of a field tells: where it comes from."""

from __future__ import annotations

SIMULATED = "simulated"
"""Name of the simulated fields among the sources of data."""
CROWDED_SUFFIX = "-crowded"
"""Ends the names of simulated fields that were drawn rich in radio galaxies."""


def source_of_field(field: str) -> str:
    """Source of a field by its name: those of real maps are called ``SOURCE:MAP``."""
    source, colon, _ = field.partition(":")
    return source if colon else SIMULATED
