"""Labelled sets of real maps, by name; they are read from a folder that the user has, and never shipped.

``open_real_set(name, folder)`` gives a `RealSet`: entries that can be split by sky, and maps with labels one by one.
"""

from __future__ import annotations

import os
from pathlib import Path

from neanias_ml.datasets.real.base import LabelledMap, MapEntry, RealSet
from neanias_ml.datasets.real.caesar_samples import CaesarSamples
from neanias_ml.datasets.real.mirabest import MiraBest
from neanias_ml.datasets.real.radiogalaxynet import RadioGalaxyNet
from neanias_ml.datasets.real.vlass import Vlass
from neanias_ml.errors import UsageError

DATA_VARIABLE = "NEANIAS_REAL_DATA"
"""Environment variable that names the folder of all sets."""

REAL_SETS: dict[str, tuple[type[RealSet], str]] = {
    RadioGalaxyNet.name: (RadioGalaxyNet, "RadioGalaxyNET"),
    MiraBest.name: (MiraBest, "MiraBest_FIRST"),
    Vlass.name: (Vlass, "VLASS_multiepoch"),
    CaesarSamples.name: (CaesarSamples, "caesar_samples"),
}
"""Class of each set and the name of its folder among the others."""

__all__ = ["DATA_VARIABLE", "REAL_SETS", "LabelledMap", "MapEntry", "RealSet", "open_real_set", "require_known"]


def require_known(name: str) -> None:
    """Refuse a name that no set has.

    Raises
    ------
    UsageError
        ``RealSetUnknown``.
    """
    if name not in REAL_SETS:
        raise UsageError("RealSetUnknown", f"there is no real set {name!r}; choose one of {', '.join(REAL_SETS)}")


def open_real_set(name: str, folder: Path | str | None = None) -> RealSet:
    """Open a labelled set of real maps.

    Parameters
    ----------
    name
        One of `REAL_SETS`.
    folder
        The folder that holds all sets; that of the environment variable ``NEANIAS_REAL_DATA`` when omitted.

    Raises
    ------
    UsageError
        ``RealSetUnknown``, or ``RealDataFolder`` if no folder is named.
    InputError
        ``RealSetMissing`` if the set is not there.
    """
    require_known(name)
    root = folder if folder is not None else os.environ.get(DATA_VARIABLE, "")
    if not str(root):
        raise UsageError(
            "RealDataFolder", f"the set {name} needs the folder of real maps; name it, or set {DATA_VARIABLE} to it"
        )
    kind, subfolder = REAL_SETS[name]
    return kind(Path(root) / subfolder)
